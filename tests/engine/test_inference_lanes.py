"""What a device's lane gives is, bit for bit, what the CPU's gives, and it says the same of what is wrong."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import Barrier
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from engine.conftest import voxels
from engine.late_device import PromptPort, bare_job, context_of

import scalesr
from scalesr.engine import inference, lanes
from scalesr.engine.ferry import BUFFER_BYTES, BUFFERS, Ferry
from scalesr.engine.inference import infer_block
from scalesr.engine.lanes import DEVICE_WINDOWS, CudaLanes, DeviceLane
from scalesr.engine.memory import Workers, demand
from scalesr.engine.summing import Windows
from scalesr.errors import ModelError
from scalesr.models import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from engine.conftest import MakeImage
    from numpy.typing import NDArray

    from scalesr.engine.job import Job

CPU = torch.device("cpu")
WITH_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
FLAT: dict[str, Any] = {"cell": 12, "halo": 9, "block": 2}
CASES: dict[str, Callable[[str], Job]] = {
    "cropped": lambda edsr: bare_job((50, 41), "yx", "uint16", model=edsr, blend=0, batch=3, **FLAT),
    "blended": lambda edsr: bare_job((50, 41), "yx", "uint16", model=edsr, blend=5, batch=2, **FLAT),
    "channels": lambda edsr: bare_job((3, 30, 41), "cyx", "uint8", model=edsr, blend=5, batch=4, **FLAT),
    "wide": lambda _: bare_job((50, 41), "yx", "uint32", model="linear", scale=2, blend=5, out_dtype="float64", **FLAT),
    "volume": lambda _: bare_job(
        (20, 21, 22), "zyx", "float32", model="linear", axes="zyx", scale=2, cell=6, halo=4, blend=3, block=2, batch=2
    ),
    "deviations": lambda _: bare_job(
        (12, 30, 31), "zyx", "uint8", model="engine.stack_model:whole", scale=(4, 1, 1), cell=(4, 12, 12), batch=2
    ),
}


ON_GPU = sorted(CASES.keys() - {"deviations"})
"""The small model of stacks stays on the CPU."""


@contextmanager
def late_lane(_: str = "cuda") -> Iterator[DeviceLane]:
    """Yield a lane of a device that is the CPU, with the way of a GPU."""
    yield DeviceLane(CPU, Ferry(PromptPort(), size=4096))


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> Callable[[Job, int], Any]:
    """Run a block the way of a GPU."""

    def run(job: Job, block: int) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(inference, "lane", late_lane)
            return infer_block(job, block, context_of(job, block))

    return run


@pytest.mark.parametrize("case", sorted(CASES))
def test_the_sums_are_the_same(case: str, edsr: Path, on_device: Callable[[Job, int], Any]) -> None:
    job = CASES[case](str(edsr))
    for block in sorted({0, job.plan.blocks // 2, job.plan.blocks - 1}):
        expected = infer_block(job, block, context_of(job, block))
        found = on_device(job, block)
        assert found.values.dtype == expected.values.dtype
        np.testing.assert_array_equal(found.values, expected.values)
        assert len(np.unique(expected.values)) > 100


def spoilt(model: Any, spoil: Callable[[torch.Tensor, torch.Tensor], object]) -> Any:
    """Return a model whose results are changed."""

    def called(tiles: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:
        results: torch.Tensor = model(tiles, origins).clone()
        spoil(results, origins)
        return results

    called.spec = model.spec  # type: ignore[attr-defined] # a function that looks like a model
    return called


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("batch", [1, 4])
def test_the_first_bad_tile_is_named(
    value: float, batch: int, edsr: Path, on_device: Callable[[Job, int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bare_job((50, 41), "yx", "uint16", model=str(edsr), blend=5, batch=batch, **FLAT)
    # Cells (0, 1) and (1, 0), counted from where their tiles begin.
    bad = [(-14, -2), (-2, -14)]

    def spoil(results: torch.Tensor, origins: torch.Tensor) -> None:
        for result, origin in zip(results, origins.tolist(), strict=True):
            if tuple(origin) in bad:
                result[0, 30, 30] = value

    monkeypatch.setattr(inference, "load", lambda *a, **k: spoilt(load(*a, **k), spoil))
    says = r"returned NaN or infinity for the tile at cell \(0, 1\)"
    for run in (lambda: infer_block(job, 0, context_of(job, 0)), lambda: on_device(job, 0)):
        with pytest.raises(ModelError, match=says) as caught:
            run()
        assert "--precision fp32" in caught.value.remedy


def test_what_an_integer_cannot_hold_is_set_to_the_most_it_can(
    edsr: Path, on_device: Callable[[Job, int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = bare_job((50, 41), "yx", "uint16", model=str(edsr), blend=5, batch=2, **FLAT)

    def spoil(results: torch.Tensor, _: torch.Tensor) -> None:
        results[..., 30:33] = 1e6
        results[..., 33:36] = -1e6

    monkeypatch.setattr(inference, "load", lambda *a, **k: spoilt(load(*a, **k), spoil))
    expected = infer_block(job, 0, context_of(job, 0)).values
    np.testing.assert_array_equal(on_device(job, 0).values, expected)
    assert expected.max() > 2**30
    assert expected.min() < -(2**30)


def test_windows_that_are_not_kept_are_made_again() -> None:
    weights = ((0, 64, 192, 256), (256, 128, 0), (255, 3))
    kept, one = Windows(CPU, kept=8), Windows(CPU, kept=1)
    expected = np.einsum("i,j,k->ijk", *(np.array(each) / 256 for each in weights))
    for each in (weights, weights[:2], weights, weights[:1]):
        assert torch.equal(kept.of(each), one.of(each))
    assert kept.of(weights) is kept.of(weights)
    # Products of eight bits each are exact.
    np.testing.assert_array_equal(kept.of(weights).numpy(), expected)


class FakeStream:
    """Notes what it is asked to wait for."""

    made: list[FakeStream]

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.waited: list[Any] = []
        self.made.append(self)

    def wait_stream(self, other: Any) -> None:
        self.waited.append(other)


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> tuple[list[FakeStream], list[Any]]:
    """Stand in for CUDA; returns the streams that are made, and those that are current, in that order."""
    FakeStream.made = []
    current: list[Any] = []

    @contextmanager
    def stream(one: Any) -> Iterator[None]:
        current.append(one)
        yield

    monkeypatch.setattr(torch.cuda, "Stream", FakeStream)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "default_stream", lambda device: ("default", device))
    monkeypatch.setattr(lanes, "CudaPort", lambda _: PromptPort())
    return FakeStream.made, current


class TestLanesOfAGpu:
    def test_one_after_the_other_are_one(self, streams: tuple[list[FakeStream], list[Any]]) -> None:
        made, current = streams
        pool = CudaLanes(CPU)
        with pool.one() as first:
            pass
        with pytest.raises(RuntimeError, match="what happens"), pool.one() as second:
            raise RuntimeError("what happens")
        with pool.one() as third:
            pass
        assert first is second is third
        assert current == made * 3
        # Models are loaded on the default stream.
        assert made[0].waited == [("default", CPU)] * 3

    def test_at_the_same_time_they_are_as_many_as_needed(
        self, streams: tuple[list[FakeStream], list[Any]], edsr: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = CASES["blended"](str(edsr))
        blocks = range(job.plan.blocks)
        contexts = [context_of(job, block) for block in blocks]
        expected = [infer_block(job, block, contexts[block]).values for block in blocks]
        pool, together = CudaLanes(CPU), Barrier(2)

        @contextmanager
        def two_by_two(_: str) -> Iterator[Any]:
            with pool.one() as found:
                together.wait(timeout=60)
                yield found

        monkeypatch.setattr(inference, "lane", two_by_two)
        even = list(blocks)[: len(blocks) // 2 * 2]
        with ThreadPoolExecutor(2) as threads:
            found = list(threads.map(lambda block: infer_block(job, block, contexts[block]).values, even))
        for block in even:
            np.testing.assert_array_equal(found[block], expected[block])
        assert len(even) >= 4
        assert len(streams[0]) == 2

    def test_a_whole_run_through_several_writes_the_same_voxels(
        self,
        streams: tuple[list[FakeStream], list[Any]],
        make_image: MakeImage,
        speckle: NDArray[np.uint16],
        edsr: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        image, pool = make_image(speckle), CudaLanes(CPU)
        options: dict[str, Any] = {"model": str(edsr), "blend": 5, "batch": 2, **FLAT}
        expected = voxels(scalesr.run(image, tmp_path / "serial.zarr", scheduler="serial", **options).image)
        monkeypatch.setattr(inference, "lane", lambda _: pool.one())
        found = scalesr.run(image, tmp_path / "lanes.zarr", scheduler="threads", workers=3, **options)
        np.testing.assert_array_equal(voxels(found.image), expected)
        assert 1 <= len(streams[0]) <= 3

    def test_each_device_has_its_own(
        self, streams: tuple[list[FakeStream], list[Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lanes, "_cuda", {})
        for device in ("cuda:0", "cuda:1", "cuda:0"):
            with lanes.lane(device):
                pass
        assert [stream.device for stream in streams[0]] == [torch.device("cuda:0"), torch.device("cuda:1")]
        with lanes.lane("cpu") as one, lanes.lane("cpu") as same:
            assert one is same


def test_each_inference_on_a_gpu_counts_with_all_that_it_has_there(edsr: Path) -> None:
    def terms(slots: int, **options: Any) -> tuple[dict[str, int], dict[str, int]]:
        job = bare_job((500, 410), "yx", "uint16", model=str(edsr), batch=3, **FLAT | options)
        spec = load(job.model).spec
        spread = Workers(processes=1, slots=slots, in_flight=slots + 2)
        found = demand(job.plan, spec, workers=spread, device="cuda")
        return tuple({term.name: term.total for term in some} for some in (found.host, found.device))  # type: ignore[return-value]

    (host, one), (host_of_two, two) = terms(1, blend=5), terms(2, blend=5)
    # 2 cells of 12 with 14 px of context at either end; sums are twice as fine, with a strip of 20.
    assert one["pixels of a block"] == (2 * 12 + 2 * 9) ** 2 * 2
    assert one["sums of a block"] == (48 + 20) ** 2 * 4
    # First, last, and those between, along both axes, of which no more are kept.
    assert one["windows of tiles"] == min(9, DEVICE_WINDOWS) * (24 + 20) ** 2 * 4
    assert {name: 2 * each for name, each in one.items() if name != "weights"} == {
        name: each for name, each in two.items() if name != "weights"
    }
    assert one["weights"] == two["weights"] > 0
    assert host["page-locked buffers"] == BUFFERS * BUFFER_BYTES == host_of_two["page-locked buffers"] / 2
    # Every block in flight may be read or written, beside those that the GPU has.
    assert host_of_two["blocks in flight"] / host["blocks in flight"] == 4 / 3
    assert host_of_two["reading: chunks decoded"] / host["reading: chunks decoded"] == 4 / 3
    assert "windows of tiles" not in terms(1, blend=0)[1]


@WITH_GPU
class TestOnAGpu:
    @pytest.mark.parametrize("case", ON_GPU)
    def test_it_is_near_the_cpu(self, case: str, edsr: Path) -> None:
        job = CASES[case](str(edsr))
        gpu = replace(job, device="cuda")
        expected = infer_block(job, 0, context_of(job, 0)).values
        found = infer_block(gpu, 0, context_of(job, 0)).values
        assert np.abs(found - expected.astype(np.float64)).max() <= 1e-4 * 2.0**job.plan.fraction_bits

    @pytest.mark.parametrize("case", ON_GPU)
    def test_lanes_beside_each_other_change_nothing(self, case: str, edsr: Path) -> None:
        job = replace(CASES[case](str(edsr)), device="cuda")
        blocks = range(job.plan.blocks)

        def once(block: int) -> NDArray[Any]:
            return infer_block(job, block, context_of(job, block)).values

        expected = list(map(once, blocks))
        with ThreadPoolExecutor(4) as threads:
            for found in (threads.map(once, blocks), threads.map(once, blocks)):
                for one, other in zip(found, expected, strict=True):
                    np.testing.assert_array_equal(one, other)

    def test_any_block_size_gives_the_same_voxels(
        self, make_image: MakeImage, speckle: NDArray[np.uint16], edsr: Path, tmp_path: Path
    ) -> None:
        image = make_image(speckle)
        found = [
            voxels(
                scalesr.run(
                    image,
                    tmp_path / f"{k}.zarr",
                    model=str(edsr),
                    device="cuda",
                    batch=4,
                    blend=5,
                    **FLAT | {"block": k},
                ).image
            )
            for k in (1, 2, 5)
        ]
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2])

    def test_the_first_bad_tile_is_named(self, edsr: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        job = replace(CASES["cropped"](str(edsr)), device="cuda")
        monkeypatch.setattr(inference, "load", lambda *a, **k: spoilt(load(*a, **k), lambda r, _: r.fill_(torch.nan)))
        with pytest.raises(ModelError, match=r"the tile at cell \(0, 0\)"):
            infer_block(job, 0, context_of(job, 0))
