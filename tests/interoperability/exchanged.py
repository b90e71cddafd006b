"""Images that are exchanged with other software: small, and unlike themselves in every direction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scalesr.images import (
    Axis,
    Channel,
    SpectralAxis,
    build_pyramid,
    create_image,
    open_image,
    pyramid_layout,
    write_spectral,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from scalesr.images import Image

Version = Literal["0.4", "0.5"]
KINDS: dict[str, Any] = {"t": "time", "c": "channel"}
VERSIONS: tuple[Version, ...] = ("0.5", "0.4")
"""Of OME-Zarr, that scalesr writes: 0.5 is always sharded, 0.4 knows no shards."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """An image, and what everybody must find in it."""

    axes: str
    shape: tuple[int, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]
    labels: tuple[str, ...] = ()
    dtype: str = "uint16"

    @property
    def pixels(self) -> NDArray[Any]:
        """A ramp with noise on it, in which a turned or swapped axis shows."""
        values = np.random.default_rng(len(self.shape)).integers(0, 50, self.shape)
        for axis, size in enumerate(self.shape):
            steps = np.arange(size) * 10 ** (axis % 2 + 1)
            values = values + steps.reshape([-1 if a == axis else 1 for a in range(len(self.shape))])
        return np.asarray(values % 60_000).astype(self.dtype)

    @property
    def units(self) -> dict[str, str]:
        """Units of the axes that have one."""
        return {axis: "micrometer" for axis in self.axes if axis in "zyx"}

    @property
    def pixel_sizes(self) -> dict[str, float]:
        """Pixel sizes along axes of space."""
        return {axis: size for axis, size in zip(self.axes, self.scale, strict=True) if axis in "zyx"}


SAMPLES = {
    "plane (y, x)": Sample(axes="yx", shape=(70, 90), scale=(0.25, 0.5), translation=(3.0, 7.0)),
    "volume (c, z, y, x)": Sample(
        axes="czyx",
        shape=(2, 5, 40, 50),
        scale=(1.0, 2.0, 0.25, 0.5),
        translation=(0.0, 1.0, 3.0, 7.0),
        labels=("DAPI", "GFP"),
    ),
    "spectral cube (c, y, x)": Sample(
        axes="cyx",
        shape=(12, 40, 44),
        scale=(1.0, 50.0, 50.0),
        translation=(0.0, 25.0, 25.0),
        labels=tuple(f"m/z {100 + 50 * band}" for band in range(12)),
        dtype="float32",
    ),
}


def write_ours(name: str, version: Version, target: Path) -> Image:
    """Write a sample as scalesr does, with a pyramid of two levels at least."""
    sample = SAMPLES[name]
    pieces = tuple(min(16, size) if axis in "zyx" else 1 for axis, size in zip(sample.axes, sample.shape, strict=True))
    groups = tuple(2 * piece if axis in "yx" else piece for axis, piece in zip(sample.axes, pieces, strict=True))
    made = pyramid_layout(
        axes=tuple(Axis(axis, KINDS.get(axis, "space"), sample.units.get(axis)) for axis in sample.axes),
        shape=sample.shape,
        dtype=sample.dtype,
        scale=sample.scale,
        translation=sample.translation,
        chunks=pieces,
        shards=groups,
        smallest=32,
        channels=tuple(Channel(label=label) for label in sample.labels),
        name="exchanged",
    )
    writer = create_image(target, made, version=version)
    writer.write(0, tuple(slice(0, size) for size in sample.shape), sample.pixels)
    build_pyramid(writer)
    if name.startswith("spectral"):
        bands = np.array([float(label.removeprefix("m/z ")) for label in sample.labels])
        write_spectral(target, SpectralAxis(values=bands, quantity="m/z", unit=None))
    writer.publish()
    return open_image(target)
