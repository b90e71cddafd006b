"""What interpolations make of a place: the voxels that a run of them would write, up to the rounding of float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.errors import ModelError
from scalesr.models import load, resolve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.images import Image
    from scalesr.report.places import Place
    from scalesr.tiling import AxisLattice, Plan


def interpolated(source: Image, plan: Plan, place: Place, name: str, *, band: int | None) -> NDArray[Any]:
    """Return a place of the input, enlarged as the run did by an interpolation, shape (bands, rows, columns).

    Parameters
    ----------
    source
        The input, from the level that was processed on.
    plan
        The plan of the run: its scale, and what pixels stand for.
    place
        Which part.
    name
        ``nearest``, ``linear`` or ``cubic``.
    band
        Axis of the bands.

    Raises
    ------
    ModelError
        The run mixed axes that interpolations do not.
    StorageError
        A chunk cannot be read.
    """
    import torch  # noqa: PLC0415 a report without baselines does without

    lattice = plan.lattice.axes
    mixed = [a for a, is_mixed in enumerate(plan.mixed) if is_mixed and a != band]
    names = {2: "yx", 3: "zyx"}.get(len(mixed))
    if names is None or any(axis.scale != 1 for a, axis in enumerate(lattice) if a not in mixed):
        raise ModelError(
            "The run enlarged other axes than interpolations do.", remedy="Compare with another run instead."
        )
    ref = resolve(
        name,
        scale=[lattice[a].scale for a in mixed],
        axes=names,
        sampling="point" if names == "zyx" and lattice[mixed[0]].sampling == "point" else "area",
        image_channels=None,
        image_axes=names,
    )
    model = load(ref)
    reach = dict(zip(mixed, model.spec.receptive or (0,) * len(mixed), strict=True))
    spans = [_span(axis, place, a, reach.get(a, 0)) for a, axis in enumerate(lattice)]
    tiles = np.stack([_tile(source, spans, place, number, mixed, lattice, band) for number in place.bands])
    holes = ~np.isfinite(tiles)
    known = np.where(holes, np.mean(tiles, where=~holes) if not holes.all() else 0.0, tiles) if holes.any() else tiles
    made = model(torch.from_numpy(known[:, None].astype(np.float32)), torch.zeros(len(tiles), len(mixed))).numpy()
    out = made[:, 0]
    dtype = np.dtype(plan.out_dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        out = np.clip(np.rint(out), limits.min, limits.max)
    region = [slice(None)]
    for a in mixed:
        axis, (low, _) = lattice[a], spans[a]
        first, last = place.out(lattice)[a]
        begin = int(low * axis.scale)
        region.append(slice(first - begin, last - begin))
    shown = out[tuple(region)].astype(dtype)
    sizes = {a: shown.shape[1 + k] for k, a in enumerate(mixed)}
    return shown.reshape([len(shown), *(sizes[a] for a in place.axes)])


def _span(axis: AxisLattice, place: Place, a: int, reach: int) -> tuple[int, int]:
    """Return the pixels of the input that a place depends on along an axis; they may lie beyond the image's edge."""
    unit = axis.scale.denominator
    more = -(-reach // unit) * unit
    # Whole pixels of the output at the upper end too.
    size = -(-place.size[a] // unit) * unit
    return place.start[a] - more, place.start[a] + size + more


def _tile(
    source: Image,
    spans: list[tuple[int, int]],
    place: Place,
    number: int,
    mixed: list[int],
    lattice: tuple[AxisLattice, ...],
    band: int | None,
) -> NDArray[Any]:
    """Return what an interpolation sees of one band, mirrored beyond the image's edge as a run does."""
    region, beyond = [], []
    for a, axis in enumerate(lattice):
        low, high = spans[a] if a in mixed else place.own(lattice)[a]
        if a == band:
            low, high = number, number + 1
        region.append(slice(max(0, low), min(high, axis.size)))
        beyond.append((max(0, -low), max(0, high - axis.size)))
    pixels = source.read(tuple(region))
    pixels = pixels.reshape([pixels.shape[a] for a in mixed])
    return np.pad(pixels.astype(np.float64), [beyond[a] for a in mixed], mode="reflect")
