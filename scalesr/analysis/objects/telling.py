"""Saying how far the work on objects is, by the events that progress bars and logs of runs listen to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from scalesr.engine import StageAdvanced, StageStarted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scalesr.engine import Callback

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Counted(Protocol[T_co]):
    """Things of which it is known how many there are."""

    def __len__(self) -> int:
        """Return how many."""

    def __iter__(self) -> Iterator[T_co]:
        """Yield them."""


def steps(items: Counted[T], *, name: str, callbacks: Sequence[Callback]) -> Iterator[T]:
    """Yield all items; a stage of that name begins before the first, and advances when one is done with."""
    for callback in callbacks:
        callback(StageStarted(name=name, total=len(items)))
    for item in items:
        yield item
        for callback in callbacks:
            callback(StageAdvanced(name=name))
