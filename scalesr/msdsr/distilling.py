"""What the fast network learns from: stacks of measured planes, and the volumes that the teacher made of them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from scalesr.errors import InputError
from scalesr.images import image_statistics
from scalesr.learning.sources import HIGH, LOW
from scalesr.msdsr.patches import FLAT, FLAT_TRIES, TRIES, Draws
from scalesr.tiling import reflect, reflected_span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.images import Image


class Volumes(Protocol):
    """Volumes of one size that patches are cut from."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """How many, and pixels along z, y and x."""

    @property
    def identity(self) -> str:
        """Text that is equal for the same pixels only."""

    def read(self, number: int, z: slice, y: slice, x: slice) -> NDArray[np.float32]:
        """Return a region (z, y, x) of a volume, normalised to about 0 to 1; NaN where nothing was measured."""


@dataclass(frozen=True, eq=False)
class ArrayVolumes:
    """One volume in memory, (z, y, x), taken as it is."""

    pixels: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """One, and pixels along z, y and x."""
        depth, height, width = self.pixels.shape
        return 1, depth, height, width

    @property
    def identity(self) -> str:
        """Hash of the pixels."""
        return f"volume {self.pixels.shape} {hashlib.sha256(np.ascontiguousarray(self.pixels).tobytes()).hexdigest()}"

    def read(self, number: int, z: slice, y: slice, x: slice) -> NDArray[np.float32]:  # noqa: ARG002  # there is one
        """Return a region."""
        return self.pixels[z, y, x]


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageVolumes:
    """The volumes of an OME-Zarr image of any size, one for each channel and time, read by region.

    Raises
    ------
    InputError
        The image has no z, y or x.
    """

    image: Image
    """From `scalesr.images.open_image`."""
    like: Image
    """Whose 0.1 and 99.9 percentiles, channel by channel, become 0 and 1: the stack that the image is, or was made of,
    so that both are on one scale, and on that of a run."""
    _bounds: dict[int, tuple[float, float]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if set("zyx") - set(self.image.axis_names):
            raise InputError(
                f"{self.image.url} has the axes '{''.join(self.image.axis_names)}'.",
                remedy="Give a stack of planes, with z, y and x.",
            )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Channels times times, and pixels along z, y and x."""
        size = dict(zip(self.image.axis_names, self.image.shape, strict=True))
        return math.prod(n for a, n in size.items() if a not in "zyx"), size["z"], size["y"], size["x"]

    @property
    def identity(self) -> str:
        """The image's address and the hash of its metadata; pixels are not read for it."""
        return f"image {self.image.url} {self.image.fingerprint()}"

    def read(self, number: int, z: slice, y: slice, x: slice) -> NDArray[np.float32]:
        """Return a region.

        Raises
        ------
        StorageError
            A chunk cannot be read; the message names it.
        """
        names, sizes = self.image.axis_names, self.image.shape
        others = [(a, n) for a, n in zip(names, sizes, strict=True) if a not in "zyx"]
        found = np.unravel_index(number, [n for _, n in others]) if others else ()
        index = {"z": z, "y": y, "x": x} | {
            a: slice(int(k), int(k) + 1) for (a, _), k in zip(others, found, strict=True)
        }
        values = self.image.read(tuple(index[a] for a in names)).astype(np.float32)
        spatial = [a for a in names if a in "zyx"]
        values = values.reshape([n for a, n in zip(names, values.shape, strict=True) if a in "zyx"])
        low, high = self._range(index["c"].start if "c" in index else 0)
        values = (values.transpose([spatial.index(a) for a in "zyx"]) - np.float32(low)) / np.float32(high - low)
        values[~np.isfinite(values)] = np.nan
        return values

    def _range(self, channel: int) -> tuple[float, float]:
        if channel not in self._bounds:
            region = tuple(
                slice(channel, channel + 1) if a == "c" else slice(0, n)
                for a, n in zip(self.like.axis_names, self.like.shape, strict=True)
            )
            self._bounds[channel] = image_statistics(self.like, level=0, region=region).span(LOW, HIGH)
        return self._bounds[channel]


