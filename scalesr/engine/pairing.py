"""Which pixels of which images belong together: said by their metadata, checked before a pixel is read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

from scalesr.engine.views import View
from scalesr.errors import InputError
from scalesr.images.axes import metres
from scalesr.metrics import Frame
from scalesr.metrics.walk import choose_cell

if TYPE_CHECKING:
    from scalesr.images import Axis, Image
    from scalesr.metrics import Settings

Position = Literal["check", "ignore"]
"""Whether images must lie at the same place by their metadata, or are compared from their first pixels on."""

SAME_SIZE = 1e-3
"""Pixel sizes that differ by less, relatively, are the same: metadata are rounded."""
SAME_PLACE = 0.02
"""Shifts of less than this part of a pixel are none."""
MOST_DENOMINATOR = 64
OBJECTS = "n"
"""Name of the axis of a stack along which objects lie. They are planes of their own, never the bands of one image."""


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """The images of a measurement, matched."""

    frame: Frame
    """What metrics are told of them."""
    output: View
    reference: View | None
    measured: View | None
    mask: View | None
    plane_names: tuple[str, ...]
    """Names of the axes that are neither bands nor space."""
    plane_shape: tuple[int, ...]
    """Sizes of these."""
    notes: tuple[str, ...]
    """What a reader must know: shifts, parts that are not shared."""


def match_images(
    output: Image,
    *,
    reference: Image | None,
    measured: Image | None,
    mask: Image | None,
    axes: str | None,
    settings: Settings,
    position: Position,
    bands: Literal["together", "apart"] = "together",
) -> Subjects:
    """Return which pixels belong together; bands that are taken ``apart`` count as planes.

    Raises
    ------
    InputError
        Axes, shapes, pixel sizes or places do not fit; the message says it in physical units.
    """
    space = _space(output, axes)
    band = _band(output) if bands == "together" else None
    planes = tuple(a for a in range(output.ndim) if a != band and a not in space)
    view = View(image=output, planes=planes, band=band, space=space, start=(0,) * len(space))
    notes: list[str] = []
    shape = tuple(output.shape[a] for a in space)
    ratio = (Fraction(1),) * len(space)
    views: dict[str, View | None] = {"reference": None, "measured": None, "mask": None}
    if reference is not None:
        other = _matched(view, reference, what="reference")
        start, other_start, shape = _overlap(view, other, shape, position=position, notes=notes)
        view, views["reference"] = replace(view, start=start), replace(other, start=other_start)
    if mask is not None:
        other = _matched(view, mask, what="mask")
        if tuple(mask.shape[a] for a in other.space) != tuple(output.shape[a] for a in space):
            own, wanted = (
                " x ".join(str(n) for n in sizes)
                for sizes in ([mask.shape[a] for a in other.space], [output.shape[a] for a in space])
            )
            raise InputError(
                f"The mask {mask.url} has {own} pixels, and {output.url} has {wanted}.",
                remedy="Give a mask of the same pixels.",
            )
        views["mask"] = replace(other, start=view.start)
    if measured is not None:
        other = _matched(view, measured, what="measurement")
        ratio = _ratio(view, other)
        if position == "check":
            _check_edges(view, other, ratio, settings)
        starts = [Fraction(s) / r for s, r in zip(view.start, ratio, strict=True)]
        if any(s.denominator != 1 for s in starts):
            raise InputError(
                "What output and reference share does not begin at a pixel of the measurement.",
                remedy="Measure with --reference and with --input one after the other.",
            )
        views["measured"] = replace(other, start=tuple(int(s) for s in starts))
    frame = Frame(
        bands=1 if band is None else output.shape[band],
        band_names=_band_names(output, band),
        shape=shape,
        pixel_size=tuple(output.pixel_sizes[a] for a in space),
        unit=_unit(output, space),
        dtype=output.dtype.name,
        cell=choose_cell(
            shape,
            bands=1 if band is None else output.shape[band],
            itemsize=output.dtype.itemsize,
            ratio=ratio,
            tile=settings.tile,
        ),
        has_reference=reference is not None,
        has_measured=measured is not None,
        ratio=ratio,
    )
    return Subjects(
        frame=frame,
        output=view,
        reference=views["reference"],
        measured=views["measured"],
        mask=views["mask"],
        plane_names=tuple(output.axis_names[a] for a in planes),
        plane_shape=tuple(output.shape[a] for a in planes),
        notes=tuple(notes),
    )


def _space(image: Image, axes: str | None) -> tuple[int, ...]:
    names = image.axis_names
    if axes is None:
        found = [a for a, axis in enumerate(image.axes) if axis.kind == "space"]
        # A single plane is no volume.
        wanted = [a for a in found[-3:] if a in found[-2:] or image.shape[a] > 1]
    else:
        unknown = [name for name in axes if name not in names]
        if unknown or len(axes) not in (2, 3) or len(set(axes)) != len(axes):
            raise InputError(
                f"--axes {axes!r} does not name two or three axes of {image.url}, which has {', '.join(names)}.",
                remedy="Give axes of space, such as yx or zyx.",
            )
        wanted = sorted(names.index(name) for name in axes)
    if len(wanted) < 2:
        raise InputError(f"{image.url} has no two axes of space.", remedy="Say which two to take with --axes.")
    return tuple(wanted)


def _band(image: Image) -> int | None:
    for kind in ("channel", "other"):
        found = [a for a, axis in enumerate(image.axes) if axis.kind == kind and axis.name != OBJECTS]
        if len(found) == 1:
            return found[0]
    return None


def _band_names(image: Image, band: int | None) -> tuple[str, ...]:
    if band is None:
        return ("0",)
    labels = [channel.label for channel in image.channels]
    known = len(labels) == image.shape[band] and all(labels) and len(set(labels)) == len(labels)
    return tuple(str(label) for label in labels) if known else tuple(map(str, range(image.shape[band])))


def _unit(image: Image, space: tuple[int, ...]) -> str | None:
    units = {image.axes[a].unit for a in space}
    return units.pop() if len(units) == 1 else None


def _matched(view: View, other: Image, *, what: str) -> View:
    """Return the other image with its axes in the roles that they have in the output."""
    output, names = view.image, other.axis_names

    def find(axis: int, *, wanted: int | None) -> int | None:
        name = output.axis_names[axis]
        if name not in names:
            if output.shape[axis] == 1 or what == "mask":
                return None
            raise InputError(
                f"The {what} {other.url} has no axis {name!r}, along which {output.url} has {output.shape[axis]} "
                "pixels.",
                remedy="Compare images of the same axes.",
            )
        found = names.index(name)
        if wanted is not None and other.shape[found] != wanted and not (what == "mask" and other.shape[found] == 1):
            raise InputError(
                f"Axis {name!r} has {wanted} entries in {output.url} and {other.shape[found]} in the {what} "
                f"{other.url}.",
                remedy="Compare images of the same bands and planes.",
            )
        return found

    planes = tuple(None if a is None else find(a, wanted=output.shape[a]) for a in view.planes)
    band = None if view.band is None else find(view.band, wanted=output.shape[view.band])
    space = tuple(find(a, wanted=None) for a in view.space)
    if None in space:
        missing = [output.axis_names[a] for a, found in zip(view.space, space, strict=True) if found is None]
        raise InputError(
            f"The {what} {other.url} has no axis {', '.join(missing)}.",
            remedy="Choose axes that both have with --axes.",
        )
    known = {*planes, band, *space}
    extra = [names[a] for a in range(other.ndim) if a not in known and other.shape[a] > 1]
    if extra:
        raise InputError(
            f"The {what} {other.url} also has the axis {', '.join(extra)}, which {output.url} has not.",
            remedy="Compare images of the same axes.",
        )
    return View(
        image=other,
        planes=tuple(None if a is not None and other.shape[a] == 1 else a for a in planes),
        band=band,
        space=tuple(a for a in space if a is not None),
        start=(0,) * len(space),
    )


def _in_units_of(view: View, other: View, k: int) -> tuple[float, float, float, float, str]:
    """Return pixel size and first centre of both images along an axis of space in one unit, and its name."""
    mine, theirs = view.image.axes[view.space[k]], other.image.axes[other.space[k]]
    factor = _factor(mine, theirs)
    here, there = view.image.levels[0], other.image.levels[0]
    a, b = view.space[k], other.space[k]
    unit = mine.unit or "units"
    return here.scale[a], here.translation[a], there.scale[b] * factor, there.translation[b] * factor, unit


def _factor(mine: Axis, theirs: Axis) -> float:
    a, b = metres(mine.unit), metres(theirs.unit)
    # An image that says nothing of its unit is taken at the other's word.
    return b / a if a and b else 1.0


def _overlap(
    view: View, other: View, shape: tuple[int, ...], *, position: Position, notes: list[str]
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Return where what two images of one grid share begins in either, and its shape."""
    starts, others, sizes = [], [], []
    for k, size in enumerate(shape):
        name = view.image.axis_names[view.space[k]]
        pixel, origin, their_pixel, their_origin, unit = _in_units_of(view, other, k)
        if abs(their_pixel / pixel - 1) > SAME_SIZE:
            raise InputError(
                f"Along {name} a pixel of {view.image.url} is {pixel:g} {unit} and one of the reference "
                f"{other.image.url} is {their_pixel:g} {unit}.",
                remedy="Give an image of equal pixels as --reference, and what the output was made from as --input.",
            )
        shift = (their_origin - origin) / pixel if position == "check" else 0.0
        whole = round(shift)
        if abs(shift - whole) > SAME_PLACE:
            raise InputError(
                f"Along {name} the reference {other.image.url} lies {(their_origin - origin):g} {unit} "
                f"({shift:g} pixels) further on than {view.image.url}, by the metadata of both.",
                remedy="Correct the translation of one, resample one to the other's grid, or compare pixel by pixel "
                "with --position ignore.",
            )
        their_size = other.image.shape[other.space[k]]
        start, stop = max(0, whole), min(size, whole + their_size)
        if stop <= start:
            raise InputError(
                f"Along {name} {view.image.url} and the reference {other.image.url} do not overlap: they lie "
                f"{(their_origin - origin):g} {unit} apart.",
                remedy="Check the translation of both, or compare from the first pixels on with --position ignore.",
            )
        if whole:
            notes.append(f"the reference lies {whole} pixels ({whole * pixel:g} {unit}) further on along {name}")
        if stop - start < max(size, their_size):
            notes.append(
                f"along {name} {stop - start} of {max(size, their_size)} pixels are in both images and compared"
            )
        starts.append(start)
        others.append(start - whole)
        sizes.append(stop - start)
    if position == "ignore":
        notes.append("places in the metadata were ignored: compared from the first pixels on")
    return tuple(starts), tuple(others), tuple(sizes)


