"""Figures of quality as statistics that merge: init, update, merge, finalize; the same bits in any order."""

from __future__ import annotations

from scalesr.metrics.catalogue import MAKERS, make_metrics
from scalesr.metrics.exact import ExactSum
from scalesr.metrics.frame import Frame, Settings, Threshold
from scalesr.metrics.measure import Measure
from scalesr.metrics.measurement import Measurement
from scalesr.metrics.metric import Metric, PixelMap, Statistic, TileMap
from scalesr.metrics.patch import Patch
from scalesr.metrics.state import Count, Extremes, Rows, State

__all__ = [
    "MAKERS",
    "Count",
    "ExactSum",
    "Extremes",
    "Frame",
    "Measure",
    "Measurement",
    "Metric",
    "Patch",
    "PixelMap",
    "Rows",
    "Settings",
    "State",
    "Statistic",
    "Threshold",
    "TileMap",
    "make_metrics",
]
