"""What memory a run needs, as a sum of named terms, known before it starts."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal

from scalesr.engine.eigenimages import PIECE_VALUES
from scalesr.engine.ferry import BUFFER_BYTES, BUFFERS
from scalesr.engine.lanes import DEVICE_WINDOWS
from scalesr.errors import PlanError
from scalesr.tiling import human_bytes, round_up

if TYPE_CHECKING:
    from scalesr.models import ModelSpec
    from scalesr.tiling import Plan

PROCESS_BYTES = 420 * 2**20
"""Interpreter with torch, zarr and dask loaded and warmed up; measured by benchmarks/memory.py."""
CHUNKS_AT_ONCE = 16
"""Chunks that zarr decodes at the same time for one read; its default is 10."""
GIVEN_BACK_LATE = 1.15
"""Allocators give memory back late and in whole pages; measured by benchmarks/memory.py."""


@dataclass(frozen=True, kw_only=True)
class Workers:
    """How tasks are spread: what multiplies the demand, but never changes a byte of the result."""

    processes: int
    """Processes on this machine that load the model; 0 on a cluster elsewhere."""
    slots: int
    """Inferences at the same time, over all processes."""
    in_flight: int
    """Blocks in flight, over all processes."""


@dataclass(frozen=True, kw_only=True)
class Term:
    """One reason why memory is needed."""

    name: str
    """What it is, in words."""
    each: int
    """Bytes of one."""
    count: int
    """How many at the same time."""

    @property
    def total(self) -> int:
        """Bytes of all."""
        return self.each * self.count


@dataclass(frozen=True, kw_only=True)
class Demand:
    """Memory of all workers on this machine, and of the device."""

    host: tuple[Term, ...]
    """What takes the machine's memory."""
    device: tuple[Term, ...]
    """What takes the GPU's memory; empty on the CPU."""

    @property
    def host_bytes(self) -> int:
        """Bytes of the machine's memory."""
        return int(GIVEN_BACK_LATE * sum(term.total for term in self.host))

    @property
    def device_bytes(self) -> int:
        """Bytes of the device's memory."""
        return int(GIVEN_BACK_LATE * sum(term.total for term in self.device))


