"""Everything that is settled before a run writes its first byte."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import psutil
import torch

from scalesr.engine.calibration import calibrate
from scalesr.engine.cost import costed, measured_rate, mixed_axes
from scalesr.engine.devices import pick_device
from scalesr.engine.eigenimages import read_strategy, spec_of
from scalesr.engine.executors import LOCAL
from scalesr.engine.memory import Workers, check_demand, demand
from scalesr.engine.planes import ISOTROPIC, anisotropy, recorded_missing
from scalesr.engine.planning import Mixing, Subject, batch_of, channel_axis, make_plan, mixing
from scalesr.engine.rounding import Rounding, rounding
from scalesr.engine.telling import memory_lines, plan_lines
from scalesr.errors import InputError, PlanError
from scalesr.images import Axis, ImageLayout, LevelLayout, scaled_geometry
from scalesr.images.showing import Section, Sheet, Shown
from scalesr.models import ModelRef, Tailored, leaves_scale_open, load, resolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.engine.cost import Rate
    from scalesr.engine.events import Callback
    from scalesr.engine.memory import Demand
    from scalesr.engine.options import Options
    from scalesr.engine.planes import Anisotropy
    from scalesr.images import Channel, Image
    from scalesr.models import ModelSpec
    from scalesr.tiling import Plan

LANES = 2
"""Inferences side by side on a GPU: one computes while the pixels of the other go over, or its sums come back."""
AHEAD = {"cpu": 1, "cuda": 4}
"""Blocks in flight beyond those in the network: a GPU must find one read and leave one to be written; on the CPU the
same cores do both."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Prepared(Shown):
    """An image, a model and options, brought together. It shows itself as what the run would do and need."""

    ref: ModelRef
    """Names the model."""
    spec: ModelSpec
    """What the model says of itself."""
    mixing: Mixing
    """Which axes the model mixes."""
    plan: Plan
    """What will be done."""
    workers: Workers
    """How it is spread over this machine."""
    demand: Demand
    """What memory that needs."""
    device: str
    """Where the model runs."""
    anisotropy: Anisotropy | None = None
    """What the scale was taken from; ``None`` where it was given, or is the model's own."""
    rate: Rate | None = None
    """How fast the model runs here, where that was asked for and the model counts what it does."""

    rounding: Rounding | None = None
    """What a number format shorter than float32 changes; ``None`` in float32."""

    @property
    def threads(self) -> int | None:
        """Threads of this process that a run takes; ``None`` is one more than the inferences.

        Those of a GPU are fed by several that read and write: one for each block in flight.
        """
        return self.workers.in_flight if self.device.startswith("cuda") else None

    def _sheet(self) -> Sheet:
        return Sheet(title=f"Plan of a run by {self.spec.name}", sections=self.sections())

    def sections(self) -> tuple[Section, ...]:
        """Return what the run would do, and what memory it needs."""
        return (
            Section(title="What will be done", rows=plan_lines(self)),
            Section(title="What memory it needs", rows=memory_lines(self.demand)),
        )


def subject_of(image: Image, *, level: int = 0) -> Subject:
    """Return what a plan must know of an image.

    Raises
    ------
    InputError
        The image has no such level.
    """
    found = image.level(level)
    return Subject(
        axes=image.axes,
        shape=found.shape,
        dtype=found.dtype,
        chunk=tuple(min(c, n) for c, n in zip(found.chunks, found.shape, strict=True)),
        pixel_sizes=found.scale,
        name=image.url,
        missing_planes=recorded_missing(image, level=level),
    )


