"""The fast mode: a small deterministic network that learned from the diffusion network what lies between planes."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from scalesr.errors import ModelError, PlanError
from scalesr.models import checkpoint
from scalesr.models.filling import filled
from scalesr.models.network import Network
from scalesr.models.trial import Facts, examine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scalesr.models import ModelSpec
    from scalesr.models.checkpoint import Checkpoint

ARCHITECTURE = "msdsr-fast"
"""Name in the metadata of a file."""
TILE = (24, 128, 128)
"""Planes and pixels of a tile: some 0.3 GB of memory, and half as much work again for the context. Our own choice."""
_LARGEST = 64
"""Rows for each plane: beyond that nothing can be known of what lies between."""


class Student(nn.Module):
    """Fills the rows between planes: linear interpolation and what a few convolutions add to it.

    Maps stacks ``(n, 1, planes, y, x)`` to ``(n, 1, planes * scale, y, x)``, plane k at row ``k * scale``, bit for bit.
    A row is made of the `planes` nearest to it, half of them on either side, and of so many pixels around it in y and x
    as there are convolutions. A constant added to the stack is added to the rows. Beyond the outermost planes these are
    repeated.

    Parameters
    ----------
    scale
        Rows for each plane, a whole number from 2.
    features
        Channels inside.
    blocks
        Residual blocks of two convolutions.
    planes
        How many planes a row is made of, an even number.

    Raises
    ------
    PlanError
        A size that cannot be used.
    """

    def __init__(self, *, scale: int, features: int = 48, blocks: int = 2, planes: int = 4) -> None:
        super().__init__()
        if not (2 <= scale <= _LARGEST and features >= 1 and blocks >= 0 and planes >= 2 and planes % 2 == 0):
            raise PlanError(
                f"A network of scale {scale}, {features} features, {blocks} blocks and {planes} planes cannot be made.",
                remedy="Give a whole scale from 2 to 64, features from 1, blocks from 0, an even number of planes.",
            )
        self.sizes = {"scale": scale, "features": features, "blocks": blocks, "planes": planes}
        self.scale, self.planes = scale, planes
        self.head = nn.Conv3d(1, features, (planes, 3, 3), padding=(0, 1, 1))
        self.body = nn.ModuleList(_Block(features) for _ in range(blocks))
        self.tail = _conv(features, scale - 1)
        # Training begins at linear interpolation.
        nn.init.zeros_(self.tail.weight)
        nn.init.zeros_(self.tail.bias)  # type: ignore[arg-type]  # it has one
        shares = torch.arange(1, scale, dtype=torch.float32) / scale
        self.register_buffer("shares", shares.view(1, -1, 1, 1, 1), persistent=False)
        self.shares: torch.Tensor

    @property
    def reach(self) -> int:
        """Pixels along y and x by which what is beyond a tile's border changes rows."""
        return 2 + 2 * len(self.body)

    def between(self, stacks: torch.Tensor) -> torch.Tensor:
        """Return the rows of each gap that has `planes` around it.

        Parameters
        ----------
        stacks
            Shape ``(n, 1, gaps + planes - 1, y, x)``.

        Returns
        -------
        torch.Tensor
            Shape ``(n, scale - 1, gaps, y, x)``.
        """
        weight = self.head.weight
        # Weights that sum to nothing see differences alone.
        seen = functional.conv3d(
            stacks, weight - weight.mean((2, 3, 4), keepdim=True), self.head.bias, padding=self.head.padding
        )
        found = torch.relu(seen)
        for block in self.body:
            found = block(found)
        gaps, before = stacks.shape[2] - self.planes + 1, self.planes // 2 - 1
        low, high = (stacks[:, :, start : start + gaps] for start in (before, before + 1))
        change: torch.Tensor = self.tail(found)
        return torch.lerp(low.float(), high.float(), self.shares) + change.float()

    def forward(self, stacks: torch.Tensor) -> torch.Tensor:
        """Return the stacks with the rows between their planes; after the last plane, those of planes like it."""
        half = self.planes // 2
        padded = torch.cat([*[stacks[:, :, :1]] * (half - 1), stacks, *[stacks[:, :, -1:]] * half], dim=2)
        rows = torch.cat([stacks, self.between(padded).to(stacks.dtype)], dim=1)
        count, _, planes, height, width = stacks.shape
        return rows.transpose(1, 2).reshape(count, 1, planes * self.scale, height, width)


