"""What a run of an image did, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from scalesr.cli.failing import FILLED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.cli.output import Lines
    from scalesr.engine import Result
    from scalesr.engine.flux import Corrected
    from scalesr.images.stores import Traffic

_SHOWN = 5


def filled(chunks: Sequence[str]) -> str:
    """Return which chunks of the input were filled."""
    names = ", ".join(chunks[:_SHOWN])
    more = f" and {len(chunks) - _SHOWN:,} more" if len(chunks) > _SHOWN else ""
    return f"Finished, but {len(chunks):,} chunks of the input could not be decoded and were filled: {names}{more}."


def result_lines(result: Result) -> Lines:
    """Return what a run did, for people."""
    from scalesr.tiling import human_flops  # noqa: PLC0415 as the engine, only where something ran

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


def traffic_lines(traffic: Traffic) -> Lines:
    """Return what was exchanged with stores that are not local; nothing where there are none."""
    from scalesr.tiling import human_bytes  # noqa: PLC0415 as the engine, only where something ran

    if not traffic.requests:
        return []
    words = f"{traffic.requests:,} requests, {human_bytes(traffic.read)} read, {human_bytes(traffic.written)} written"
    if traffic.retries:
        words += f"; {traffic.retries:,} of them repeated one that had failed, after {traffic.waited:.1f} s of waiting"
    return [("store", words)]


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


def result_document(result: Result, *, source: str) -> dict[str, Any]:
    """Return what a run did, as what JSON can hold."""
    plan = result.plan
    return {
        "input": source,
        "output": result.image.url,
        "shape": plan.lattice.out_shape,
        "dtype": plan.out_dtype,
        "levels": len(plan.levels),
        "seconds": result.seconds,
        "blocks": plan.blocks,
        "blocks_computed": result.blocks,
        "tiles": plan.tiles,
        "passes": plan.passes,
        "flops": plan.flops,
        "normalisation": result.normalisation.to_json(),
        "clipped": result.clipped,
        "not_finite": result.not_finite,
        "masked": result.masked,
        "missing_planes": plan.missing_planes,
        "made_up_rows": result.made_up,
        "deviation": None if result.deviation is None else result.deviation.url,
        "explained": result.explained,
        "spectra": None if result.spectra is None else asdict(result.spectra),
        "flux": {"conserved": plan.flux == "conserved", **asdict(result.corrected)},
        "bad_chunks": result.bad_chunks,
        "traffic": asdict(result.traffic),
        "measurement": None if result.measurement is None else result.measurement.to_json(),
        "plan": plan.to_json(),
        "exit_code": FILLED if result.bad_chunks else 0,
    }