def prepare(subject: Subject, options: Options, *, tell: Callback = lambda _: None) -> Prepared:
    """Settle model, plan, workers and memory. What takes long, where it is asked for, is told: measuring speeds.

    Raises
    ------
    InputError, ModelError, PlanError
        They do not fit each other; nothing was written.
    """
    channel = channel_axis(subject.axes)
    device = pick_device(options.device)
    options = replace(options, device=device)
    strategy, eigenimages = read_strategy(options.strategy)
    scale, apart = options.scale, None
    if scale == ISOTROPIC or (scale is None and leaves_scale_open(options.model)):
        apart = anisotropy(subject)
        scale = (apart.ratio, 1, 1)
    ref = resolve(
        options.model,
        scale=scale,
        axes=options.axes,
        strategy=strategy,
        sampling=options.sampling,
        image_channels=None if channel is None else subject.shape[channel],
        image_axes="".join(axis.name for axis in subject.axes),
        trust=options.trust,
        options=dict(options.model_options),
    )
    model = load(ref)
    spec, rate = model.spec, None
    if eigenimages is not None:
        spec = _eigen_spec(subject, ref, options, eigenimages)
    if options.precision not in spec.precisions:
        raise PlanError(
            f"The model {spec.name!r} does not run in {options.precision}.",
            remedy=f"Use --precision {' or '.join(spec.precisions)}.",
        )
    plan = make_plan(subject, spec, options, eigenimages=eigenimages)
    counts = isinstance(model, Tailored) and eigenimages is None
    # The tile of a model that counts what it does is part of what it does: only its speed is measured.
    if options.calibrate != "never" and not counts:
        options = _calibrated(options, ref, plan, device, tell)
        plan = make_plan(subject, spec, options, eigenimages=eigenimages)
    workers = spread(plan, options, device)
    if counts:
        plan = costed(plan, model)
        rate = _rate(options, ref, spec, plan, workers)
    return Prepared(
        ref=ref,
        spec=spec,
        mixing=mixing(subject, spec),
        plan=plan,
        workers=workers,
        demand=demand(plan, spec, workers=workers, device="cuda" if device.startswith("cuda") else "cpu"),
        device=device,
        anisotropy=apart,
        rate=rate,
        rounding=_rounding(options, ref, spec, plan),
    )


def _rate(options: Options, ref: ModelRef, spec: ModelSpec, plan: Plan, workers: Workers) -> Rate | None:
    if options.calibrate == "never":
        return None
    return measured_rate(
        ref,
        mixed_axes(plan, spec),
        device=options.device,
        precision=options.precision,
        threads=options.threads,
        slots=workers.slots,
        batch=plan.batch,
        how=options.calibrate,
    )


def _rounding(options: Options, ref: ModelRef, spec: ModelSpec, plan: Plan) -> Rounding | None:
    """Return what the number format changes; nobody measures it for models whose tile may take minutes, or of bands."""
    if options.precision == "fp32" or plan.passes or plan.components is not None:
        return None
    return rounding(ref, spec, device=options.device, precision=options.precision)


def _eigen_spec(subject: Subject, ref: ModelRef, options: Options, eigenimages: int) -> ModelSpec:
    channel = channel_axis(subject.axes)
    if channel is None:
        raise PlanError(
            f"{subject.name} has no bands to make eigenimages of.", remedy="Use --strategy single, or import its bands."
        )
    if options.normalise not in ("auto", "percentile"):
        raise PlanError(
            "Eigenimages need each band normalised by itself.", remedy="Use --normalise percentile, or leave it out."
        )
    if "point" in (load(ref).spec.sampling or ()):
        raise PlanError(
            "Eigenimages are joined with bands interpolated between pixels that stand for areas.",
            remedy="Use --strategy single, or leave out --sampling point.",
        )
    return spec_of(load(ref), bands=subject.shape[channel], count=eigenimages, group=batch_of(options))


def _calibrated(options: Options, ref: ModelRef, plan: Plan, device: str, tell: Callback) -> Options:
    """Return the options with the fastest cell and batch where none are given; a cell is no larger than the image."""
    axes = [axis for axis, mixed in zip(plan.lattice.axes, plan.mixed, strict=True) if mixed]
    best = calibrate(
        ref,
        halo=tuple(axis.halo for axis in axes),
        device=device,
        precision=options.precision,
        threads=options.threads,
        slots=spread(plan, options, device).slots,
        how="again" if options.calibrate == "again" else "once",
        tell=tell,
    ).best
    # The plan's own cells are as large as a small image, or a tile of all bands, allows.
    small = [axis.cells == 1 or plan.components is not None for axis in axes]
    cell = tuple(
        min(axis.cell, fast) if is_small else fast for axis, fast, is_small in zip(axes, best.cell, small, strict=True)
    )
    return replace(options, cell=options.cell or cell, batch=options.batch or best.batch)


