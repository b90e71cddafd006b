"""What is said of the metrics, in one line each."""

from __future__ import annotations

import re
from pathlib import Path

from scalesr.metrics import MAKERS
from scalesr.metrics.summaries import SUMMARIES

README = Path(__file__).parents[2] / "README.md"


def test_every_metric_has_a_line() -> None:
    assert SUMMARIES.keys() == MAKERS.keys()


def test_a_line_is_one_sentence_that_fits_a_terminal() -> None:
    for name, line in SUMMARIES.items():
        assert line.endswith("."), name
        assert len(line) <= 110, name
        assert line[0].isupper(), name


def test_the_readme_names_every_metric() -> None:
    section = README.read_text(encoding="utf-8").split("## Measure")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(MAKERS)
