"""The demonstration: samples with a known truth, degraded, restored by the engine, measured and drawn."""

from __future__ import annotations

from scalesr.demo.running import Outcome, Score, run_demo
from scalesr.demo.samples import Sample, make_samples
from scalesr.demo.section import Section, make_section

__all__ = ["Outcome", "Sample", "Score", "Section", "make_samples", "make_section", "run_demo"]
