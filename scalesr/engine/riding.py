"""Measuring while a run goes on: each block's voxels are taken in before they leave memory.

The input's pixels come along from the inference and the output's are at hand, so that of all images only a reference is
read, once. Statistics that look around a pixel need the first voxels of the upper neighbours, which are written by
then: blocks run from the last to the first.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.engine.gathering import Survey
from scalesr.engine.memory import Term
from scalesr.engine.pairing import match_images
from scalesr.errors import InputError
from scalesr.images import Image, Level
from scalesr.metrics import Patch, Settings, State, make_metrics
from scalesr.metrics.patch import measured_span
from scalesr.metrics.walk import context_of, span, take_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from scalesr.engine.inference import Sums
    from scalesr.engine.job import Job
    from scalesr.engine.memory import Workers
    from scalesr.engine.views import View
    from scalesr.images import ImageWriter
    from scalesr.metrics import Metric
    from scalesr.tiling import Index, Lattice, Plan

WITH_REFERENCE = ("psnr", "ssim", "mae", "pearson")
"""What is measured of an output and a reference when nothing is asked for by name."""
FLOATS = 8
"""Numbers in float64 that the most demanding statistics hold for each pixel of a cell."""
Gathered = list[dict[str, Any]]
"""What a block gathered, as its record keeps it: for each plane its place and one state for each statistic."""


@dataclass(frozen=True, kw_only=True)
class Ride:
    """What is measured on the way."""

    survey: Survey
    """The images, and what is gathered of them."""
    names: tuple[str, ...]
    """The metrics asked for."""
    settings: Settings
    """Their settings."""

    @property
    def needs_measured(self) -> bool:
        """Whether the input's pixels must come along from the inference."""
        return self.survey.subjects.measured is not None and not any(self.survey.context)

    def metrics(self) -> list[Metric]:
        """Return the metrics."""
        return make_metrics(self.names, self.survey.subjects.frame, self.settings)

    def to_json(self) -> dict[str, Any]:
        """Return what decides the figures, for the manifest of the run."""
        reference = self.survey.subjects.reference
        return {
            "metrics": list(self.names),
            "settings": asdict(self.settings),
            "reference": None if reference is None else reference.image.fingerprint(),
        }


def make_ride(
    names: Sequence[str],
    settings: Settings,
    *,
    source: Image,
    level: int,
    reference: Image | None,
    output: ImageWriter,
    lattice: Lattice,
) -> Ride:
    """Return what is measured on the way.

    The cells of the statistics are those of the lattice, so that the figures do not depend on the blocks. Bands that
    lie in blocks of their own are measured one by one.

    Raises
    ------
    InputError
        The reference does not fit the output, or a metric cannot be measured in this way.
    """
    image = future_image(output)
    space = [a for a, axis in enumerate(image.axes) if axis.kind == "space" and image.shape[a] > 1]
    axes = "".join(image.axes[a].name for a in space[-3:]) if len(space) >= 2 else None
    # What lies beyond level 0 of the input plays no part. Planes that are points are no means of the output's rows, for
    # which all that looks at the measurement takes them.
    points = any(axis.sampling == "point" and axis.scale != 1 for axis in lattice.axes)
    measured = None if points else replace(source, levels=source.levels[level:])
    subjects = match_images(
        image,
        reference=reference,
        measured=measured,
        mask=None,
        axes=axes,
        settings=settings,
        position="check",
        bands="together" if _bands_together(image, lattice) else "apart",
    )
    if subjects.notes:
        raise InputError(
            f"The reference does not lie on the output pixel by pixel: {subjects.notes[0]}.",
            remedy="Run without --reference, and measure afterwards: scalesr measure.",
        )
    frame = replace(subjects.frame, cell=tuple(lattice.axes[a].out_cell for a in subjects.output.space))
    ramps = [lattice.axes[a] for a in subjects.output.space]
    settings = replace(
        settings,
        seam_period=settings.seam_period or frame.cell,
        seam_offset=settings.seam_offset or tuple((axis.out_cell - axis.out_ramp) % axis.out_cell for axis in ramps),
    )
    try:
        metrics = make_metrics(names, frame, settings)
    except InputError as error:
        if not points:
            raise
        raise InputError(
            f"{error.problem} The input's planes are points: the output's rows have no mean there to compare with.",
            remedy="Leave the metric out, or choose one that compares with --reference.",
        ) from error
    statistics = tuple(dict.fromkeys(metric.statistic for metric in metrics))
    context = context_of(statistics, frame)
    thin = [k for k, axis in enumerate(ramps) if context[k] > axis.block * axis.out_cell]
    if thin:
        raise InputError(
            f"These metrics look {context[thin[0]]} pixels around, further than a block reaches along "
            f"{ramps[thin[0]].name!r}.",
            remedy="Raise --block, or measure afterwards: scalesr measure.",
        )
    survey = Survey(
        subjects=replace(subjects, frame=frame), statistics=statistics, context=context, on_bad_block="stop"
    )
    return Ride(survey=survey, names=tuple(names), settings=settings)


