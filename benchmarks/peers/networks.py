"""The networks of the race: one file of weights each, which every tool reads, so that all run the same numbers.

EDSR and RRDB are those of scalesr, borrowed as two source files, so that an environment without scalesr can run them.
Nothing of scalesr is imported by that, and the modules are plain torch modules.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

SOURCES = Path(__file__).parents[2] / "scalesr" / "models"


class UNet3d(nn.Module):
    """A U-Net of volumes with two poolings and one convolution a level, without normalisation; same size out as in.

    A voxel depends on at most 13 others to each side: 1 + 2 + 4 + 2 + 1 by the convolutions, and 3 by how it lies in
    its 4 x 4 x 4 cell. Edges of tiles, and where they begin, are multiples of 4.

    Parameters
    ----------
    features
        Channels of the finest level; each coarser one has twice as many.
    """

    def __init__(self, features: int = 8) -> None:
        super().__init__()
        self.fine = nn.Conv3d(1, features, 3, padding=1)
        self.middle = nn.Conv3d(features, 2 * features, 3, padding=1)
        self.coarse = nn.Conv3d(2 * features, 4 * features, 3, padding=1)
        self.up_middle = nn.Conv3d(6 * features, 2 * features, 3, padding=1)
        self.up_fine = nn.Conv3d(3 * features, features, 3, padding=1)
        self.last = nn.Conv3d(features, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map ``(n, 1, z, y, x)`` to the same shape."""
        pool, up = nn.functional.max_pool3d, nn.functional.interpolate
        fine = torch.relu(self.fine(image))
        middle = torch.relu(self.middle(pool(fine, 2)))
        coarse = torch.relu(self.coarse(pool(middle, 2)))
        middle = torch.relu(self.up_middle(torch.cat((up(coarse, scale_factor=2.0, mode="nearest"), middle), 1)))
        fine = torch.relu(self.up_fine(torch.cat((up(middle, scale_factor=2.0, mode="nearest"), fine), 1)))
        out: torch.Tensor = self.last(fine) + image
        return out


class Mean(nn.Module):
    """The mean of 3 x 3 pixels: so cheap that a run shows what the tool around it costs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1, bias=False)
        nn.init.constant_(self.conv.weight, 1 / 9)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map ``(n, 1, y, x)`` to the same shape."""
        out: torch.Tensor = self.conv(image)
        return out


def write(path: Path, architecture: str, **sizes: int) -> Path:
    """Write the weights of a new network, random but the same at every call, with what it takes to build it again."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _build(architecture, sizes)
    # None of these is a tensor that two names share, which safetensors would refuse.
    metadata = {"architecture": architecture, **{name: str(size) for name, size in sizes.items()}}
    save_file(network.state_dict(), path, metadata=metadata)
    return path


def load(weights: str) -> nn.Module:
    """Build the network of a file of weights, in float32 on the CPU, in evaluation.

    Also what ``scalesr run --model benchmarks.peers.networks:load --set weights=FILE`` calls.
    """
    with safe_open(weights, framework="pt") as file:
        said = dict(file.metadata())
    network = _build(said.pop("architecture"), {name: int(size) for name, size in said.items()})
    network.load_state_dict(load_file(weights))
    return network.eval()


def _build(architecture: str, sizes: dict[str, int]) -> nn.Module:
    own: dict[str, type[nn.Module]] = {"unet3d": UNet3d, "mean": Mean}
    if architecture in own:
        return own[architecture](**sizes)
    file, name = {"edsr": ("edsr", "EDSR"), "rrdb": ("rrdb", "RRDBNet")}[architecture]
    network: nn.Module = getattr(_borrowed(file), name)(**sizes)
    return network


_borrowing = Lock()


def _borrowed(name: str) -> Any:
    """Run a file of scalesr.models by its path, once.

    It imports the class of its error, which drags the whole package in; a class of the same name stands in for it
    while the file runs, where scalesr is not loaded anyhow. One thread at a time: another would find the stand-in gone.
    """
    wanted, kept = "scalesr.errors", f"borrowed_{name}"
    with _borrowing:
        if wanted in sys.modules:
            return importlib.import_module(f"scalesr.models.{name}")
        if kept in sys.modules:
            return sys.modules[kept]
        sys.modules[wanted] = types.ModuleType(wanted)
        sys.modules[wanted].__dict__["ModelError"] = type("ModelError", (Exception,), {})
        try:
            spec = importlib.util.spec_from_file_location(kept, SOURCES / f"{name}.py")
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            sys.modules[kept] = module
        finally:
            del sys.modules[wanted]
    return module
