"""Models whose work on a tile depends on how much of the tile is asked for, told what the plan asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalesr.models import Tailored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.models import Model, ModelRef
    from scalesr.tiling import AxisLattice

_tailored: dict[tuple[ModelRef, str, str, tuple[int, ...]], Model] = {}
"""What this process has tailored already."""


def margins_of(axes: Sequence[AxisLattice]) -> tuple[int, ...]:
    """Return how many input pixels at either end of a tile are only context, for each axis."""
    return tuple(axis.halo - axis.ramp for axis in axes)


def tailored(model: Model, ref: ModelRef, *, device: str, precision: str, margins: tuple[int, ...]) -> Model:
    """Return a model that leaves out what nobody asks for, made once in each process; others come back as they are.

    Parameters
    ----------
    model
        As it was loaded.
    ref, device, precision
        What it was loaded from, and for.
    margins
        Input pixels at either end of each axis of a tile that are only context.
    """
    if not isinstance(model, Tailored):
        return model
    key = (ref, device, precision, margins)
    if key not in _tailored:
        _tailored[key] = model.tailored(margins)
    return _tailored[key]
