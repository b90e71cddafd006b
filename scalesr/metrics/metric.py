"""What a statistic and a metric are: the two Protocols of this room."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame
    from scalesr.metrics.measure import Measure
    from scalesr.metrics.patch import Patch
    from scalesr.metrics.state import State


class Statistic(Protocol):
    """Gathers sums over cells. A frozen dataclass: equal ones are computed once, however many metrics need them.

    A state begins as ``State()``, takes cells in by `update`, merges with the states of other cells in any order by
    ``State.merge``, and is finalised by the metrics. What an update adds must depend on the patch alone.
    """

    @property
    def context(self) -> tuple[int, ...]:
        """Pixels above the cell that an update looks at, for each axis of space; see `Patch`."""

    def update(self, state: State, patch: Patch) -> State:
        """Add one cell to a state, and return the state."""

    def __hash__(self) -> int: ...


class Metric(Protocol):
    """Turns what a statistic has gathered into figures.

    It is made by an entry of `scalesr.metrics.catalogue`, from a frame and the user's settings, and refuses there what
    it cannot measure with an `InputError` that says what to do.
    """

    @property
    def name(self) -> str:
        """Name by which it is asked for."""

    @property
    def statistic(self) -> Statistic:
        """What it needs to be gathered."""

    def finalize(self, state: State, frame: Frame) -> Sequence[Measure]:
        """Return the figures, the headline first. An empty state gives figures without a value, not an error."""


@runtime_checkable
class TileMap(Protocol):
    """A metric that has one figure for each tile, which make a map: an image of one pixel a tile."""

    @property
    def tile(self) -> tuple[int, ...]:
        """Edges of a tile in pixels of the output."""

    def tiles(self, state: State, frame: Frame) -> NDArray[Any]:
        """Return the map, float32, shape (bands, *tiles along each axis of space), NaN where a tile has no figure."""


@runtime_checkable
class PixelMap(Protocol):
    """A metric that can be drawn pixel by pixel, in a second pass, when its figures are known.

    A map that must look below the cell as well as above it has one more property, ``lead``: a tuple of pixels for each
    axis of space. Its patches then start so many pixels lower, or at the image's beginning where that is nearer, and
    their `Patch.cell` is larger by as much: it still ends where the cell ends, so that the cell itself begins at the
    last multiple of `Frame.cell` before its end.
    """

    @property
    def grid(self) -> Hashable:
        """``output`` or ``measured``: which image's pixels the map has."""

    def pixels(self, patch: Patch, state: State, frame: Frame) -> NDArray[Any]:
        """Return the map of the cell, float32, shape (bands, *cell on that grid); NaN where it is not defined."""