def ride_term(ride: Ride, plan: Plan, workers: Workers) -> Term:
    """Return the memory that measuring takes beside the run: a block of each image, and slabs of float64."""
    subjects = ride.survey.subjects
    reach = dict(zip(subjects.output.space, ride.survey.context, strict=True))
    sizes = [part.stop - part.start + reach.get(a, 0) for a, part in enumerate(plan.lattice.owned(plan.largest))]
    block = prod(sizes) * plan.out_itemsize
    blocks = sum((any(ride.survey.context), subjects.reference is not None))
    if plan.components is not None:
        # Bands are made together for once.
        blocks += 4
    images = block * blocks + int(block / prod(subjects.frame.ratio))
    cell = subjects.frame.bands * prod(n + c for n, c in zip(subjects.frame.cell, ride.survey.context, strict=True))
    return Term(name="measuring on the way", each=images + FLOATS * 8 * cell, count=workers.slots + 1)


def future_image(output: ImageWriter) -> Image:
    """Return the image that will be there when the run is done."""
    layout = output.layout
    return Image(
        url=output.url,
        version=output.version,
        name=layout.name,
        axes=layout.axes,
        levels=tuple(
            Level(some.path, some.shape, some.chunks, some.shards, layout.dtype, some.scale, some.translation)
            for some in layout.levels
        ),
        channels=layout.channels,
        storage_options=output.storage_options,
    )


def _bands_together(image: Image, lattice: Lattice) -> bool:
    bands = [a for a, axis in enumerate(image.axes) if axis.kind == "channel"]
    return all(lattice.grid[a] == 1 for a in bands)


def uppers(job: Job, index: Index) -> Iterator[int]:
    """Yield the blocks whose voxels must be written before a block can be measured."""
    if job.ride is None:
        return
    lattice = job.plan.lattice
    reach = dict(zip(job.ride.survey.subjects.output.space, job.ride.survey.context, strict=True))
    for step in product(*((0, 1) if reach.get(a) else (0,) for a in range(len(index)))):
        upper = tuple(i + s for i, s in zip(index, step, strict=True))
        if any(step) and all(i < count for i, count in zip(upper, lattice.grid, strict=True)):
            yield lattice.number(upper)


def gather_block(job: Job, index: Index, voxels: NDArray[Any], sums: Sums) -> Gathered:
    """Take in a block whose voxels of level 0 are at hand; return what was gathered, plane by plane.

    Raises
    ------
    StorageError
        A chunk of the reference cannot be read.
    """
    if job.ride is None:
        return []
    survey = job.ride.survey
    view = survey.subjects.output
    owned = job.plan.lattice.owned(index)
    whole = _with_context(job, owned, voxels)
    found: Gathered = []
    for plane in product(*(range(owned[a].start, owned[a].stop) for a in view.planes if a is not None)):
        states = {statistic: State() for statistic in survey.statistics}
        output = _of_plane(
            whole, view, tuple(p - owned[a].start for a, p in zip(view.planes, plane, strict=True) if a is not None)
        )
        for patch in _patches(job, owned, plane, output, sums):
            take_in(states, patch)
        found.append({"plane": list(plane), "states": [state.to_json() for state in states.values()]})
    return found


