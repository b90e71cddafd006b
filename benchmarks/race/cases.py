"""What is raced over: images, networks, and the tiles that all tools are given."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from benchmarks.peers import networks

if TYPE_CHECKING:
    from pathlib import Path

Kind = Literal["image", "bands", "plate"]


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network, as `benchmarks.peers.networks.write` builds it."""

    name: str
    architecture: str
    scale: int
    """Output pixels for each input pixel and axis."""
    halo: int
    """Pixels that it looks at to each side, or a few more."""
    sizes: dict[str, int] = field(default_factory=dict)
    """What the architecture is built with."""

    def write(self, folder: Path) -> Path:
        """Write its weights, random but always the same."""
        return networks.write(folder / f"{self.name}.safetensors", self.architecture, **self.sizes)


# 1 + 16 + 1 + 1 convolutions at the resolution of the input, and one at twice of it: 19.5 pixels.
EDSR = Network(name="edsr-8-32", architecture="edsr", scale=2, halo=20, sizes={"features": 32, "blocks": 8, "scale": 2})
# The same without enlarging: what tools can run whose networks keep the size.
EDSR_1 = Network(
    name="edsr-8-32-x1", architecture="edsr", scale=1, halo=20, sizes={"features": 32, "blocks": 8, "scale": 1}
)
# One block of 32 features, which is the default network of scalesr: five times the arithmetic of EDSR. 18.25 pixels.
RRDB = Network(
    name="rrdb-1-32",
    architecture="rrdb",
    scale=4,
    halo=20,
    sizes={"features": 32, "growth": 32, "blocks": 1, "scale": 4},
)
# At most 13 voxels, and a multiple of 4.
UNET = Network(name="unet3d-8", architecture="unet3d", scale=1, halo=16, sizes={"features": 8})
MEAN = Network(name="mean-3", architecture="mean", scale=1, halo=2)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One image and one network; every tool is given the same cells, halo and intensities."""

    name: str
    network: Network
    axes: str
    """Axes that the network mixes: ``yx`` or ``zyx``."""
    cell: int
    """Edge of what a tile answers for, in pixels of the input."""
    size: int
    """Edge of the image, where nothing else is asked for."""
    kind: Kind = "image"
    """One image; a cube of `count` bands; or a plate of `count` fields."""
    count: int = 1
    noise: int = 256
    """Grey levels over which noise is spread: what a compressed image takes on the disk."""
    whole: int = 4_000_000
    """Pixels of the largest image that goes through the network in one piece, as a reference."""

    def shape(self, size: int) -> tuple[int, ...]:
        """Return the pixels of one array."""
        space = (size,) * len(self.axes)
        return (self.count, *space) if self.kind == "bands" else space

    def pixels(self, size: int) -> int:
        """Return the pixels of all arrays together."""
        return self.count * math.prod((size,) * len(self.axes))


CASES: dict[str, Case] = {
    case.name: case
    for case in (
        Case(name="edsr-2d", network=EDSR, axes="yx", cell=512, size=8192),
        Case(name="same-size-2d", network=EDSR_1, axes="yx", cell=512, size=8192),
        Case(name="rrdb-2d", network=RRDB, axes="yx", cell=256, size=4096, whole=1_100_000),
        Case(name="unet-3d", network=UNET, axes="zyx", cell=96, size=512, whole=17_000_000),
        Case(name="bands", network=EDSR, axes="yx", cell=256, size=256, kind="bands", count=200),
        Case(name="plate", network=EDSR, axes="yx", cell=540, size=1080, kind="plate", count=96),
        Case(name="growth", network=MEAN, axes="yx", cell=512, size=22528, noise=16),
    )
}
