"""Pixels on their way to a device and tiles cut there are, bit for bit, those that are cut in the machine's memory."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch
from engine.late_device import LatePort, PromptPort, bare_job
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from scalesr.engine import Options, empty_subject, prepare
from scalesr.engine.feeding import Cutting, HostFeed
from scalesr.engine.ferry import BUFFERS, CudaPort, Ferry
from scalesr.engine.job import Job
from scalesr.engine.lanes import DeviceLane
from scalesr.engine.normalisation import Normalisation
from scalesr.tiling import reflect

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

TYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
"""What OME-Zarr images are made of, but for the half floats that no microscope writes."""


@st.composite
def any_arrays(draw: st.DrawFn) -> NDArray[Any]:
    dtype = np.dtype(draw(st.sampled_from([*TYPES, "float16", ">u2", ">f4"])))
    # What a float32 cannot hold NumPy warns of, on either way.
    elements = st.floats(-1e30, 1e30) if dtype.itemsize == 8 and dtype.kind == "f" else None
    return draw(arrays(dtype, draw(array_shapes(min_dims=1, max_dims=4, max_side=9)), elements=elements))


class TestFerry:
    @given(st.lists(any_arrays(), min_size=1, max_size=4), st.sampled_from([8, 16, 64, 4096]))
    def test_what_goes_over_arrives_however_late(self, several: list[NDArray[Any]], size: int) -> None:
        port = LatePort()
        ferry = Ferry(port, size=size)
        there = [ferry.over(values) for values in several]
        port.work(len(port.asked))
        for values, found in zip(several, there, strict=True):
            wanted = values.astype(np.float32) if values.itemsize == 8 else values
            assert found.shape == values.shape
            np.testing.assert_array_equal(found.numpy(), wanted)
        assert port.locked == [size] * BUFFERS

    @given(st.lists(any_arrays(), min_size=1, max_size=4), st.sampled_from([8, 16, 64, 4096]))
    def test_what_comes_back_is_there(self, several: list[NDArray[Any]], size: int) -> None:
        ferry = Ferry(LatePort(), size=size)
        for values in several:
            native = values.astype(values.dtype.newbyteorder("="))
            found = ferry.back(torch.from_numpy(native))
            assert found.dtype == native.dtype
            np.testing.assert_array_equal(found, native)

    def test_what_came_back_stays_when_the_next_comes(self) -> None:
        ferry = Ferry(LatePort(), size=64)
        first = ferry.back(torch.arange(50))
        ferry.back(torch.zeros(50, dtype=torch.int64))
        ferry.over(np.zeros(1000, np.uint8))
        np.testing.assert_array_equal(first, np.arange(50))

    def test_over_waits_for_nothing_that_fits(self) -> None:
        port = LatePort()
        Ferry(port, size=1024).over(np.ones(1500, np.uint8))
        assert port.done == 0
        assert len(port.asked) == 2

    def test_cuda_is_asked_for_locked_memory_and_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[Any] = []
        empty = torch.empty

        class Event:
            def __init__(self, **how: Any) -> None:
                asked.append(("event", how))

            def record(self) -> None:
                asked.append("recorded")

            def synchronize(self) -> None:
                asked.append("waited")

        def unlocked(*shape: Any, pin_memory: bool = False, **how: Any) -> torch.Tensor:
            asked.append(("locked", shape) if pin_memory else ("empty", how.get("device")))
            return empty(*shape, **how)

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch, "empty", unlocked)
        monkeypatch.setattr(torch.Tensor, "copy_", lambda *_, **how: asked.append(how))
        Ferry(CudaPort(torch.device("cpu")), size=64).over(np.arange(40, dtype=np.uint16))
        assert asked.count(("locked", (64,))) == BUFFERS
        assert asked.count(("event", {"blocking": True})) == asked.count({"non_blocking": True}) == 2
        assert "waited" not in asked


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """Draw what a run is told: planes or volumes, with channels or without, one tile or many."""
    axes = draw(st.sampled_from(["yx", "zyx", "cyx", "czyx", "tczyx"]))
    mixed = draw(st.sampled_from(["yx", "zyx"])) if "z" in axes else "yx"
    shape = tuple(draw(st.integers(1, 3 if name in "tc" else 14 if len(axes) < 5 else 6)) for name in axes)
    halo = draw(st.integers(0, 4))
    options = Options(
        model="linear",
        axes=mixed,
        scale=1,
        cell=draw(st.integers(1, 7)),
        halo=halo,
        blend=0,
        block=draw(st.integers(1, 3)),
        batch=draw(st.integers(1, 4)),
        device="cpu",
        scheduler="serial",
    )
    dtype = draw(st.sampled_from(TYPES))
    prepared = prepare(empty_subject(shape, axes, dtype), options)
    channel = axes.find("c") if "c" in axes else None
    count = 1 if channel is None or draw(st.booleans()) else shape[channel]
    figures = st.lists(st.floats(-1e4, 1e5), min_size=count, max_size=count, unique=True)
    gains = st.lists(st.floats(1e-3, 1e5), min_size=count, max_size=count, unique=True)
    plan = prepared.plan
    if mixed == "zyx" and draw(st.booleans()):
        plan = replace(plan, missing_planes=tuple(sorted(draw(st.sets(st.integers(0, shape[axes.index("z")] - 1))))))
    return Job(
        source="",
        output=cast("Any", None),
        plan=plan,
        model=prepared.ref,
        device="cpu",
        normalisation=Normalisation(
            offset=tuple(draw(figures)), gain=tuple(draw(gains)), axis=channel, origin="the test"
        ),
        channel_axis=prepared.mixing.channel,
        spatial_axes=prepared.mixing.spatial,
    )


def seen_by(job: Job, cells: tuple[range, ...], draw: Callable[[Any], Any]) -> NDArray[Any]:
    """Draw the pixels that some cells see."""
    spans = [axis.span(some) for axis, some in zip(job.plan.lattice.axes, cells, strict=True)]
    shape = tuple(stop - start for start, stop in spans)
    dtype = np.dtype(_dtype(job))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if dtype.kind == "f":
        return (rng.normal(size=shape) * 10.0 ** rng.integers(-3, 6)).astype(dtype)
    limits = np.iinfo(dtype)
    return rng.integers(limits.min, limits.max, shape, dtype=dtype, endpoint=True)


def _dtype(job: Job) -> str:
    return job.plan.out_dtype


def expected(job: Job, cell: tuple[int, ...], pixels: NDArray[Any], corner: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a tile voxel by voxel, with the arithmetic spelled out."""
    axes = job.plan.lattice.axes
    order = job.tile_order
    channel = job.normalisation.axis
    tile = np.empty(tuple(axes[a].tile for a in order), np.float32)
    with np.errstate(over="ignore"):
        for place in product(*map(range, tile.shape)):
            at = [axes[a].tile_start(cell[a]) + place[order.index(a)] for a in range(len(axes))]
            which = 0
            if channel is not None and len(job.normalisation.offset) > 1:
                which = reflect(at[channel], axes[channel].size)
            value = pixels[tuple(i - start for i, start in zip(at, corner, strict=True))].astype(np.float32)
            value = np.float32(value - np.float32(job.normalisation.offset[which]))
            tile[place] = np.float32(value * np.float32(1 / np.float64(job.normalisation.gain[which])))
            first = job.spatial_axes[0]
            if reflect(at[first], axes[first].size) in job.plan.missing_planes:
                tile[place] = np.nan
    return tile.reshape(Cutting(job, tuple(range(i, i + 1) for i in cell)).shape)


