"""What a run costs in arithmetic, counted before it starts, and how fast a device does it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from scalesr.engine.calibration import time_call
from scalesr.engine.ledger import device_class
from scalesr.engine.tailoring import margins_of, tailored
from scalesr.errors import PlanError
from scalesr.models import Tailored, key_of, load, recall, remember
from scalesr.tiling import choose_unit, round_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.models import Model, ModelRef, ModelSpec, Precision
    from scalesr.tiling import AxisLattice, Plan

ASSUMED_FLOPS = 100e12
"""Operations a second that are assumed of a GPU where nobody measured: what convolutions sustain in 16 bits on one of
the data centre, a fifth to a tenth of its data sheet."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How fast a network runs."""

    flops: float
    """Floating-point operations a second, over all inferences side by side."""
    origin: Literal["given", "measured", "assumed"]
    """Who says so."""


def rate_of(measured: Rate | None, *, tflops: float | None) -> Rate:
    """Return the rate that hours are counted with: what was given, else what was measured, else what is assumed."""
    if tflops is not None:
        return Rate(flops=tflops * 1e12, origin="given")
    return measured or Rate(flops=ASSUMED_FLOPS, origin="assumed")


def mixed_axes(plan: Plan, spec: ModelSpec) -> tuple[AxisLattice, ...]:
    """Return the axes of the lattice that the model mixes, in its order."""
    by_name = {axis.name: axis for axis in plan.lattice.axes}
    return tuple(by_name[name] for name in spec.axes)


def costed(plan: Plan, model: Model) -> Plan:
    """Return a plan that knows what one tile costs, if the model does; its margins are left out."""
    if not isinstance(model, Tailored):
        return plan
    axes = mixed_axes(plan, model.spec)
    cost = model.cost(tuple(axis.tile for axis in axes), margins_of(axes))
    return replace(plan, tile_passes=cost.passes, tile_flops=cost.flops)


def measured_rate(
    ref: ModelRef,
    axes: Sequence[AxisLattice],
    *,
    device: str,
    precision: Precision,
    threads: int,
    slots: int,
    batch: int,
    how: Literal["once", "again"],
) -> Rate:
    """Measure how fast a model runs that knows what a tile costs, or return what was measured before on this machine.

    On a GPU it is a batch of the plan's tiles; on the CPU, where one of them may take minutes, a tile with the smallest
    cell.

    Parameters
    ----------
    ref
        The model.
    axes
        Those that it mixes, as planned.
    device, precision, threads, slots, batch
        As in the run.
    how
        ``once`` returns what was measured before; ``again`` measures in any case.

    Raises
    ------
    PlanError
        The model does not count what it does, or the tile does not fit into the device's memory.
    """
    plain = load(ref, device=device, precision=precision)
    if not isinstance(plain, Tailored):
        raise PlanError(
            f"The model {plain.spec.name!r} does not count its operations.", remedy="Leave out --calibrate."
        )
    spec, margins = plain.spec, margins_of(axes)
    tile = tuple(axis.tile for axis in axes)
    if device == "cpu":
        units = [choose_unit(scale, spec.multiple) for scale in spec.scale]
        tile = tuple(
            round_up(max(unit + 2 * margin, spec.minimum), unit) for unit, margin in zip(units, margins, strict=True)
        )
        batch = 1
    key = key_of("rate", ref.sha256, ref.options, tile, margins, device_class(device), precision, threads, slots, batch)
    stored = recall(key) if how == "once" else None
    if stored is not None:
        return Rate(flops=float(stored["flops"]), origin="measured")
    model = tailored(plain, ref, device=device, precision=precision, margins=margins)
    seconds = time_call(model, (batch, spec.channels, *tile), device, threads, slots)
    if seconds is None:
        raise PlanError(f"Not even one batch fits into the memory of {device}.", remedy="Lower --batch or --cell.")
    rate = Rate(flops=slots * batch * plain.cost(tile, margins).flops / seconds, origin="measured")
    remember(key, {"flops": rate.flops})
    return rate
