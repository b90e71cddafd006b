"""The figures of one measurement, and what they were taken of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.measure import Measure


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What `scalesr.measure` returns."""

    measures: tuple[Measure, ...]
    """All figures, in the order of the metrics asked for."""
    frame: Frame
    """What was measured."""
    settings: Settings
    """With which settings."""
    output: str
    """URL of the image that was measured."""
    reference: str | None = None
    """URL of the image of the same grid that it was compared with."""
    measured: str | None = None
    """URL of the measurement that the output was made from."""
    maps: Mapping[str, str] = field(default_factory=dict)
    """URLs of the maps that were written, by metric."""
    notes: tuple[str, ...] = ()
    """What a reader must know of the images as a whole: a shift between them, bad chunks."""
    seconds: float = 0.0
    """Wall time."""
