"""A job: what every task of a run is told. Small, immutable, and picklable into any worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

from scalesr.images import OWN, Files, Image, ImageWriter, open_image
from scalesr.images.stores import StoreOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalesr.engine.eigenimages import Eigenimages
    from scalesr.engine.masks import Mask
    from scalesr.engine.normalisation import Normalisation
    from scalesr.engine.riding import Ride
    from scalesr.models import ModelRef
    from scalesr.tiling import Plan

KEPT = 16
"""Images that a process keeps open, of either kind: one in a store is a megabyte, and a worker of a cluster may serve
runs for months."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Everything that a task must know beside the number of its block."""

    source: str
    """URL of the input."""
    source_options: StoreOptions = field(default_factory=StoreOptions, repr=False)
    """Options of the input's storage."""
    source_sha256: str = ""
    """Fingerprint of the input when the run was planned: a process that has opened it before it was written anew, in
    another shape, opens it again."""
    level: int = 0
    """Level of the input that is processed."""
    output: ImageWriter
    """The output: where it lies and what it looks like."""
    plan: Plan
    """Geometry and arithmetic."""
    model: ModelRef
    """Which model; its weights are loaded once in each process."""
    device: str
    """Where the model runs: ``cpu``, ``cuda`` or ``cuda:N``."""
    normalisation: Normalisation
    """How intensities are normalised."""
    channel_axis: int | None
    """Which axis of the image holds the channels of a tile."""
    spatial_axes: tuple[int, ...]
    """Which axes of the image the model mixes, in the model's order."""
    on_bad_block: Literal["stop", "fill"] = "stop"
    """What to do with chunks that cannot be decoded."""
    on_nan: Literal["stop", "fill"] = "stop"
    """What to do with NaN and infinity."""
    mask: Mask | None = None
    """Which pixels were measured; ``None`` where all were."""
    deviation: ImageWriter | None = None
    """The image of the standard deviations; ``None`` where none is kept."""
    eigen: Eigenimages | None = None
    """What stands for the bands in the network; ``None`` where they do so themselves."""
    ride: Ride | None = None
    """What is measured on the way."""
    given: Image | None = field(default=None, repr=False)
    """The input where it lies in memory, in place of `source`: as much of it as a block needs."""

    @cached_property
    def tile_order(self) -> tuple[int, ...]:
        """Axes of the image in the order of a tile of the model: channel, spatial, then those of one pixel."""
        first = () if self.channel_axis is None else (self.channel_axis,)
        kept = first + self.spatial_axes
        return kept + tuple(axis for axis in range(len(self.plan.lattice.axes)) if axis not in kept)

    @property
    def image(self) -> Image:
        """The input, opened once in each process."""
        return self.given if self.given is not None else _image(self.source, self.source_options, self.source_sha256)

    @property
    def writer(self) -> ImageWriter:
        """The output, whose arrays are opened once in each process."""
        return _writer(self.output)

    @property
    def deviation_writer(self) -> ImageWriter | None:
        """The image of the standard deviations, whose arrays are opened once in each process."""
        return None if self.deviation is None else _writer(self.deviation)

    @property
    def target(self) -> str:
        """URL of the output."""
        return self.output.url

    @property
    def files(self) -> Files:
        """Plain files in the output's ledger."""
        return ledger_files(self.output.url, self.output.storage_options)


@lru_cache(maxsize=KEPT)
def _image(url: str, options: StoreOptions, _: str) -> Image:
    return open_image(url, storage_options=options)


@lru_cache(maxsize=KEPT)
def _writer(output: ImageWriter) -> ImageWriter:
    return output


def ledger_files(url: str, options: Mapping[str, Any]) -> Files:
    """Return the plain files of the ledger inside an output: manifest, records and strips."""
    return Files(f"{url.rstrip('/')}/{OWN}", options)
