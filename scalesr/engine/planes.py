"""The planes of a volume: how far apart they lie, which are missing, and whether anything is to be filled between."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from scalesr.errors import InputError, PlanError
from scalesr.images import OWN
from scalesr.images.axes import metres

if TYPE_CHECKING:
    from scalesr.engine.options import Options
    from scalesr.engine.planning import Subject
    from scalesr.images import Image
    from scalesr.models import ModelSpec

ISOTROPIC = "isotropic"
"""The scale that makes planes lie as far apart as pixels."""
FINEST = 16
"""Largest denominator of a ratio that is taken from pixel sizes: cells along z are multiples of it."""
NOT_SQUARE = 0.01
"""By how much pixels may be longer than wide before there is no one ratio."""
SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class Anisotropy:
    """How far apart the planes of a volume lie, in pixels."""

    exact: float
    """By the image's pixel sizes."""
    ratio: Fraction
    """The nearest fraction with a denominator of at most 16."""

    @property
    def deviation(self) -> float:
        """How much the ratio is larger than the exact one, as a share of that."""
        return float(self.ratio) / self.exact - 1


def anisotropy(subject: Subject) -> Anisotropy:
    """Return how far apart the planes of a volume lie, in pixels.

    Raises
    ------
    InputError
        It has no axes z, y and x, does not say how large its voxels are, has pixels that are not square, or its planes
        are no farther apart than its pixels.
    """
    places = {axis.name: a for a, axis in enumerate(subject.axes)}
    if not {"z", "y", "x"} <= places.keys():
        raise InputError(
            f"{subject.name} has axes {''.join(places)!r}; an isotropic volume needs z, y and x.",
            remedy="Use a model of planes, or import the image with --axes.",
        )
    axes = [subject.axes[places[name]] for name in "zyx"]
    lengths = [metres(axis.unit) for axis in axes]
    plain = [subject.pixel_sizes[places[name]] for name in "zyx"]
    if plain == [1.0, 1.0, 1.0] and not any(lengths):
        raise InputError(
            f"{subject.name} does not say how large its voxels are.",
            remedy="Give the distance of its planes in pixels, such as --scale 4,1,1, or import it again with "
            "--pixel-size z=2,y=0.5,x=0.5 --unit micrometer.",
        )
    # Where not all units are known lengths, sizes are compared as plain numbers, as for the levels of a pyramid.
    z, y, x = (size * (unit or 1.0) if all(lengths) else size for size, unit in zip(plain, lengths, strict=True))
    if abs(y / x - 1) > NOT_SQUARE:
        raise InputError(
            f"{subject.name} has pixels that are not square: {plain[1]:g} along y, {plain[2]:g} along x.",
            remedy="Give one scale for each axis, such as --scale 4,1,1, or correct the pixel sizes.",
        )
    ratio = Fraction(z / y).limit_denominator(FINEST)
    if ratio <= 1:
        raise _nothing_to_fill(f"{subject.name} has voxels of {plain[0]:g} along z and {plain[1]:g} along y")
    return Anisotropy(exact=z / y, ratio=ratio)


def check_planes(subject: Subject, spec: ModelSpec) -> None:
    """Refuse to fill what lies between planes where there is nothing between them.

    Raises
    ------
    InputError
        There is one plane, or the planes are no farther apart than the pixels.
    """
    points = spec.sampling is not None and spec.sampling[0] == "point" and spec.scale[0] != 1
    if not points and spec.verbatim == "none":
        return
    if spec.verbatim == "planes" and spec.scale[0] <= 1:
        raise _nothing_to_fill(f"A scale of {spec.scale[0]} along {spec.axes[0]} was asked for")
    name = spec.axes[0]
    size = next(size for axis, size in zip(subject.axes, subject.shape, strict=True) if axis.name == name)
    if size == 1:
        raise InputError(
            f"{subject.name} has a single plane along {name}: the model {spec.name!r} fills what lies between planes.",
            remedy="Use a model of planes, or import all planes as one volume.",
        )


def missing_planes(subject: Subject, spec: ModelSpec, options: Options) -> tuple[int, ...]:
    """Return which planes the model is to make up because they were not measured, in order.

    Raises
    ------
    InputError
        All planes are missing.
    PlanError
        The model cannot make planes up, or there are no such planes.
    """
    if options.missing_planes == "none":
        return ()
    auto = options.missing_planes == "auto"
    wanted = sorted({*(subject.missing_planes if options.missing_planes == "auto" else options.missing_planes)})
    if not wanted:
        return ()
    listed = ", ".join(map(str, wanted[:SHOWN])) + (" ..." if len(wanted) > SHOWN else "")
    if spec.holes != "inpainted":
        raise PlanError(
            f"Planes of {subject.name} were not measured ({listed}), and the model {spec.name!r} cannot make them up.",
            remedy="Use a model that fills planes in, or take them as they are with --missing-planes none."
            if auto
            else "Use a model that fills planes in, or leave out --missing-planes.",
        )
    size = next(size for axis, size in zip(subject.axes, subject.shape, strict=True) if axis.name == spec.axes[0])
    if wanted[0] < 0 or wanted[-1] >= size:
        raise PlanError(
            f"{subject.name} has planes 0 to {size - 1}; missing planes were given as {listed}.",
            remedy="Count planes from 0, at the level that is processed.",
        )
    if len(wanted) == size:
        raise InputError(f"All planes of {subject.name} are missing.", remedy="Name those that were not measured.")
    return tuple(wanted)


def recorded_missing(image: Image, *, level: int) -> tuple[int, ...]:
    """Return the planes of a level that the image's attributes name as not measured.

    On a level that is halved along z, a plane is as good as missing where one of those that it is the mean of is.
    """
    own = image.metadata.get(OWN)
    found = own.get("missing_planes") if isinstance(own, dict) else None
    if not isinstance(found, list) or "z" not in image.axis_names:
        return ()
    z = image.axis_names.index("z")
    step = max(1, round(image.levels[level].scale[z] / image.levels[0].scale[z]))
    return tuple(sorted({int(plane) // step for plane in found}))


def _nothing_to_fill(problem: str) -> InputError:
    return InputError(
        f"{problem}: the planes are no farther apart than the pixels, so there is nothing to fill.",
        remedy="Correct the voxel sizes (scalesr import --pixel-size), give the distance of the planes in pixels with "
        "--scale, or use a model that enlarges all axes.",
    )
