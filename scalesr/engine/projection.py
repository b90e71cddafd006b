"""What a plan would take a cluster: hours, requests and money, from what a few blocks took here and what is given.

A worker has one inference at a time and makes one block after the other. Blocks are dealt out in waves of as many as
there are workers, so that the last wave may leave some of them without work. Nothing here looks at a clock or at
storage: the same timing, plan and rates give the same projection.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod
from typing import TYPE_CHECKING, Literal

from scalesr.engine.rates import GIGABYTE, TOGETHER
from scalesr.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalesr.engine.rates import Machine, Prices, Rates
    from scalesr.engine.timing import Timed, Timing
    from scalesr.tiling import Plan

SCHEDULER_SECONDS = 0.015
"""What a block takes of the one core that a scheduler works on: four tasks, their messages, their results. It is 9 to
12 ms in `benchmarks/simulation.py` on this project's two-core machine, rounded up."""
LISTS = 3
"""Requests that list: the records and the failures of an earlier run when one begins, and the strips when it ends."""

Stage = Literal["reading", "inference", "writing"]
Limit = Literal["blocks", "scheduler", "storage"]


@dataclass(frozen=True, kw_only=True)
class Span:
    """A figure and how far it may be off."""

    least: float
    """With the fastest block that was tried, and reading and writing beside the inference."""
    likely: float
    """With the mean of those that were tried, and reading and writing beside the inference."""
    most: float
    """With the slowest, and reading, inference and writing one after the other."""


@dataclass(frozen=True, kw_only=True)
class Requests:
    """Requests to storage, counted by the plan; those that are tried again come on top."""

    read: int
    """Chunks of the input touched by each block, and strips."""
    write: int
    """Shards, records and strips."""
    list: int
    """Listings of the ledger."""


@dataclass(frozen=True, kw_only=True)
class Projection:
    """What a number of workers would take."""

    workers: int
    """How many."""
    machine: Machine
    """Of what kind."""
    speed: float
    """How many times as fast as this machine it infers."""
    seconds: Span
    """Wall time, the start of workers included."""
    block_seconds: Mapping[Stage, float]
    """Seconds of a worker for each stage of a block, in the mean."""
    bottleneck: Stage | Limit
    """What more of would make it shorter: the longest stage of a block, or what all workers share."""
    busy: float
    """Share of their time in which workers have a block, the start included."""
    limits: Mapping[Limit, int]
    """Workers beyond which more do not help, for each reason that there is."""
    requests: Requests
    """Requests to storage."""
    bytes_in: float
    """Bytes that come out of storage, as compressed where that was measured."""
    bytes_out: float
    """Bytes that go into it, compressed as the blocks that were tried."""
    bytes_kept: float
    """Bytes of the output with all its levels, compressed likewise."""
    money: Mapping[str, Span]
    """What is paid, by what for; nothing where no price is given."""
    currency: str
    """What that is in."""

    @property
    def worker_hours(self) -> Span:
        """Hours of all workers together, those of the start included."""
        return _times(self.seconds, self.workers / 3600)

    @property
    def total(self) -> Span:
        """All that is paid."""
        lines = self.money.values()
        return Span(
            least=sum(line.least for line in lines),
            likely=sum(line.likely for line in lines),
            most=sum(line.most for line in lines),
        )

    @property
    def useful_workers(self) -> int:
        """Workers beyond which more do not make it shorter."""
        return min(self.limits.values())

    @property
    def limit(self) -> Limit:
        """Why not."""
        return min(self.limits, key=lambda name: self.limits[name])