def _ratio(view: View, other: View) -> tuple[Fraction, ...]:
    """Return the pixels of the output for each of the measurement."""
    ratio = []
    for k, axis in enumerate(view.space):
        name = view.image.axis_names[axis]
        size, their_size = view.image.shape[axis], other.image.shape[other.space[k]]
        pixel, _, their_pixel, _, unit = _in_units_of(view, other, k)
        found = Fraction(their_pixel / pixel).limit_denominator(MOST_DENOMINATOR)
        if found < 1 or abs(float(found) * pixel / their_pixel - 1) > SAME_SIZE:
            raise InputError(
                f"Along {name} a pixel of the measurement {other.image.url} is {their_pixel:g} {unit} and one of "
                f"{view.image.url} is {pixel:g} {unit}: not a simple multiple.",
                remedy="Give as --input the image that the output was made from.",
            )
        if abs(size - their_size * found) >= 1:
            raise InputError(
                f"Along {name} {size} pixels of {pixel:g} {unit} do not cover the same ground as the {their_size} "
                f"pixels of {their_pixel:g} {unit} of the measurement {other.image.url}.",
                remedy="Give as --input the image that the output was made from.",
            )
        ratio.append(found)
    return tuple(ratio)


def _check_edges(view: View, other: View, ratio: tuple[Fraction, ...], settings: Settings) -> None:
    for k, axis in enumerate(view.space):
        if settings.degradation == "rows" and k == 0:
            continue  # sampled rows lie on their own centres, not on those of areas
        name = view.image.axis_names[axis]
        pixel, origin, their_pixel, their_origin, unit = _in_units_of(view, other, k)
        gap = (origin - pixel / 2) - (their_origin - their_pixel / 2)
        if abs(gap) > SAME_PLACE * their_pixel:
            raise InputError(
                f"Along {name} the outer edges of {view.image.url} and of the measurement {other.image.url} lie "
                f"{gap:g} {unit} apart ({gap / pixel:g} pixels of the output), by the metadata of both "
                f"(ratio {ratio[k]}).",
                remedy="Correct the translation of one, or pass --position ignore.",
            )
