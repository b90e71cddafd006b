"""The page of clusters has every matter that workers are asked about, each with its remedy.

That links, files and options of all pages are there is tested in `tests/docs`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from scalesr.engine.preflight import REMEDIES
from scalesr.engine.probing import Matter

ROOT = Path(__file__).parents[2]


def test_every_matter_has_its_remedy_and_its_line() -> None:
    assert set(REMEDIES) == set(get_args(Matter))
    text = (ROOT / "docs" / "clusters.md").read_text()
    rows = {
        name.strip() for row in re.findall(r"^\| ([\w, ]+) \|", text, flags=re.MULTILINE) for name in row.split(",")
    }
    assert set(get_args(Matter)) - {"answer"} <= rows