def project(plan: Plan, timing: Timing, rates: Rates, *, workers: int) -> Projection:
    """Return what a plan would take so many workers.

    Left out are the figures of the whole image, where its normalisation needs them, and the levels of the output that
    are made at the end: both are read and written once, and are small beside the blocks or known before.

    Parameters
    ----------
    plan
        What would be done.
    timing
        What blocks of it took on this machine.
    rates
        The kind of worker, and prices.
    workers
        How many, each with one inference at a time.

    Raises
    ------
    PlanError
        There is no worker; or a speed in operations a second is given for a model that does not count them.
    """
    if workers < 1:
        raise PlanError(f"{workers} workers do nothing.", remedy="Give one at least.")
    machine, prices = rates.machine, rates.prices
    speed = _speed(plan, timing, machine)
    kept = plan.bytes_written * timing.written_ratio
    # Strips are integers as the network's rounding left them, and are not compressed.
    bytes_in = plan.bytes_read * (timing.read_ratio or 1.0) + plan.bytes_strips
    bytes_out = kept + plan.bytes_strips
    blocks = plan.blocks
    stages = [_stages(plan, each, machine, speed, bytes_in / blocks, bytes_out / blocks) for each in timing.blocks]
    mean: dict[Stage, float] = {name: sum(one[name] for one in stages) / len(stages) for name in stages[0]}
    fastest: dict[Stage, float] = {name: min(one[name] for one in stages) for name in mean}
    slowest: dict[Stage, float] = {name: max(one[name] for one in stages) for name in mean}
    least = blocks * SCHEDULER_SECONDS
    if prices.store_bandwidth is not None:
        least = max(least, (bytes_in + bytes_out) / prices.store_bandwidth)
    waves = ceil(blocks / workers)
    seconds = Span(
        least=machine.start + max(least, beside(fastest, waves)),
        likely=machine.start + max(least, beside(mean, waves)),
        most=machine.start + max(least, waves * sum(slowest.values())),
    )
    limits = _limits(blocks, mean, prices, (bytes_in + bytes_out) / blocks)
    requests = Requests(read=plan.requests_read + plan.strips, write=plan.requests_written, list=LISTS)
    first = min(limits, key=lambda name: limits[name])
    return Projection(
        workers=workers,
        machine=machine,
        speed=speed,
        seconds=seconds,
        block_seconds=mean,
        bottleneck=first if workers > limits[first] else _longest(mean),
        busy=min(1.0, blocks * period(mean) / (workers * seconds.likely)),
        limits=limits,
        requests=requests,
        bytes_in=bytes_in,
        bytes_out=bytes_out,
        bytes_kept=kept,
        money=_money(machine, prices, requests, seconds=seconds, workers=workers, left=bytes_in, kept=kept),
        currency=prices.currency,
    )


def period(stages: Mapping[Stage, float]) -> float:
    """Return how often a worker finishes a block that reads and writes beside the inference of others."""
    return max(stages["inference"], stages["reading"] + stages["writing"])


def _longest(stages: Mapping[Stage, float]) -> Stage:
    """Return the stage that a worker waits for."""
    if stages["inference"] == period(stages):
        return "inference"
    return "reading" if stages["reading"] >= stages["writing"] else "writing"


def beside(stages: Mapping[Stage, float], waves: int) -> float:
    """Return how long so many blocks take one worker: the first is read before, the last is written after the others.

    It is never longer than one stage after the other.
    """
    return sum(stages.values()) + (waves - 1) * period(stages)


def _speed(plan: Plan, timing: Timing, machine: Machine) -> float:
    if machine.tflops is None:
        return 1.0 if machine.speed is None else machine.speed
    if not plan.tile_flops:
        raise PlanError(
            "The model does not count its operations, so that a rate of them says nothing.",
            remedy="Give speed in place of tflops: how many times as fast as this machine a worker is.",
        )
    each = sum(timed.infer for timed in timing.blocks) / len(timing.blocks)
    return machine.tflops * 1e12 * each / plan.tile_flops


def _stages(
    plan: Plan, timed: Timed, machine: Machine, speed: float, bytes_in: float, bytes_out: float
) -> dict[Stage, float]:
    """Return the seconds of a worker for an average block, as one of those that were tried tells them."""
    blocks = plan.blocks
    found: dict[Stage, float] = {
        "reading": timed.read * plan.bytes_read / blocks,
        "inference": timed.infer * plan.tiles_padded / blocks / speed,
        "writing": timed.write * prod(plan.lattice.out_shape) / blocks,
    }
    if machine.bandwidth is not None:
        found["reading"] = max(found["reading"], bytes_in / machine.bandwidth)
        found["writing"] = max(found["writing"], bytes_out / machine.bandwidth)
    return found


def _limits(blocks: int, stages: Mapping[Stage, float], prices: Prices, exchanged: float) -> dict[Limit, int]:
    each = period(stages)
    limits: dict[Limit, int] = {"blocks": blocks, "scheduler": max(1, int(each / SCHEDULER_SECONDS))}
    if prices.store_bandwidth is not None:
        limits["storage"] = max(1, int(prices.store_bandwidth * each / exchanged))
    return limits


def _money(
    machine: Machine,
    prices: Prices,
    requests: Requests,
    *,
    seconds: Span,
    workers: int,
    left: float,
    kept: float,
) -> dict[str, Span]:
    """Return what is paid for, where there is a price."""
    lines = {}
    if machine.hour is not None:
        lines["workers"] = _times(seconds, workers * machine.hour / 3600)
    for name, price, count in (
        ("requests that read", prices.read, requests.read / TOGETHER),
        ("requests that write", prices.write, requests.write / TOGETHER),
        ("requests that list", prices.list, requests.list / TOGETHER),
        ("bytes that leave the storage", prices.out, left / GIGABYTE),
        ("the output, kept for a month", prices.stored, kept / GIGABYTE),
    ):
        if price is not None:
            lines[name] = Span(least=price * count, likely=price * count, most=price * count)
    return lines


def _times(span: Span, factor: float) -> Span:
    return Span(least=span.least * factor, likely=span.likely * factor, most=span.most * factor)
