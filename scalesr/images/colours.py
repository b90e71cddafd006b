"""The colours in which channels are shown: those that an image names, or others that can be told apart."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.images.axes import Channel
    from scalesr.images.image import Image

WHITE = "FFFFFF"
PALETTE = ("00FFFF", "FF00FF", "FFFF00", WHITE, "FF0000", "00FF00")
"""Of channels that name none, or are all white as of a program that knows none."""
PRIMARIES = ("FF0000", "00FF00", "0000FF")
"""Of the channels of a photograph."""


def colour_of(channel: Channel) -> str | None:
    """Return the colour that a channel names, RRGGBB in capitals; ``None`` where it names none, or what is none."""
    # Some programs add how opaque it is.
    found = re.fullmatch("([0-9A-Fa-f]{6})(?:[0-9A-Fa-f]{2})?", channel.color or "")
    return None if found is None else found[1].upper()


def channels_of(image: Image) -> int:
    """Return how many channels an image has; 1 where it has no such axis."""
    return next((int(size) for axis, size in zip(image.axes, image.shape, strict=True) if axis.kind == "channel"), 1)


def is_photograph(image: Image) -> bool:
    """Say whether three channels are red, green and blue, whose ratio must stay: 8 bits each, and nothing said."""
    return channels_of(image) == 3 and image.dtype.name == "uint8" and set(_named(image)) == {WHITE}


def colours_of(image: Image) -> tuple[str, ...]:
    """Return a colour for each channel: those that the image names, white where one names none.

    Where there are several and the image names none, they are those of `PALETTE`, again and again.
    """
    if is_photograph(image):
        return PRIMARIES
    named = _named(image)
    if len(named) > 1 and set(named) == {WHITE}:
        return tuple(PALETTE[number % len(PALETTE)] for number in range(len(named)))
    return named


def rgb(colour: str) -> NDArray[np.float64]:
    """Return red, green and blue of a colour, 0..1, shape (3,)."""
    return np.frombuffer(bytes.fromhex(colour), np.uint8) / 255


def _named(image: Image) -> tuple[str, ...]:
    count = channels_of(image)
    named = [colour_of(channel) or WHITE for channel in image.channels[:count]]
    return (*named, *[WHITE] * (count - len(named)))
