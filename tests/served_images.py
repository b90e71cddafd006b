"""Images for viewers, and plain requests to whoever serves them."""

from __future__ import annotations

from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from scalesr.images import Axis, Channel, Image, build_pyramid, create_image, open_image, pyramid_layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scalesr.images.image import Version

KINDS: dict[str, Any] = {"t": "time", "c": "channel"}
UNITS = {"t": "second", "z": "micrometer", "y": "micrometer", "x": "micrometer"}
SQUARE = (8.0, 12.0, 20.0, 26.0)
"""First and last micrometre of the bright square of `scene` along y and along x."""
SIDE = 32.0
"""Micrometres of its sides."""


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(url: str, method: str = "GET", **headers: str) -> Answer:
    """Send one request; underscores in names of headers are hyphens."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=30)
    try:
        connection.request(method, parts.path, headers={name.replace("_", "-"): text for name, text in headers.items()})
        found = connection.getresponse()
        return Answer(found.status, {name.lower(): text for name, text in found.getheaders()}, found.read())
    finally:
        connection.close()


def scene(size: int) -> NDArray[np.uint16]:
    """Return a ramp with waves and a bright square on it: of any number of pixels, it is the same sample."""
    step = SIDE / size
    y, x = (np.mgrid[:size, :size] + 0.5) * step
    pixels = 300 + 40 * x + 200 * np.sin(x) * np.cos(1.3 * y)
    pixels[(y > SQUARE[0]) & (y < SQUARE[1]) & (x > SQUARE[2]) & (x < SQUARE[3])] = 4000
    return np.asarray(pixels, dtype=np.uint16)


def put_image(
    place: Any,
    pixels: NDArray[Any],
    axes: str = "yx",
    *,
    step: float = 0.5,
    channels: tuple[Channel, ...] = (),
    version: Version = "0.5",
    chunk: int = 32,
    units: Mapping[str, str] = UNITS,
) -> Image:
    """Write an image whose sample begins at the origin, sharded where its version knows shards, with its pyramid."""
    size = tuple(1 if axis in "tc" else min(chunk, n) for axis, n in zip(axes, pixels.shape, strict=True))
    scale = tuple(step if axis in "zyx" else 1.0 for axis in axes)
    layout = pyramid_layout(
        axes=tuple(Axis(axis, KINDS.get(axis, "space"), units.get(axis)) for axis in axes),
        shape=pixels.shape,
        dtype=pixels.dtype.name,
        scale=scale,
        translation=tuple(step / 2 if axis in "yx" else 0.0 for axis in axes),
        chunks=size,
        shards=tuple(2 * n for n in size) if version == "0.5" else None,
        channels=channels,
        name=str(place).rpartition("/")[2].partition(".")[0],
    )
    writer = create_image(place, layout, mode="overwrite", version=version)
    writer.array(0)[...] = pixels
    build_pyramid(writer)
    writer.publish()
    return open_image(place)
