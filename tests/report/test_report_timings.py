"""Plots of time and memory, of what is as small as can be."""

from __future__ import annotations

from scalesr.report.journal import Journal
from scalesr.report.timings import memory_plots


def test_a_run_that_takes_no_memory_of_its_own_is_drawn() -> None:
    held = 300_000_000
    journal = Journal(
        began="2026-01-01T00:00:00Z", seconds=1.0, memory=((0.0, held), (0.5, held)), peak=held, held=held
    )
    (plot,) = memory_plots([journal])
    assert "0" in plot.words
    assert "Left out are" in plot.words
