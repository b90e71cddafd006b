"""Estimated resolution: never without its controls, and withheld where noise does as well."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
from analysis.samples import coarse, phantom, stored

from scalesr.analysis import estimated_resolution
from scalesr.metrics.resampling import enlarge

if TYPE_CHECKING:
    from pathlib import Path


def test_figures_stand_beside_their_controls(tmp_path: Path) -> None:
    pixels, _ = phantom(256, bands=3)
    small = coarse(pixels, 4)
    cubic = np.stack([enlarge(plane, [Fraction(4)] * 2) for plane in small]).astype(np.float32)
    found = estimated_resolution(
        stored(tmp_path / "output", cubic),
        measured=stored(tmp_path / "measured", small, pixel=4.0),
        reference=stored(tmp_path / "truth", pixels),
    )
    rows = {row["method"]: row for row in found.rows()}
    assert list(rows) == ["frc_single", "decorrelation", "frc"]
    for method in ("frc_single", "decorrelation"):
        row, measurement = rows[method], found.measurement
        assert row["resolution"] == measurement.value(method)
        assert row["noise"] == measurement.value(method, "control: noise")
        assert row["cubic"] == measurement.value(method, "baseline: cubic")
        # The output is the cubic interpolation, so it cannot be better.
        assert row["resolution"] is None or "not better than interpolation" in row["note"]
    assert rows["frc"]["noise"] is None
    assert rows["frc"]["unit"] == "micrometer"
    assert rows["frc"]["resolution"] > 4
