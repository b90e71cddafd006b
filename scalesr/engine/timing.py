"""What a few real blocks of an image take on this machine: seconds to read, infer and write, and bytes.

They are made as in a run, in a folder that is removed afterwards; the user's output is not touched.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from scalesr.engine.deviation import deviation_writer
from scalesr.engine.inference import STOP, infer_block
from scalesr.engine.job import Job
from scalesr.engine.normalisation import Normalisation
from scalesr.engine.options import Options
from scalesr.engine.planning import halvings
from scalesr.engine.preparing import layout_of
from scalesr.engine.reading import read_block
from scalesr.engine.stitching import stitch_block, strip_block
from scalesr.engine.strips import put_strips
from scalesr.errors import PlanError
from scalesr.images import create_image, open_image, pyramid_layout
from scalesr.images.stores import StoreOptions, traffic
from scalesr.tiling import Lattice, plan_levels, round_up

if TYPE_CHECKING:
    from scalesr.engine.planning import Subject
    from scalesr.engine.preparing import Prepared
    from scalesr.images import Image
    from scalesr.tiling import Index, Plan

PLACES = (0.5, 0.25, 0.75)
"""Where in the image blocks are tried, as shares of its blocks along each axis."""
PATIENCE = 20.0
"""Seconds that the inference of all of them shall take at most, where that is more than one tile."""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """What one block took, spread over what it was made of."""

    read: float
    """Seconds to read a byte, decoded."""
    infer: float
    """Seconds of a tile in the network, as part of its batch."""
    write: float
    """Seconds to stitch, encode and write an output voxel, strips included."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What some blocks took on this machine, one inference at a time."""

    blocks: tuple[Timed, ...]
    """Each that was tried."""
    tiles: int
    """Tiles of the largest of them."""
    device: str
    """What the network ran on."""
    read_ratio: float | None
    """Bytes fetched for each byte that was decoded; ``None`` where storage is local, which does not count them."""
    written_ratio: float
    """Bytes written for each byte of voxels."""
    origin: str
    """Whose pixels they were: the image's own, or noise in place of one that does not exist."""
    seconds: float
    """What the measurement itself took."""


def time_blocks(image: Image | None, subject: Subject, prepared: Prepared, options: Options) -> Timing:
    """Make a few blocks of an image, and say what reading, inference and writing took.

    Blocks are smaller than planned where the network would take longer than some seconds for them. Normalisation does
    not matter to the time, and is that of the data type, so that the image's figures are not read.

    Parameters
    ----------
    image
        The image; ``None`` where it does not exist yet, and noise stands for it.
    subject, prepared, options
        What was planned, and for what.

    Raises
    ------
    PlanError
        The plan needs eigenimages, which are fitted to the whole image.
    ScalesrError
        The image cannot be read, or the model does not run.
    """
    began = perf_counter()
    if prepared.plan.components is not None:
        raise PlanError(
            "Eigenimages are fitted to the whole image before its first block, and blocks cannot be timed without.",
            remedy="Use --strategy single or triples to project, and compare runs of a small region.",
        )
    # A run in threads of this process that was stopped leaves it set.
    STOP.clear()
    with tempfile.TemporaryDirectory() as place:
        one = _cut(subject, prepared.plan, blocks=1)
        source = image or _noise(Path(place) / "in.ome.zarr", subject, prepared.plan)
        level = options.level if image is not None else 0
        job = _job(source, prepared, one, Path(place) / "one.ome.zarr", level=level)
        index = _places(one)[0]
        # The first call loads the model and chooses its kernels.
        _timed(job, index)
        first = _timed(job, index)
        largest = max(axis.block for axis in prepared.plan.lattice.axes)
        wanted, plan = PATIENCE / len(PLACES), one
        for cells in range(2, largest + 1):
            candidate = _cut(subject, prepared.plan, blocks=cells)
            if first.infer * _padded(candidate, _places(candidate)[0]) > wanted:
                break
            plan = candidate
        before, timed = traffic(), [first]
        indices = [_places(one)[0]]
        if plan is not one or first.infer * _padded(one, index) * len(PLACES) <= PATIENCE:
            job = _job(source, prepared, plan, Path(place) / "more.ome.zarr", level=level)
            indices = _places(plan)
            timed = [_timed(job, index) for index in indices]
        fetched = (traffic() - before).read
        decoded = sum(_bytes_read(plan, index) for index in indices)
        # As the plan counts what is written.
        itemsize = plan.out_itemsize + (4 if job.deviation is not None else 0)
        raw = sum(_voxels(plan, index) for index in indices) * itemsize * _pyramid(plan)
        files = [file for file in Path(job.target).rglob("*") if file.is_file()]
        stored = sum(file.stat().st_size for file in files if "c" in file.relative_to(job.target).parts)
    return Timing(
        blocks=tuple(timed),
        tiles=max(prod(len(cells) for cells in plan.lattice.cells(index)) for index in indices),
        device=prepared.device,
        read_ratio=fetched / decoded if fetched else None,
        written_ratio=stored / raw,
        origin="its own pixels" if image is not None else "noise in place of an image that does not exist",
        seconds=perf_counter() - began,
    )