def _patches(
    job: Job, owned: tuple[slice, ...], plane: tuple[int, ...], output: NDArray[Any], sums: Sums
) -> Iterator[Patch]:
    assert job.ride is not None
    survey = job.ride.survey
    subjects, frame = survey.subjects, survey.subjects.frame
    space = subjects.output.space
    cells = [range(owned[a].start // n, -(-owned[a].stop // n)) for a, n in zip(space, frame.cell, strict=True)]
    starts = [owned[a].start for a in space]
    bounds = [(start, start + size) for start, size in zip(starts, output.shape[1:], strict=True)]
    reference = None
    if subjects.reference is not None:
        reference, _ = subjects.reference.read(plane, bounds, on_bad="stop")
    measured, coarse = _measured(job, owned, plane, bounds, sums)
    for cell in product(*cells):
        spans = [span(frame, k, i, context=survey.context[k]) for k, i in enumerate(cell)]
        region = tuple(slice(a - s, e - s) for (a, _, e), s in zip(spans, starts, strict=True))
        under = [measured_span(a, e, r) for (a, _, e), r in zip(spans, frame.ratio, strict=True)]
        yield Patch(
            output=output[(slice(None), *region)],
            reference=None if reference is None else reference[(slice(None), *region)],
            measured=None
            if measured is None
            else measured[(slice(None), *(slice(a - s, e - s) for (a, e), s in zip(under, coarse, strict=True)))],
            mask=None,
            start=tuple(a for a, _, _ in spans),
            cell=tuple(b - a for a, b, _ in spans),
            shape=frame.shape,
            ratio=frame.ratio,
            plane=plane,
        )


def _measured(
    job: Job, owned: tuple[slice, ...], plane: tuple[int, ...], bounds: list[tuple[int, int]], sums: Sums
) -> tuple[NDArray[Any] | None, list[int]]:
    """Return the input's pixels under a block, and where they begin."""
    assert job.ride is not None
    subjects = job.ride.survey.subjects
    if subjects.measured is None:
        return None, []
    under = [measured_span(*b, r) for b, r in zip(bounds, subjects.frame.ratio, strict=True)]
    starts = [start for start, _ in under]
    if sums.pixels is None:
        return subjects.measured.read(plane, under, on_bad="stop")[0], starts
    view = subjects.output
    place = tuple(
        int((p - owned[a].start) / job.plan.lattice.axes[a].scale)
        for a, p in zip(view.planes, plane, strict=True)
        if a is not None
    )
    return _of_plane(sums.pixels, view, place), starts


def _of_plane(pixels: NDArray[Any], view: View, place: tuple[int, ...]) -> NDArray[Any]:
    """Return one plane of an array in the image's axes, as (bands, *space)."""
    planes = tuple(a for a in view.planes if a is not None)
    order = (() if view.band is None else (view.band,)) + view.space
    picked: NDArray[Any] = pixels.transpose(planes + order)[place]
    return picked if view.band is not None else picked[np.newaxis]


def _with_context(job: Job, owned: tuple[slice, ...], voxels: NDArray[Any]) -> NDArray[Any]:
    """Return a block's voxels with those above it that are written already."""
    assert job.ride is not None
    survey = job.ride.survey
    shape = job.plan.lattice.out_shape
    reach = dict(zip(survey.subjects.output.space, survey.context, strict=True))
    ends = [min(part.stop + reach.get(a, 0), shape[a]) for a, part in enumerate(owned)]
    sizes = tuple(end - part.start for end, part in zip(ends, owned, strict=True))
    if sizes == voxels.shape:
        return voxels
    whole = np.empty(sizes, voxels.dtype)
    array = job.writer.array(0)
    for step in product(*((0, 1) if end > part.stop else (0,) for end, part in zip(ends, owned, strict=True))):
        region = tuple(slice(part.stop, end) if s else part for s, part, end in zip(step, owned, ends, strict=True))
        into = tuple(slice(r.start - part.start, r.stop - part.start) for r, part in zip(region, owned, strict=True))
        whole[into] = np.asarray(array[region]) if any(step) else voxels
    return whole