@dataclass(frozen=True, eq=False, kw_only=True)
class Pair:
    """Stacks and what the teacher made of them.

    Raises
    ------
    InputError
        Their sizes do not go together.
    """

    name: str
    """Short name for messages."""
    stack: Volumes
    """Measured planes."""
    volume: Volumes
    """What the teacher made of them: plane k of the stack is row ``k * scale``."""
    scale: int
    """Rows for each plane."""
    truth: Volumes | None = None
    """What there is in truth, of at least as many rows as the last plane's, where that is known: to be judged by."""
    weight: float = 1.0
    """Share of the patches, relative to other pairs."""

    def __post_init__(self) -> None:
        count, planes, *size = self.stack.shape
        rows = [self.volume.shape, *([self.truth.shape] if self.truth else [])]
        if planes < 2 or any([n, *s] != [count, *size] or z <= (planes - 1) * self.scale for n, z, *s in rows):
            raise InputError(
                f"{self.name}: a stack of {self.stack.shape} and volumes of {rows} do not go together.",
                remedy=f"Give volumes of the same pixels, with {self.scale} rows for each plane.",
            )

    @property
    def identity(self) -> str:
        """Text that is equal for the same pixels only."""
        truth = self.truth.identity if self.truth else "not known"
        return f"{self.weight:g} {self.scale} {self.stack.identity}; {self.volume.identity}; {truth}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Gaps:
    """Patches between planes."""

    stacks: torch.Tensor
    """float32, shape (n, 1, planes, edge, edge): the planes around a gap, those beyond the stack mirrored."""
    rows: torch.Tensor
    """float32, shape (n, scale - 1, edge, edge): what the teacher put into it."""
    truth: torch.Tensor
    """Of the same shape: what is there, NaN where that is not known."""


class GapPatches:
    """Draws gaps between neighbouring planes; those of a step follow from the seed and its number.

    Parameters
    ----------
    pairs
        What to draw from.
    planes
        Planes around a gap, an even number.
    edge
        Edge of a patch in pixels.
    seed
        Seed.

    Raises
    ------
    InputError
        No pair, one of another scale than the first, or one smaller than a patch.
    """

    def __init__(self, pairs: Sequence[Pair], *, planes: int, edge: int, seed: int) -> None:
        if not pairs:
            raise InputError("There is no stack to train on.", remedy="Name at least one.")
        for pair in pairs:
            if min(pair.stack.shape[2:]) < edge or pair.scale != pairs[0].scale:
                raise InputError(
                    f"{pair.name} has planes of {pair.stack.shape[2]} x {pair.stack.shape[3]} px and a scale of "
                    f"{pair.scale}; patches have {edge} px and a scale of {pairs[0].scale}.",
                    remedy="Give larger stacks of one scale, or smaller patches.",
                )
        self.draws = Draws()
        self._pairs, self._planes, self._edge, self._seed = list(pairs), planes, edge, seed
        shares = np.array([pair.weight for pair in pairs], float)
        self._shares = shares / shares.sum()

    def batch(self, number: int, count: int) -> Gaps:
        """Return the patches of a step."""
        random = np.random.default_rng((self._seed, number))
        drawn = [self._drawn(random) for _ in range(count)]
        stacks, rows, truth = (torch.from_numpy(np.stack(part)) for part in zip(*drawn, strict=True))
        return Gaps(stacks=stacks[:, None], rows=rows, truth=truth)

    def take_notes(self, notes: Mapping[str, Any]) -> None:
        """Go on counting from these."""
        self.draws = Draws(**notes)

    def _drawn(self, random: np.random.Generator) -> list[NDArray[np.float32]]:
        flat = 0
        for _ in range(TRIES):
            pair = self._pairs[random.choice(len(self._pairs), p=self._shares)]
            found = self._cut(pair, random)
            if np.isnan(found[0]).any() or np.isnan(found[1]).any():
                self.draws.missing += 1
                continue
            if float(found[0].std()) < FLAT:
                flat += 1
                if flat <= FLAT_TRIES:
                    self.draws.flat += 1
                    continue
                self.draws.flat_kept += 1
            for axis in range(3):
                if random.random() < 0.5:
                    found = [np.flip(part, axis) for part in found]
            if random.random() < 0.5:
                found = [part.transpose(0, 2, 1) for part in found]
            return [np.ascontiguousarray(part, np.float32) for part in found]
        raise InputError(
            f"{TRIES} patches of {self._edge} px in a row had missing pixels ({self._pairs[0].name}).",
            remedy="Use stacks with more measured pixels, or smaller patches.",
        )

    def _cut(self, pair: Pair, random: np.random.Generator) -> list[NDArray[np.float32]]:
        """Return planes, the teacher's rows and true ones of a gap anywhere."""
        count, planes, height, width = pair.stack.shape
        number, gap = int(random.integers(count)), int(random.integers(planes - 1))
        y, x = (slice(k, k + self._edge) for k in (int(random.integers(n - self._edge + 1)) for n in (height, width)))
        first = gap - self._planes // 2 + 1
        start, stop = reflected_span(first, first + self._planes, planes)
        near = pair.stack.read(number, slice(start, stop), y, x)
        around = near[[reflect(plane, planes) - start for plane in range(first, first + self._planes)]]
        rows = slice(gap * pair.scale + 1, (gap + 1) * pair.scale)
        made = pair.volume.read(number, rows, y, x)
        true = pair.truth.read(number, rows, y, x) if pair.truth else np.full_like(made, np.nan)
        return [around, made, true]
