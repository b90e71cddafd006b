"""Intensities brought to about 0..1 and back: affine, reversible, by figures of the whole image, never of a tile."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """``normalised = (value - offset) / gain``, for each channel or for all. Nothing is clipped, so it is reversible.

    It is stored with the output. Values beyond 0..1 stay beyond.
    """

    offset: tuple[float, ...]
    """Value that becomes 0: one, or one for each channel."""
    gain: tuple[float, ...]
    """Difference from 0 to 1: one, or one for each channel; never 0."""
    axis: int | None
    """Axis of the image that the channels lie along; ``None`` where one figure serves all."""
    origin: str
    """Where the figures come from, in words."""

    def figures(self, channels: Sequence[int], ndim: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return offset and gain of some channels, shaped to broadcast over arrays of `ndim` axes."""
        shape = [1] * ndim
        if self.axis is None or len(self.offset) == 1:
            picked = np.zeros(1, np.intp)
        else:
            picked = np.asarray(channels, np.intp)
            shape[self.axis] = len(channels)
        offset = np.asarray(self.offset, np.float64)[picked].reshape(shape)
        gain = np.asarray(self.gain, np.float64)[picked].reshape(shape)
        return offset, gain

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold, without loss."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Normalisation:
        """Return what `to_json` described.

        Raises
        ------
        ValueError
            It is no normalisation.
        """
        try:
            offset, gain = tuple(map(float, values["offset"])), tuple(map(float, values["gain"]))
            made = cls(**values | {"offset": offset, "gain": gain})
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"no normalisation: {error}") from error
        if not offset or len(offset) != len(gain) or not np.isfinite([*offset, *gain]).all() or 0 in gain:
            raise ValueError(f"no normalisation: offsets {offset[:3]}, gains {gain[:3]}")
        if made.axis is not None and not (type(made.axis) is int and 0 <= made.axis < 5):
            raise ValueError(f"no normalisation: axis {made.axis!r}")
        return made
