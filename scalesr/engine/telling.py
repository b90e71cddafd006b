"""What plans and results say of themselves, as pairs of what and how much, for terminals and notebooks alike."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from scalesr.engine.cost import rate_of
from scalesr.images.plate_facts import fields_words, unusable_lines
from scalesr.images.showing import counted, few
from scalesr.tiling import describe, human_bytes, human_flops

if TYPE_CHECKING:
    from scalesr.engine.flux import Corrected
    from scalesr.engine.memory import Demand
    from scalesr.engine.plates.outcome import PlateResult
    from scalesr.engine.plates.preparing import PreparedPlate
    from scalesr.engine.preparing import Prepared
    from scalesr.engine.running import Result
    from scalesr.images.showing import Lines
    from scalesr.images.stores import Traffic

_SHOWN = 5


def plan_lines(prepared: Prepared, *, tflops: float | None = None) -> Lines:
    """Return what a run will do: model, device, tiles, blocks, bytes; how long the network takes where it counts."""
    spec = prepared.spec
    field = "without bound" if spec.receptive is None else " x ".join(str(2 * reach + 1) for reach in spec.receptive)
    return [
        ("model", f"{spec.name}: mixes {spec.axes}, sees {field} px around a pixel"),
        ("device", prepared.device),
        *_isotropic(prepared),
        *describe(prepared.plan),
        *_rounded(prepared),
        *_hours(prepared, tflops),
    ]


def _rounded(prepared: Prepared) -> Lines:
    if prepared.rounding is None:
        return []
    found = prepared.rounding
    words = f"on a test pattern {found.rms:.2g} of the range from float32 (rms), {found.largest:.2g} at most"
    return [(prepared.plan.precision, words)]


def memory_lines(demand: Demand) -> Lines:
    """Return the memory of a run and what it is made of."""
    lines = []
    for name, total, terms in (
        ("memory", demand.host_bytes, demand.host),
        ("GPU memory", demand.device_bytes, demand.device),
    ):
        if terms:
            lines.append((name, f"{human_bytes(total)} at most, allocator's slack included"))
            lines += [
                (f"  {term.name}", f"{human_bytes(term.total)} = {term.count} x {human_bytes(term.each)}")
                for term in terms
            ]
    return lines


def result_lines(result: Result) -> Lines:
    """Return what a run did."""
    plan = result.plan
    shape = ", ".join(
        f"{axis.name} {size:,}" for axis, size in zip(plan.lattice.axes, plan.lattice.out_shape, strict=True)
    )
    lines = [
        ("written", result.image.url),
        ("image", f"{shape}; {plan.out_dtype}; {len(plan.levels)} levels"),
        ("time", f"{result.seconds:.1f} s for {result.blocks:,} of {plan.blocks:,} blocks"),
        ("normalised", result.normalisation.origin),
    ]
    lines += traffic_lines(result.traffic)
    if result.clipped:
        lines.append(("clipped", f"{result.clipped:,} voxels did not fit into {plan.out_dtype}"))
    if result.not_finite:
        lines.append(("replaced", f"{result.not_finite:,} voxels of the input were NaN or infinite"))
    if result.masked:
        lines.append(("masked", f"{result.masked:,} voxels of the input were not measured"))
    if plan.missing_planes:
        lines.append(("made up", _missing_words(result)))
    if result.deviation is not None:
        lines.append(("deviation", f"{result.deviation.url}: a standard deviation for each voxel"))
    if plan.passes:
        done = result.blocks / plan.blocks
        rate = f", {human_flops(plan.flops * done / result.seconds)}/s" if result.seconds > 0 else ""
        lines.append(("work", f"{plan.passes:,} passes of the network, {human_flops(plan.flops)}{rate}"))
    if plan.flux == "conserved":
        lines.append(("flux", _flux_words(result.corrected)))
    if result.explained is not None and plan.components is not None:
        least, mean = min(result.explained), sum(result.explained) / len(result.explained)
        lines.append(
            (
                "eigenimages",
                f"{plan.components[1]:,} hold {mean:.1%} of the variance of {len(result.explained):,} bands on "
                f"average, {least:.1%} of the least; the rest is interpolated",
            )
        )
    if result.spectra is not None and (result.spectra.missing or result.spectra.beyond):
        found = result.spectra
        lines.append(
            (
                "left out",
                f"of the eigenimages: {found.missing:,} spectra that lack a band or are masked, and {found.beyond:,} "
                "far beyond the range of a band",
            )
        )
    return lines


def plate_plan_lines(ready: PreparedPlate) -> Lines:
    """Return what a run of a plate will do."""
    return [
        ("plate", f"{ready.plate.name}: {counted(len(ready.plate.wells), 'well')}, {fields_words(ready.plate)}"),
        ("to run", f"{counted(len(ready.fields), 'field')}, {ready.side_by_side} at a time"),
        ("blocks", f"{ready.blocks:,}, if all fields are as large as {ready.kind.field}"),
        *unusable_lines(ready.missing),
    ]


def plate_lines(result: PlateResult) -> Lines:
    """Return what a run of a plate did."""
    done, there, failed = (len(found) for found in (result.of("done"), result.of("there"), result.failed))
    words = [f"{done:,} done"]
    words += [f"{there:,} were there"] if there else []
    words += [f"{failed:,} failed"] if failed else []
    rate = f", {done / result.seconds * 60:,.3g} fields a minute" if done and result.seconds > 0 else ""
    lines = [
        ("written", result.plate.url),
        ("fields", ", ".join(words)),
        ("time", f"{result.seconds:.1f} s{rate}"),
        ("normalised", "each field by itself" if result.normalisation is None else result.normalisation.origin),
    ]
    for name, field, what in (
        ("clipped", "clipped", "voxels did not fit into the number format"),
        ("replaced", "not_finite", "voxels of the input were NaN or infinite"),
        ("masked", "masked", "voxels of the input were not measured"),
    ):
        count = sum(getattr(outcome, field) for outcome in result.outcomes)
        if count:
            lines.append((name, f"{count:,} {what}"))
    lines += traffic_lines(result.traffic)
    if result.left_out:
        lines.append(("left out", f"of the normalisation: {few(result.left_out)}"))
    return lines


def traffic_lines(traffic: Traffic) -> Lines:
    """Return what was exchanged with stores that are not local; nothing where there are none."""
    if not traffic.requests:
        return []
    words = f"{traffic.requests:,} requests, {human_bytes(traffic.read)} read, {human_bytes(traffic.written)} written"
    if traffic.retries:
        words += f"; {traffic.retries:,} of them repeated one that had failed, after {traffic.waited:.1f} s of waiting"
    return [("store", words)]


def _isotropic(prepared: Prepared) -> Lines:
    """Return what the scale was taken from, if it was."""
    found = prepared.anisotropy
    if found is None:
        return []
    off = "exactly" if abs(found.deviation) < 1e-9 else f"{found.deviation:+.2%} of it"
    return [("isotropic", f"planes lie {found.exact:.4g} pixels apart; taken as {found.ratio}, {off}")]


def _hours(prepared: Prepared, tflops: float | None) -> Lines:
    """Return how long the network takes, where it counts what it does."""
    found = prepared.plan
    if not found.passes:
        return []
    rate = rate_of(prepared.rate, tflops=tflops)
    said = {"given": "as given", "measured": "as measured here", "assumed": "assumed of a GPU; give yours by --tflops"}
    hours = found.flops / rate.flops / 3600
    each = hours * 1e9 / prod(found.lattice.out_shape)
    speed = f"{rate.flops / 1e12:.3g} TFLOP/s, {said[rate.origin]}"
    return [("time", f"{_in_hours(hours)} at {speed}; for a gigavoxel {_in_hours(each)}")]


def _in_hours(hours: float) -> str:
    return f"{hours:,.3g} hours" if hours >= 0.1 else f"{hours * 3600:.3g} seconds"


def _missing_words(result: Result) -> str:
    """Return which planes were missing, and where they would lie in the output."""
    planes, rows = (
        ", ".join(map(str, places[:_SHOWN])) + (", ..." if len(places) > _SHOWN else "")
        for places in (result.plan.missing_planes, result.made_up)
    )
    return f"planes {planes} were not measured; they would be found in rows {rows}"


def _flux_words(done: Corrected) -> str:
    """Return what conserving the flux had to do beside scaling."""
    words = ["conserved"]
    if done.negative:
        words.append(f"{done.negative:,} voxels below zero were set to zero")
    if done.flat:
        words.append(f"{done.flat:,} input pixels in which the network saw nothing were spread evenly")
    return "; ".join(words)
