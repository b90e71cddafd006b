"""The smallest levels of the pyramid, made at the end from the last one that the blocks wrote."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from scalesr.engine.events import StageAdvanced, StageStarted
from scalesr.engine.flights import results
from scalesr.images import shard_regions
from scalesr.images.pyramid import coarse_region

if TYPE_CHECKING:
    from scalesr.engine.events import Callback
    from scalesr.engine.executors import Executor
    from scalesr.images import ImageWriter

STAGE = "finishing the pyramid"


def make_shard(output: ImageWriter, level: int, region: tuple[slice, ...]) -> None:
    """Write one shard of a level from the stored level below it. Atomic and idempotent."""
    output.write(level, region, coarse_region(output, level, region))


def finish_levels(
    output: ImageWriter, executor: Executor, *, first: int, size: int, tell: Callback, name: str = "level"
) -> None:
    """Write the levels from `first` on, one after the other, with so many shards in flight, named after `name`.

    Raises
    ------
    OutputError, StorageError
        A level cannot be written, or the one below cannot be read back.
    """
    levels = output.layout.levels
    if first >= len(levels):
        return
    tell(StageStarted(name=STAGE, total=sum(1 for level in levels[first:] for _ in shard_regions(level))))
    for number in range(first, len(levels)):
        tasks = (
            partial(executor.submit, make_shard, output, number, region, name=f"{name}{number}-{count}")
            for count, region in enumerate(shard_regions(levels[number]))
        )
        for _ in results(executor, tasks, size=size, tell=tell):
            tell(StageAdvanced(name=STAGE))
