"""Planes of a stack that were not measured, and where the output shows what a model made up in their place."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from scalesr.engine.events import StageAdvanced, StageStarted
from scalesr.errors import InputError, PlanError
from scalesr.models import row_of
from scalesr.tiling import reflect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.engine.events import Callback
    from scalesr.engine.options import Options
    from scalesr.images import Image
    from scalesr.models import ModelSpec
    from scalesr.tiling import AxisLattice, Plan

STAGE = "looking for missing planes"
_SHOWN = 8


def find_gaps(
    image: Image, spec: ModelSpec, plan: Plan, *, level: int, planes: int, options: Options, tell: Callback
) -> tuple[int, ...]:
    """Return the planes of an image that were not measured, ascending: those of the plan, and those without a value.

    The latter are looked for in images of floats, for models that can make planes up, if nobody said which are missing.

    Parameters
    ----------
    image, level
        What is processed.
    spec, plan
        The model, and what is planned.
    planes
        Axis of the image that the planes are counted along: the first that the model mixes.
    options
        What the caller asks for.
    tell
        Called with each event.

    Raises
    ------
    InputError
        All planes are missing.
    PlanError
        A tile would hold nothing but missing planes.
    StorageError
        A chunk cannot be read.
    """
    gaps = plan.missing_planes
    if options.missing_planes == "auto" and spec.holes == "inpainted" and np.dtype(plan.in_dtype).kind == "f":
        gaps = tuple(sorted({*gaps, *_without_a_value(image, level=level, planes=planes, tell=tell)}))
    _check_context(image, gaps, plan.lattice.axes[planes])
    return gaps


def made_up_rows(gaps: Sequence[int], axis: AxisLattice) -> tuple[int, ...]:
    """Return the output's rows at which planes that are missing would have been found, ascending.

    Where planes are points that is one row for each; where they are areas, all that one covers, be it in part.
    """
    if axis.sampling == "point":
        rows = {row_of(plane, axis.scale) for plane in gaps}
    else:
        rows = {row for k in gaps for row in range(int(k * axis.scale), int(-(-(k + 1) * axis.scale // 1)))}
    return tuple(sorted(row for row in rows if row < axis.out_size))


def _check_context(image: Image, gaps: tuple[int, ...], axis: AxisLattice) -> None:
    """Refuse gaps that fill a tile: there would be nothing to make them up from."""
    if len(gaps) == axis.size:
        raise InputError(f"All planes of {image.url} are missing.", remedy="Give an image with measured planes.")
    if not gaps:
        return
    missing = set(gaps)
    for cell in range(axis.cells):
        first = axis.tile_start(cell)
        if all(reflect(p, axis.size) in missing for p in range(first, first + axis.tile)):
            shown = ", ".join(map(str, gaps[:_SHOWN])) + (", ..." if len(gaps) > _SHOWN else "")
            raise PlanError(
                f"A tile of {axis.tile} planes along {axis.name!r} would hold none that was measured: missing are "
                f"{shown}.",
                remedy="Raise --halo along this axis.",
            )


def _without_a_value(image: Image, *, level: int, planes: int, tell: Callback) -> tuple[int, ...]:
    """Return the planes without a finite value; of the others no more is read than it takes to meet one."""
    found = image.levels[level]
    unit = found.shards or found.chunks
    spans = [[slice(i, min(i + u, n)) for i in range(0, n, u)] for u, n in zip(unit, found.shape, strict=True)]
    slabs = spans[planes]
    spans[planes] = [slice(None)]
    others = tuple(a for a in range(len(unit)) if a != planes)
    tell(StageStarted(name=STAGE, total=len(slabs)))
    gaps: list[int] = []
    for slab in slabs:
        empty = np.ones(slab.stop - slab.start, bool)
        for region in product(*spans):
            pixels = image.read((*region[:planes], slab, *region[planes + 1 :]), level=level)
            empty &= ~np.isfinite(pixels).any(axis=others)
            if not empty.any():
                break
        gaps += (slab.start + np.flatnonzero(empty)).tolist()
        tell(StageAdvanced(name=STAGE))
    return tuple(gaps)
