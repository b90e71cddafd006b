"""One self-contained HTML page for each run: before and after, figures with their controls, timings, provenance."""

from __future__ import annotations

from scalesr.report.running import Report, run
from scalesr.report.writing import write_report

__all__ = ["Report", "run", "write_report"]
