"""What a run of a stack tells on the command line: what was made up, and where the standard deviations are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from commands import call, only_json, write_image

from scalesr.images import open_image

if TYPE_CHECKING:
    from pathlib import Path

RUN = ("--model", "engine.stack_model:whole", "--missing-planes", "2,3", "--scheduler", "serial")


def test_the_summary_names_what_was_made_up_and_the_deviations(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (7, 12, 10), dtype=np.uint8)
    source = write_image(tmp_path / "in.zarr", pixels, "zyx").url
    target = str(tmp_path / "out.zarr")
    result = call("run", source, target, *RUN)
    assert result.exit_code == 0, result.output
    told = " ".join(result.output.split())
    assert "planes 2, 3 were not measured; they would be found in rows 8, 12" in told
    assert f"{target}/deviation: a standard deviation for each voxel" in told
    assert open_image(f"{target}/deviation").shape == (28, 12, 10)
    found = only_json(call("run", source, target, "--overwrite", "--json", *RUN))
    assert found["missing_planes"] == [2, 3]
    assert found["made_up_rows"] == [8, 12]
    assert found["deviation"] == f"{target}/deviation"
    found = only_json(call("run", source, target, "--overwrite", "--json", "--deviation", "none", *RUN))
    assert found["deviation"] is None
