"""The disk is full, and then freed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from faults.ground import BLOCKS, Watcher, small_disk

from scalesr.errors import OutputError, ScalesrError
from scalesr.images import open_image

if TYPE_CHECKING:
    from pathlib import Path

    from engine.dask_processes import Processes
    from faults.conftest import Tell
    from faults.ground import Ground

pytestmark = pytest.mark.slow


def test_the_disk_of_all_workers_is_full_and_then_freed(
    ground: Ground, cluster: Processes, tmp_path: Path, tell: Tell
) -> None:
    target = tmp_path / "disk" / "out.zarr"
    with small_disk(tmp_path / "disk") as free:
        if free is None:
            pytest.skip("only the superuser may mount a file system")
        with Watcher(ground, target) as watcher:
            with pytest.raises(OutputError, match="the disk is full") as caught:
                ground.run(target, scheduler=cluster.address)
            assert caught.value.exit_code == 4
            with pytest.raises(ScalesrError, match="did not finish"):
                open_image(target)
            there = len(ground.recorded(target))
            free()
            result = ground.run(target, scheduler=cluster.address, mode="resume")
        ground.check(target)
    assert 0 < result.blocks <= BLOCKS - there
    outcome = f"stops, exit code 4; --resume makes the {result.blocks} others; same bytes; {watcher.looks} looks"
    tell("disk full at a real file system, then freed", outcome)