def check(job: Job, cells: tuple[range, ...], pixels: NDArray[Any]) -> None:
    """Compare what both ways make of some cells with each other, and some tiles with what is spelled out."""
    batch = job.plan.batch
    host = HostFeed(Cutting(job, cells), pixels, batch=batch)
    device = DeviceLane(torch.device("cpu"), Ferry(PromptPort(), size=64)).feed(job, cells, pixels, batch=batch)
    every = list(product(*cells))
    corner = tuple(axis.span(some)[0] for axis, some in zip(job.plan.lattice.axes, cells, strict=True))
    for start in range(0, len(every), batch):
        some = every[start : start + batch]
        found, other = host.tiles(some).numpy(), device.tiles(some).numpy()
        np.testing.assert_array_equal(found.view(np.uint32), other.view(np.uint32))
        assert len(found) == batch
        if start in (0, len(every) - len(every) % batch):
            np.testing.assert_array_equal(found[len(some) - 1], expected(job, some[-1], pixels, corner))
            assert all(np.array_equal(tile, found[len(some) - 1], equal_nan=True) for tile in found[len(some) :])


@given(jobs(), st.data())
def test_both_ways_give_the_tiles_that_are_spelled_out(job: Job, data: st.DataObject) -> None:
    # Lazily computed images ask for cells of several blocks, and so of several channels.
    stops = [data.draw(st.integers(1, axis.cells)) for axis in job.plan.lattice.axes]
    cells = tuple(range(data.draw(st.integers(max(0, stop - 3), stop - 1)), stop) for stop in stops)
    check(job, cells, seen_by(job, cells, data.draw))


@pytest.mark.parametrize("first", [0, 1])
def test_each_channel_has_its_own_figures(first: int) -> None:
    plain = bare_job((3, 20, 21), "cyx", "uint16", model="linear", scale=2, cell=8, halo=2, blend=0, batch=2)
    own = Normalisation(offset=(1.1, 20.3, 300.7), gain=(10.9, 0.3, 700.0), axis=0, origin="the test")
    cells = (range(first, 3), range(3), range(1, 3))
    shape = [stop - start for start, stop in (a.span(c) for a, c in zip(plain.plan.lattice.axes, cells, strict=True))]
    check(replace(plain, normalisation=own), cells, np.random.default_rng(0).integers(0, 60000, shape).astype("uint16"))
