"""Where the borders of a run's tiles lie in its output, as its ledger knows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scalesr.engine.job import ledger_files
from scalesr.engine.ledger import read_manifest
from scalesr.errors import LedgerError
from scalesr.tiling import Plan

if TYPE_CHECKING:
    from scalesr.engine.pairing import Subjects
    from scalesr.metrics import Settings


def with_borders(settings: Settings, subjects: Subjects) -> Settings:
    """Return the settings with the borders of the tiles that the output was made of.

    Settings that name them stay as they are, and so do those of an output that scalesr did not make.
    """
    view = subjects.output
    if settings.seam_period is not None:
        return settings
    try:
        manifest = read_manifest(ledger_files(view.image.url, view.image.storage_options))
    except LedgerError:
        return settings
    if manifest is None:
        return settings
    axes = [Plan.from_json(manifest.identity["plan"]).lattice.axes[axis] for axis in view.space]
    period = tuple(axis.out_cell for axis in axes)
    ramps = (int(axis.ramp * axis.scale) for axis in axes)
    offset = tuple((cell - ramp - start) % cell for cell, ramp, start in zip(period, ramps, view.start, strict=True))
    return replace(settings, seam_period=period, seam_offset=offset)
