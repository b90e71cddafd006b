"""The notebooks run from top to bottom, and keep the outputs of one run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
MOST_BYTES = 300_000
"""Of a notebook with its outputs: they are in the repository's history for good."""
NEEDS = {"isotropic_volume": "diffusers", "trusted_metrics": "pyarrow"}
"""Packages of an extra without which a notebook does not run; those on HyReS need scikit-learn."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path) -> None:
    needed = "sklearn" if path.stem.startswith("hyres_") else NEEDS.get(path.stem)
    if needed is not None:
        pytest.importorskip(needed)
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 after the choice of the backend

    space: dict[str, Any] = {}
    try:
        for cell in cells_of(path):
            if cell["cell_type"] == "code":
                exec("".join(cell["source"]), space)
    finally:
        plt.close("all")
    assert space


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_keep_their_outputs(path: Path) -> None:
    code = [cell for cell in cells_of(path) if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    kinds = {output["output_type"] for cell in code for output in cell["outputs"]}
    assert kinds
    assert "error" not in kinds
    assert "stderr" not in {output.get("name") for cell in code for output in cell["outputs"]}
    assert path.stat().st_size <= MOST_BYTES


def cells_of(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text())["cells"]
    return cells