def spread(plan: Plan, options: Options, device: str, *, images: int = 1) -> Workers:
    """Return how a plan is spread over this machine, where so many images alike are to be had; or over one worker.

    How many workers a cluster has, and of what kind, shows when it is there: of it, this is a worker with one inference
    at a time, and the blocks in flight that fall to it.
    """
    # Of those, one waits for what others compute, and one is computed in the place of others who died.
    more = 2 if options.share == "claims" else 0
    if options.scheduler not in LOCAL:
        return Workers(processes=1, slots=1, in_flight=min(plan.blocks * images, 4))
    if options.scheduler == "serial":
        return Workers(processes=1, slots=1, in_flight=min(plan.blocks * images, 1 + more))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    workers = options.workers or max(1, cores // options.threads)
    if workers < 1:
        raise PlanError(f"{workers} workers cannot work.", remedy="Give --workers of at least 1.")
    slots = LANES if device.startswith("cuda") and options.scheduler == "threads" else workers
    ahead = AHEAD[device.partition(":")[0]] if options.scheduler == "threads" else workers
    blocks = plan.blocks * images
    in_flight = min(blocks, slots + ahead + more)
    return Workers(
        processes=workers if options.scheduler == "processes" else 1, slots=min(slots, blocks), in_flight=in_flight
    )


def check_memory(prepared: Prepared, options: Options) -> None:
    """Refuse a run whose projection exceeds what is allowed. The workers of a cluster are asked when they are there.

    Raises
    ------
    PlanError
        It does; the message names the largest term.
    """
    if options.scheduler not in LOCAL:
        return
    allowed = options.memory or int(0.9 * psutil.virtual_memory().available)
    device_allowed = None
    if prepared.device.startswith("cuda"):
        # What this process has freed is free for it, though not for others.
        device_allowed = torch.cuda.mem_get_info(prepared.device)[0] + torch.cuda.memory_reserved(prepared.device)
    check_demand(prepared.demand, allowed=allowed, device_allowed=device_allowed)


def layout_of(image: Image, plan: Plan, *, level: int, name: str) -> ImageLayout:
    """Return what the output looks like in storage: levels with their shards, pixel sizes and origins."""
    channel = channel_axis(image.axes)
    factors = tuple(Fraction(1) if a == channel else axis.scale for a, axis in enumerate(plan.lattice.axes))
    scale, origin = scaled_geometry(image.levels[level], image.axes, factors, sampling=plan.sampling)
    levels = []
    for number, planned in enumerate(plan.levels):
        times = [2**halved for halved in planned.halved]
        levels.append(
            LevelLayout(
                path=str(number),
                shape=planned.shape,
                chunks=planned.chunk,
                shards=planned.shard,
                scale=tuple(size * n for size, n in zip(scale, times, strict=True)),
                translation=tuple(
                    start + (n - 1) / 2 * size for start, size, n in zip(origin, scale, times, strict=True)
                ),
            )
        )
    return ImageLayout(
        axes=image.axes,
        dtype=plan.out_dtype,
        levels=tuple(levels),
        channels=_channels(image, plan),
        name=name,
    )


def _channels(image: Image, plan: Plan) -> tuple[Channel, ...]:
    """Return the input's channels where the output has the same number."""
    channel = channel_axis(image.axes)
    same = channel is not None and plan.lattice.out_shape[channel] == len(image.channels)
    return image.channels if same else ()


def empty_subject(shape: Sequence[int], axes: str, dtype: str) -> Subject:
    """Return the subject of an image that does not exist, for planning.

    Raises
    ------
    InputError
        Shape and axes do not fit each other.
    """
    if len(shape) != len(axes) or min(shape, default=0) < 1:
        raise InputError(
            f"The shape {tuple(shape)} does not fit the axes {axes!r}.",
            remedy="Give one positive size for each axis, for example --shape 512,4096,4096 --axes zyx.",
        )
    kinds: dict[str, Any] = {"t": "time", "c": "channel"}
    edge = 64 if "z" in axes else 512
    chunk = [1 if name in kinds else min(n, edge) for n, name in zip(shape, axes, strict=True)]
    return Subject(
        axes=tuple(Axis(name=name, kind=kinds.get(name, "space"), unit=None) for name in axes),
        shape=tuple(shape),
        dtype=dtype,
        chunk=tuple(chunk),
        pixel_sizes=(1.0,) * len(shape),
        name="the planned image",
    )
