"""What lies below the levels of an output that no run put there, or that a run left half-written when it was killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zarr.core.sync import sync

from scalesr.engine.rereading import Fault
from scalesr.images import Location

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zarr.abc.store import Store

    from scalesr.engine.rereading import Kept

MOST = 1000
"""Objects that are looked for; who finds so many has other worries than the rest."""


def superfluous(kept: Kept) -> Iterator[Fault]:
    """Yield what lies below the levels of an image and is no shard of it, nor says how it is stored.

    Keys are streamed: memory does not grow with their number.
    """
    location = Location(kept.image.url, kept.image.storage_options)
    for number, level in enumerate(kept.plan.levels):
        grid = tuple(-(-size // shard) for size, shard in zip(level.shape, level.shard, strict=True))
        for key in sync(_strange(location.store("read"), str(number), grid)):
            yield Fault(
                kind="superfluous",
                image=kept.name,
                level=number,
                keys=(key,),
                words="no shard of the image has this name",
            )


async def _strange(store: Store, level: str, grid: tuple[int, ...]) -> list[str]:
    found: list[str] = []
    async for key in store.list_prefix(f"{level}/"):
        if len(found) < MOST and not _known(key.removeprefix(f"{level}/"), grid):
            found.append(key)
    return found


def _known(key: str, grid: tuple[int, ...]) -> bool:
    if key == "zarr.json":
        return True
    first, *places = key.split("/")
    return (
        first == "c"
        and len(places) == len(grid)
        and all(place.isascii() and place.isdigit() and str(int(place)) == place for place in places)
        and all(int(place) < count for place, count in zip(places, grid, strict=True))
    )