def demand(plan: Plan, spec: ModelSpec, *, workers: Workers, device: Literal["cpu", "cuda"]) -> Demand:
    """Return what a run needs at its peak.

    Every block in flight is counted as the larger of what it holds before and after the network, every inference with
    its activations, on a GPU also with its block's pixels and sums, and every task that writes with its voxels twice,
    once as they are and once encoded.
    """
    lattice = plan.lattice
    pixels = prod(axis.context(0)[1] - axis.context(0)[0] for axis in lattice.axes)
    in_storage = prod(
        round_up(min(axis.tile + (axis.block - 1) * axis.cell, axis.size) + chunk - 1, chunk)
        for axis, chunk in zip(lattice.axes, plan.in_chunk, strict=True)
    )
    sums = prod(plan.summed.sums(plan.largest)) * plan.kinds
    voxels = prod(stop.stop - stop.start for stop in lattice.owned(plan.largest))
    tile = prod(lattice.tile_shape)
    out_tile = prod(int(axis.tile * axis.scale) for axis in plan.summed.axes)
    # Whether they are kept or not.
    out_tile *= 2 if spec.deviation == "returned" else 1
    batch = plan.batch
    if plan.components is not None:
        # One tile holds all bands, which are written some at a time, and zarr decodes few of their chunks at once.
        batch, bands = 1, lattice.axes[plan.components[0]].size
        voxels = voxels // bands * plan.bands_together
        in_storage = min(in_storage, pixels + CHUNKS_AT_ONCE * prod(plan.in_chunk))
    width = 4 if plan.precision == "fp32" else 2
    # Counted with input and output for each pixel of a tile, whatever its channels; then fixed point, once as float
    # and once as integer.
    network = int(batch * tile / spec.channels * spec.activation_bytes * width / 4 + out_tile * 8)
    # One thread more than inferences reads and writes; a GPU, which has its own memory, may have all blocks but its own
    # read and written at once.
    threads = workers.slots + 1 if device == "cpu" else workers.in_flight
    held = max(pixels * plan.in_itemsize, sums * plan.sum_itemsize)
    # The voxels, their encoded shards twice while they are joined, and the wider sums of the first halving.
    writing = int(voxels * (plan.out_itemsize * 3 + 4))
    if plan.deviation == "kept":
        # In float32, after the voxels and while these are still there.
        writing = max(writing, int(voxels * (plan.out_itemsize + 4 * 3 + 4)))
    host = [
        Term(name="processes", each=PROCESS_BYTES, count=max(1, workers.processes)),
        Term(name="blocks in flight", each=held, count=workers.in_flight),
        Term(name="reading: chunks decoded", each=in_storage * plan.in_itemsize, count=threads),
        Term(name="writing: voxels and encoded shards", each=writing, count=threads),
        # Tiles for a GPU are cut there, where they count with the network.
        Term(name="batches of tiles", each=batch * tile * 4, count=workers.slots)
        if device == "cpu"
        else Term(name="page-locked buffers", each=BUFFERS * BUFFER_BYTES, count=workers.slots),
    ]
    if plan.components is not None:
        host.append(Term(name="bands and their pixels", each=_mixing(plan, voxels), count=threads))
    if plan.flux == "conserved" or plan.verbatim == "planes":
        under = int(voxels / prod(axis.scale for axis in lattice.axes))
        host.append(Term(name="input pixels read again", each=under * plan.in_itemsize, count=threads))
    processes = max(1, workers.processes)
    computing = [
        Term(name="weights", each=spec.weight_bytes, count=processes),
        Term(name="network at work", each=network, count=workers.slots),
    ]
    if device == "cpu":
        return Demand(host=(*host, *computing), device=())
    on_device = [
        *computing,
        # Wider types are carried over as float32.
        Term(name="pixels of a block", each=pixels * min(plan.in_itemsize, 4), count=workers.slots),
        Term(name="sums of a block", each=sums * plan.sum_itemsize, count=workers.slots),
    ]
    if lattice.offsets:
        on_device.append(Term(name="windows of tiles", each=_windows(plan), count=workers.slots))
    return Demand(host=tuple(host), device=tuple(on_device))


def _windows(plan: Plan) -> int:
    """Return the bytes of the windows that one inference on a GPU keeps."""
    axes = [axis for axis, mixed in zip(plan.summed.axes, plan.mixed, strict=True) if mixed]
    # The first cell along an axis, the last, and those between have windows of their own.
    kinds = prod(min(axis.cells, 3) for axis in axes)
    return min(kinds, DEVICE_WINDOWS) * 4 * prod(axis.out_cell + axis.strip for axis in axes)


def _mixing(plan: Plan, voxels: int) -> int:
    """Return what it takes to interpolate and mix the bands that are made together."""
    lattice = plan.lattice
    # Their input pixels with context, once as stored and once filled; a piece's values, interpolated along one axis,
    # mixed, and the eigenimages with two roundings of them.
    under = prod(axis.tile + (axis.block - 1) * axis.cell for axis in lattice.axes)
    bands = lattice.axes[plan.components[0]].size if plan.components is not None else 1
    rows = min((a for a, mixed in enumerate(plan.mixed) if mixed), default=0)
    least = voxels // max(1, lattice.owned(plan.largest)[rows].stop)
    piece = max(PIECE_VALUES, int(least * lattice.axes[rows].scale) * 2)
    return 2 * (under // bands * plan.bands_together) * plan.in_itemsize + 6 * 8 * piece


def check_demand(found: Demand, *, allowed: int, device_allowed: int | None) -> None:
    """Refuse a run that will not fit, before it starts.

    Raises
    ------
    PlanError
        The projection exceeds what is allowed; the message names the largest term.
    """
    for what, needed, terms, limit in (
        ("memory", found.host_bytes, found.host, allowed),
        ("device memory", found.device_bytes, found.device, device_allowed),
    ):
        if limit is not None and terms and needed > limit:
            largest = max(terms, key=lambda term: term.total)
            raise PlanError(
                f"The run needs {human_bytes(needed)} of {what}, {human_bytes(limit)} are allowed; most of it, "
                f"{human_bytes(largest.total)}, is {largest.name}.",
                remedy="Lower --block, --cell, --batch or --workers, or allow more with --memory.",
            )
