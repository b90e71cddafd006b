"""What a run of an image did, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from scalesr.cli.failing import FILLED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.engine import Result


def filled(chunks: Sequence[str]) -> str:
    """Return which chunks of the input were filled."""
    from scalesr.images.showing import few  # noqa: PLC0415 zarr takes most of a second

    return f"Finished, but {len(chunks):,} chunks of the input could not be decoded and were filled: {few(chunks)}."


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