def _cut(subject: Subject, plan: Plan, *, blocks: int) -> Plan:
    """Return the plan with at most so many tiles along each edge of a block."""
    axes = tuple(replace(axis, block=min(axis.block, blocks)) for axis in plan.lattice.axes)
    lattice = Lattice(axes)
    levels = plan_levels(lattice, halvings(subject, lattice), mixed=plan.mixed, itemsize=plan.out_itemsize)
    return replace(plan, lattice=lattice, levels=levels)


def _places(plan: Plan) -> list[Index]:
    """Return blocks at some places of the image, none of them cut by its end where there are others."""
    whole = [max(1, axis.cells // axis.block) for axis in plan.lattice.axes]
    return [tuple(int(share * (count - 1)) for count in whole) for share in PLACES]


def _padded(plan: Plan, index: Index) -> int:
    """Return the tiles of a block that go through the network, with those that fill its last batch up."""
    return round_up(prod(len(cells) for cells in plan.lattice.cells(index)), plan.batch)


def _voxels(plan: Plan, index: Index) -> int:
    return prod(part.stop - part.start for part in plan.lattice.owned(index))


def _bytes_read(plan: Plan, index: Index) -> int:
    spans = (axis.read(i) for axis, i in zip(plan.lattice.axes, index, strict=True))
    return prod(stop - start for start, stop in spans) * plan.in_itemsize


def _pyramid(plan: Plan) -> float:
    """Return how many times the voxels of the first level are written, with those of the levels made in the pass."""
    first = prod(plan.levels[0].shape)
    return sum(prod(level.shape) / first for level in plan.levels if level.made == "in pass")


def _timed(job: Job, index: Index) -> Timed:
    """Make one block as a run does, each task by itself."""
    plan, block = job.plan, job.plan.lattice.number(index)
    for _, giver in plan.lattice.givers(index):
        nothing = np.zeros((plan.kinds, *plan.summed.sums(giver)), plan.sum_dtype)
        put_strips(job, plan.lattice.number(giver), nothing)
    clock = [perf_counter()]
    context = read_block(job, block)
    clock.append(perf_counter())
    sums = infer_block(job, block, context)
    clock.append(perf_counter())
    if any(True for _ in plan.lattice.takers(index)):
        strip_block(job, block, sums)
    stitch_block(job, block, sums)
    clock.append(perf_counter())
    read, infer, write = np.diff(clock).tolist()
    return Timed(
        read=read / _bytes_read(plan, index), infer=infer / _padded(plan, index), write=write / _voxels(plan, index)
    )


def _job(image: Image, prepared: Prepared, plan: Plan, place: Path, *, level: int) -> Job:
    dtype = np.dtype(plan.in_dtype)
    gain = float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0
    output = create_image(place, layout_of(image, plan, level=level, name="timed"))
    deviation = deviation_writer(output, plan, Options(deviation="beside"))
    if deviation is not None:
        create_image(deviation.url, deviation.layout)
    return Job(
        source=image.url,
        source_options=StoreOptions.of(image.storage_options),
        level=level,
        output=output,
        deviation=deviation,
        plan=plan,
        model=prepared.ref,
        device=prepared.device,
        normalisation=Normalisation(offset=(0.0,), gain=(gain,), axis=None, origin="that of the data type"),
        channel_axis=prepared.mixing.channel,
        spatial_axes=prepared.mixing.spatial,
        on_nan="fill",
    )


def _noise(place: Path, subject: Subject, plan: Plan) -> Image:
    """Return an image of the subject's shape in which only the blocks that are tried hold something."""
    layout = pyramid_layout(
        axes=subject.axes,
        shape=subject.shape,
        dtype=subject.dtype,
        scale=subject.pixel_sizes,
        translation=(0.0,) * len(subject.shape),
        chunks=subject.chunk,
        shards=subject.chunk,
        smallest=max(subject.shape),
        name="noise",
    )
    writer, rng, dtype = create_image(place, layout), np.random.default_rng(0), np.dtype(subject.dtype)
    for index in _places(plan):
        spans = [axis.read(i) for axis, i in zip(plan.lattice.axes, index, strict=True)]
        region = tuple(
            slice(start // chunk * chunk, min(round_up(stop, chunk), size))
            for (start, stop), chunk, size in zip(spans, subject.chunk, subject.shape, strict=True)
        )
        shape = [part.stop - part.start for part in region]
        pixels = rng.random(shape, "float32") if dtype.kind == "f" else rng.integers(0, 100, shape)
        writer.write(0, region, pixels.astype(dtype))
    writer.publish()
    return open_image(place)
