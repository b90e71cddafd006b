"""Images and networks for the engine's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from scalesr.images import Axis, Image, create_image, open_image, pyramid_layout
from scalesr.models.edsr import EDSR

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

KINDS: dict[str, Any] = {"t": "time", "c": "channel"}


def voxels(image: Image, *, level: int = 0) -> NDArray[Any]:
    """Return all voxels of a level."""
    return np.asarray(image.array(level)[...])


class MakeImage(Protocol):
    """Writes an array as an OME-Zarr image."""

    def __call__(self, pixels: NDArray[Any], axes: str = ..., *, name: str = ..., chunk: int = ...) -> Image: ...


@pytest.fixture
def make_image(tmp_path: Path) -> MakeImage:
    """Write an array as an OME-Zarr image with small chunks."""

    def make(pixels: NDArray[Any], axes: str = "yx", *, name: str = "input.zarr", chunk: int = 32) -> Image:
        kinds = tuple(Axis(name=a, kind=KINDS.get(a, "space"), unit="micrometer" if a in "zyx" else None) for a in axes)
        chunks = tuple(1 if a in "tc" else chunk for a in axes)
        layout = pyramid_layout(
            axes=kinds,
            shape=pixels.shape,
            dtype=pixels.dtype.name,
            scale=(0.5,) * len(axes),
            translation=(3.0,) * len(axes),
            chunks=chunks,
            shards=tuple(2 * c for c in chunks),
            name="test",
        )
        writer = create_image(tmp_path / name, layout, mode="overwrite")
        writer.array(0)[...] = pixels
        writer.publish()
        return open_image(tmp_path / name)

    return make


@pytest.fixture(scope="session")
def edsr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small EDSR x2 with random weights, as a file."""
    torch.manual_seed(1)
    network = EDSR(in_channels=1, out_channels=1, features=8, blocks=2, scale=2)
    path = tmp_path_factory.mktemp("models") / "edsr.safetensors"
    metadata = {
        "architecture": "edsr",
        "in_channels": "1",
        "out_channels": "1",
        "features": "8",
        "blocks": "2",
        "scale": "2",
    }
    save_file(network.state_dict(), path, metadata=metadata)
    return path


@pytest.fixture(scope="session")
def speckle() -> NDArray[np.uint16]:
    """An image without any symmetry, 150 x 171 px."""
    rng = np.random.default_rng(7)
    smooth = rng.normal(size=(150, 171)).cumsum(0).cumsum(1)
    pixels: NDArray[np.uint16] = (2000 + 40 * smooth + 300 * rng.random(smooth.shape)).clip(0, 60000).astype(np.uint16)
    return pixels
