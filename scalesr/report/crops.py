"""The pixels of a place in all images that there are, read at full resolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.errors import ScalesrError
from scalesr.report.interpolations import interpolated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scalesr.engine.pairing import Subjects
    from scalesr.images import Image
    from scalesr.report.parts import Fact
    from scalesr.report.places import Place
    from scalesr.report.scene import Scene

BASELINES = ("cubic", "linear", "nearest")
"""The interpolations that stand beside every output."""


@dataclass(frozen=True, kw_only=True)
class Crop:
    """One place; each array has the shape (bands, rows, columns)."""

    place: Place
    output: NDArray[Any]
    source: NDArray[Any] | None
    """The input, on its own coarser grid."""
    baselines: Mapping[str, NDArray[Any]]
    """The input as interpolations enlarge it, on the grid of the output; none where nothing is enlarged."""
    reference: NDArray[Any] | None
    deviation: NDArray[Any] | None
    absent: tuple[Fact, ...] = ()
    """What could not be read, and why."""


def read_crop(scene: Scene, place: Place, *, reference: Subjects | None) -> Crop:
    """Return the pixels of a place; what cannot be read beside the output is named.

    Parameters
    ----------
    scene
        The images.
    place
        Where.
    reference
        How the reference lies to the output, if there is one.

    Raises
    ------
    StorageError
        The output itself cannot be read.
    """
    lattice = scene.plan.lattice.axes
    region = place.out(lattice)
    absent: list[Fact] = []

    def read(image: Image | None, what: str, span: tuple[tuple[int, int], ...]) -> NDArray[Any] | None:
        if image is None:
            return None
        try:
            return read_bands(image, span, place, scene.band)
        except ScalesrError as error:
            absent.append((what, error.problem))
            return None

    output = read_bands(scene.output, region, place, scene.band)
    source = read(scene.source, "input", place.own(lattice))
    baselines: dict[str, NDArray[Any]] = {}
    if scene.source is not None and source is not None and any(axis.scale != 1 for axis in lattice):
        for name in BASELINES:
            try:
                baselines[name] = interpolated(scene.source, scene.plan, place, name, band=scene.band)
            except ScalesrError as error:
                absent.append((f"{name} interpolation", error.problem))
    return Crop(
        place=place,
        output=output,
        source=source,
        baselines=baselines,
        reference=None if reference is None else _referred(reference, region, place, absent),
        deviation=read(scene.deviation, "standard deviations", region),
        absent=tuple(absent),
    )


def read_bands(
    image: Image, region: tuple[tuple[int, int], ...], place: Place, band: int | None, *, level: int = 0
) -> NDArray[Any]:
    """Return the bands of a place as (bands, rows, columns)."""
    slices = [slice(*span) for span in region]
    planes = []
    for number in place.bands:
        if band is not None:
            slices[band] = slice(number, number + 1)
        found = image.read(tuple(slices), level=level)
        planes.append(found.reshape([found.shape[a] for a in place.axes]))
    return np.stack(planes)


def _referred(
    subjects: Subjects, region: tuple[tuple[int, int], ...], place: Place, absent: list[Fact]
) -> NDArray[Any] | None:
    """Return the reference's pixels of a place: it may begin elsewhere, and have its axes in another order."""
    view, other = subjects.output, subjects.reference
    assert other is not None
    starts = dict(zip(view.space, view.start, strict=True))
    spans = [(region[a][0] - starts[a], region[a][1] - starts[a]) for a in view.space]
    if any(low < 0 or high > size for (low, high), size in zip(spans, subjects.frame.shape, strict=True)):
        absent.append(("reference", "it does not show all of this place"))
        return None
    cut = [slice(0, 1)] * other.image.ndim
    for axis, mine in zip(other.planes, view.planes, strict=True):
        if axis is not None and mine is not None:
            cut[axis] = slice(*region[mine])
    for axis, first, (low, high) in zip(other.space, other.start, spans, strict=True):
        cut[axis] = slice(first + low, first + high)
    shown = [axis for axis, mine in zip(other.space, view.space, strict=True) if mine in place.axes]
    planes = []
    try:
        for number in place.bands:
            if other.band is not None:
                cut[other.band] = slice(number, number + 1)
            found = other.image.read(tuple(cut))
            planes.append(np.moveaxis(found, shown, (-2, -1)).reshape([found.shape[axis] for axis in shown]))
    except ScalesrError as error:
        absent.append(("reference", error.problem))
        return None
    return np.stack(planes)
