"""What a run tells those who watch it. The engine never prints: progress bars, logs and reports are callbacks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from scalesr.images.stores import Traffic

if TYPE_CHECKING:
    from scalesr.engine.memory import Demand
    from scalesr.tiling import Plan


@dataclass(frozen=True, kw_only=True)
class BlockReport:
    """What one block did; kept in the ledger."""

    block: int
    """Number of the block in C order."""
    index: tuple[int, ...]
    """Position of the block in the grid."""
    checksums: tuple[str, ...]
    """CRC-32C of the block's voxels on each level that it wrote, finest first, in hexadecimal."""
    tiles: int
    """Tiles that the network computed."""
    batch: int
    """Tiles of a batch; smaller than planned where the device ran out of memory."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Time of each stage: read, infer, stitch, write."""
    attempts: int = 1
    """How often the block was tried."""
    bad_chunks: tuple[str, ...] = ()
    """Chunks of the input that could not be decoded and were filled."""
    not_finite: int = 0
    """Input voxels that were NaN or infinite and were replaced."""
    clipped: int = 0
    """Output voxels outside the range of the output's data type, set to its nearest value."""
    masked: int = 0
    """Input voxels that the mask leaves out."""
    negative: int = 0
    """Output voxels below zero that were set to zero to conserve the flux."""
    flat: int = 0
    """Input pixels whose voxels were all given the pixel's own value to conserve the flux."""
    deviations: tuple[str, ...] = ()
    """CRC-32C of the block's standard deviations on each level that it wrote, where they are kept."""
    gathered: list[dict[str, Any]] = field(default_factory=list)
    """What was measured of the block: for each plane its place and a state for each statistic."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened."""


@dataclass(frozen=True, kw_only=True)
class RunStarted(Event):
    """The plan stands, nothing was written yet."""

    plan: Plan
    """What will be done."""
    demand: Demand
    """What memory it needs."""
    executor: str
    """Who does it, in words."""
    done: int
    """Blocks that an earlier run left finished."""
    slots: int = 0
    """Inferences that go on side by side; 0 where nobody knows."""


@dataclass(frozen=True, kw_only=True)
class StageStarted(Event):
    """A stage began that is counted in steps of its own: statistics, blocks, levels."""

    name: str
    """What is being done, in words."""
    total: int
    """How many steps it has."""


@dataclass(frozen=True, kw_only=True)
class StageAdvanced(Event):
    """Some steps of a stage are done."""

    name: str
    """The stage."""
    steps: int = 1
    """How many."""


@dataclass(frozen=True, kw_only=True)
class BlockDone(Event):
    """A block is written, with its part of every level, and recorded."""

    report: BlockReport
    """What it did."""
    done: int
    """Blocks that are finished now."""
    total: int
    """Blocks of the image."""


@dataclass(frozen=True, kw_only=True)
class Trouble(Event):
    """Something out of the ordinary happened, which the run goes on from."""


@dataclass(frozen=True, kw_only=True)
class BlockRetried(Trouble):
    """A block failed and is tried again."""

    block: int
    """Number of the block."""
    attempt: int
    """Which attempt comes now, from 2."""
    error: str
    """What went wrong."""


@dataclass(frozen=True, kw_only=True)
class BlockLost(Trouble):
    """A block was lost with the workers that had it, and is computed again; that is not counted as a failed attempt."""

    block: int
    """Number of the block."""
    workers: int
    """Workers that died so far while they had it."""
    error: str
    """What happened."""


@dataclass(frozen=True, kw_only=True)
class BlockGivenUp(Trouble):
    """A block failed as often as it may; the run goes on without it, and will not be whole."""

    block: int
    """Number of the block."""
    error: str
    """What went wrong the last time."""


@dataclass(frozen=True, kw_only=True)
class BlockSlow(Trouble):
    """A block takes far longer than others do. Nothing is done about it: ending its worker sends it to another one."""

    block: int
    """Number of the block."""
    seconds: float
    """Since it was submitted."""
    usual: float
    """Median of the last blocks that ended."""


@dataclass(frozen=True, kw_only=True)
class ClusterAway(Trouble):
    """Nobody is there to run the tasks; the run waits."""

    problem: str
    """Who is missing."""
    patience: float
    """Seconds that are waited at the most."""


@dataclass(frozen=True, kw_only=True)
class ClusterBack(Trouble):
    """Whoever runs the tasks is there again; what was lost is submitted again."""

    seconds: float
    """How long it took."""


@dataclass(frozen=True, kw_only=True)
class BatchReduced(Trouble):
    """The device ran out of memory; the batch was halved, which may change the last bits of the result."""

    block: int
    """Block at which it happened."""
    batch: int
    """Tiles of a batch from now on."""


@dataclass(frozen=True, kw_only=True)
class RunFinished(Event):
    """The output is whole and says so."""

    seconds: float
    """Wall time of the run."""
    blocks: int
    """Blocks that this run computed."""
    bad_chunks: int
    """Chunks of the input that were filled."""
    traffic: Traffic = field(default_factory=Traffic)
    """Requests to stores that are not local."""


class Callback(Protocol):
    """Anything that can be called with an event, in the process that started the run, one at a time."""

    def __call__(self, event: Event, /) -> None:
        """Take note of an event."""