class _Block(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.first, self.second = _conv(features, features), _conv(features, features)

    def forward(self, seen: torch.Tensor) -> torch.Tensor:
        change: torch.Tensor = self.second(torch.relu(self.first(seen)))
        return seen + change


def save_student(student: Student, path: Path, *, title: str, extra: Mapping[str, Any] | None = None) -> None:
    """Write a network as safetensors that ``scalesr run --model`` takes.

    Parameters
    ----------
    student
        The network.
    path
        The file, which is replaced.
    title
        One line on the network.
    extra
        Further notes; names get ``training.`` in front.
    """
    notes = {f"training.{name}": json.dumps(value) for name, value in (extra or {}).items()}
    said = {name: str(value) for name, value in student.sizes.items()} | {"scale": f"{student.scale},1,1"}
    tensors = {name: value.detach().cpu().contiguous() for name, value in student.state_dict().items()}
    save_file(tensors, path, metadata={"architecture": ARCHITECTURE, "title": title, **said, **notes})


def student_of(weights: Checkpoint) -> Student:
    """Return the network that a file holds.

    Raises
    ------
    ModelError
        It holds another network, or tensors and sizes do not go together.
    """
    said = weights.metadata
    if said.get("architecture") != ARCHITECTURE:
        raise ModelError(
            f"{weights.path} holds no network of the fast mode.", remedy="Make one by `scalesr train msdsr-fast`."
        )
    try:
        sizes = {name: int(said[name]) for name in ("features", "blocks", "planes")}
        make = partial(Student, scale=int(said["scale"].split(",")[0]), **sizes)
        student = filled(make, {name: value.float() for name, value in weights.tensors.items()})
    except (KeyError, ValueError, RuntimeError, PlanError) as error:
        raise ModelError(
            f"The metadata and the weights of {weights.path} do not go together: {error}",
            remedy="Write it by scalesr.msdsr.student.save_student.",
        ) from error
    return student.eval()


def build(
    weights: Checkpoint,
    *,
    scale: tuple[Fraction, ...] | None,  # noqa: ARG001  # it has its own
    image_channels: int | None,  # noqa: ARG001  # each channel is a stack of its own
    options: Mapping[str, Any],
) -> Network:
    """Make the model of a file, as `scalesr.models.architectures` wants it.

    Raises
    ------
    ModelError
        The file holds another network, or an option was given.
    """
    if options:
        raise ModelError(
            f"The fast mode has no option '{next(iter(options))}': it is deterministic, in one pass.",
            remedy="Leave out the options, or use the diffusion network.",
        )
    student = student_of(weights)
    return Network(student, spec_of(student, sha256=checkpoint.fingerprint(weights.path)))


def spec_of(student: Student, *, sha256: str) -> ModelSpec:
    """Return what is measured of a network, and what holds of all; `sha256` is that of its file."""
    facts = Facts(
        name=ARCHITECTURE,
        axes="zyx",
        scale=(Fraction(student.scale), Fraction(1), Fraction(1)),
        channels=1,
        multiple=1,
        minimum=1,
    )
    return replace(
        examine(student, facts, sha256=sha256), tile=TILE, sampling=("point", "area", "area"), verbatim="planes"
    )


def _conv(inputs: int, outputs: int) -> nn.Conv3d:
    return nn.Conv3d(inputs, outputs, (1, 3, 3), padding=(0, 1, 1))
