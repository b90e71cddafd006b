"""What a cluster would take, against closed forms; and what blocks took, against a run of them."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, prod
from typing import TYPE_CHECKING, Any

import pytest
from commands import speckle, write_image
from hypothesis import given
from hypothesis import strategies as st

import scalesr
from scalesr.engine import Options, empty_subject, prepare, subject_of
from scalesr.engine.projection import LISTS, SCHEDULER_SECONDS, Projection, beside, period, project
from scalesr.engine.rates import Rates
from scalesr.engine.timing import Timed, Timing, time_blocks
from scalesr.errors import PlanError

if TYPE_CHECKING:
    from pathlib import Path

TILED: dict[str, Any] = {"model": "nearest", "scale": 2, "cell": 64}
PLAN = prepare(empty_subject((64 * 40, 64 * 50), "yx", "uint16"), Options(**TILED, block=1)).plan
COUNTS = prepare(empty_subject((64 * 40, 64 * 50), "yx", "uint16"), Options(**TILED, block=4)).plan
RATES = st.fixed_dictionaries(
    {},
    optional={
        "speed": st.floats(0.01, 1000),
        "hour": st.floats(0, 100),
        "start": st.floats(0, 1000),
        "bandwidth": st.floats(1e3, 1e12),
        "read": st.floats(0, 1),
        "write": st.floats(0, 1),
        "list": st.floats(0, 1),
        "out": st.floats(0, 1),
        "stored": st.floats(0, 1),
        "store_bandwidth": st.floats(1e4, 1e13),
    },
)
BLOCKS = st.lists(
    st.builds(Timed, read=st.floats(0, 1e-5), infer=st.floats(1e-6, 1e3), write=st.floats(0, 1e-5)),
    min_size=1,
    max_size=3,
)


def timing(*blocks: Timed, **more: Any) -> Timing:
    facts: dict[str, Any] = {"read_ratio": None, "written_ratio": 1.0, "origin": "none", "seconds": 1.0, "tiles": 1}
    return Timing(blocks=blocks, device="cpu", **facts | more)


def stage_seconds(*, read: float, infer: float, write: float) -> Timed:
    """Return what gives so many seconds for an average block of the plan."""
    return Timed(
        read=read * PLAN.blocks / PLAN.bytes_read,
        infer=infer * PLAN.blocks / PLAN.tiles_padded,
        write=write * PLAN.blocks / prod(PLAN.lattice.out_shape),
    )


def test_one_worker_that_only_infers_takes_its_blocks_one_after_the_other() -> None:
    found = project(PLAN, timing(stage_seconds(read=0, infer=3, write=0)), Rates.of({}), workers=1)
    assert PLAN.blocks == 2000
    spans = (found.seconds.least, found.seconds.likely, found.seconds.most)
    assert spans == pytest.approx((6000, 6000, 6000))
    assert found.busy == pytest.approx(1)
    assert found.bottleneck == "inference"


def test_the_closed_form_of_a_priced_cluster() -> None:
    given_ = {"speed": 2, "hour": 1.5, "start": 120, "read": 0.4, "write": 5, "list": 5, "out": 0.09, "stored": 0.02}
    blocks = timing(stage_seconds(read=1, infer=10, write=2), written_ratio=0.5, read_ratio=0.25)
    found = project(PLAN, blocks, Rates.of(given_), workers=300)
    # Seven waves, of which the last has 200 blocks; inference twice as fast, storage as here.
    assert found.seconds.likely == pytest.approx(120 + (1 + 5 + 2) + 6 * 5)
    assert found.seconds.most == pytest.approx(120 + 7 * 8)
    assert found.worker_hours.likely == pytest.approx(300 * 158 / 3600)
    assert found.block_seconds == pytest.approx({"reading": 1, "inference": 5, "writing": 2})
    assert found.busy == pytest.approx(2000 * 5 / (300 * 158))
    assert (found.requests.read, found.requests.write, found.requests.list) == (
        PLAN.requests_read,
        PLAN.requests_written,
        LISTS,
    )
    assert found.bytes_in == PLAN.bytes_read / 4
    assert found.bytes_kept == PLAN.bytes_written / 2
    money = {name: span.likely for name, span in found.money.items()}
    assert money == pytest.approx(
        {
            "workers": 300 * 158 / 3600 * 1.5,
            "requests that read": PLAN.requests_read / 1000 * 0.4,
            "requests that write": PLAN.requests_written / 1000 * 5,
            "requests that list": LISTS / 1000 * 5,
            "bytes that leave the storage": PLAN.bytes_read / 4 / 1e9 * 0.09,
            "the output, kept for a month": PLAN.bytes_written / 2 / 1e9 * 0.02,
        }
    )
    assert found.total.likely == pytest.approx(sum(money.values()))
    assert (found.useful_workers, found.limit) == (int(5 / SCHEDULER_SECONDS), "scheduler")


def test_a_narrow_store_is_what_all_wait_for() -> None:
    exchanged = PLAN.bytes_read + PLAN.bytes_written
    given_ = {"store_bandwidth": exchanged / 1000, "bandwidth": exchanged / PLAN.blocks / 4}
    found = project(PLAN, timing(stage_seconds(read=0.1, infer=5, write=0.1)), Rates.of(given_), workers=100)
    assert found.seconds.likely == pytest.approx(1000)
    # A worker takes four seconds for the bytes of a block, both ways together.
    assert found.block_seconds["reading"] + found.block_seconds["writing"] == pytest.approx(4)
    assert (found.useful_workers, found.bottleneck) == (10, "storage")


@given(blocks=BLOCKS, rates=RATES, workers=st.integers(1, 5000), more=st.integers(1, 5000))
def test_more_workers_never_take_longer_and_nothing_is_less_than_nothing(
    blocks: list[Timed], rates: dict[str, float], workers: int, more: int
) -> None:
    few, many = (project(PLAN, timing(*blocks), Rates.of(rates), workers=n) for n in (workers, workers + more))
    for name in ("least", "likely", "most"):
        assert getattr(many.seconds, name) <= getattr(few.seconds, name)
    for one in (few, many):
        assert 0 < one.seconds.least <= one.seconds.likely * (1 + 1e-9)
        assert one.seconds.likely <= one.seconds.most * (1 + 1e-9)
        assert all(0 <= line.least <= line.most * (1 + 1e-9) for line in one.money.values())
        assert 0 <= one.busy <= 1
        # Nobody is faster than all work shared out, or than what starts it.
        shared = PLAN.blocks * period(one.block_seconds) / one.workers
        assert one.seconds.likely >= max(shared, PLAN.blocks * SCHEDULER_SECONDS) * (1 - 1e-9)


@given(blocks=BLOCKS, rates=RATES)
def test_beyond_the_useful_number_nothing_changes_much(blocks: list[Timed], rates: dict[str, float]) -> None:
    useful = project(PLAN, timing(*blocks), Rates.of(rates), workers=1).useful_workers
    enough, far = (project(PLAN, timing(*blocks), Rates.of(rates), workers=n) for n in (useful, 10**7))
    # Of the last wave, and of reading before and writing after the others, something is left.
    assert enough.seconds.likely <= 2 * far.seconds.likely + 2 * sum(far.block_seconds.values())
    assert far.bottleneck == far.limit


@given(st.floats(0, 10), st.floats(0.1, 10), st.floats(0, 10), st.integers(1, 50))
def test_beside_each_other_is_never_longer_than_one_after_the_other(
    read: float, infer: float, write: float, waves: int
) -> None:
    stages: Any = {"reading": read, "inference": infer, "writing": write}
    assert infer * waves <= beside(stages, waves) * (1 + 1e-9)
    assert beside(stages, waves) <= waves * (read + infer + write) * (1 + 1e-9)


def test_blocks_are_dealt_out_in_waves() -> None:
    found = {
        n: project(COUNTS, timing(Timed(read=0, infer=60, write=0)), Rates.of({}), workers=n) for n in range(1, 200)
    }
    each = 60 * COUNTS.tiles_padded / COUNTS.blocks
    for n, one in found.items():
        assert one.seconds.likely == pytest.approx(each * ceil(COUNTS.blocks / n))


def test_a_rate_of_operations_needs_a_model_that_counts_them() -> None:
    blocks = timing(Timed(read=0, infer=2.0, write=0))
    with pytest.raises(PlanError, match="does not count its operations"):
        project(PLAN, blocks, Rates.of({"tflops": 10}), workers=1)
    counted = replace(PLAN, tile_passes=1, tile_flops=4e12)
    # 4 x 10^12 operations in 2 seconds here, and in 0.4 there.
    assert project(counted, blocks, Rates.of({"tflops": 10}), workers=1).speed == pytest.approx(5)


@pytest.mark.parametrize(
    ("values", "kind", "problem", "remedy"),
    [
        ({"sped": 2}, None, "no rate 'sped'", "speed"),
        ({"speed": 0}, None, "speed is 0", "above"),
        ({"hour": -1}, None, "hour is -1", "hour=2.5"),
        ({"hour": "cheap"}, None, "'cheap'", "number"),
        ({"hour": float("nan")}, None, "nan", "number"),
        ({"currency": 3}, None, "currency 3", "EUR"),
        ({"speed": 2, "tflops": 3}, None, "both say", "tflops"),
        ({"kinds": {"large": {}}}, "larg", "no kind of machine 'larg'", "large"),
        ({"kinds": {"large": {}}}, "tiny", "no kind of machine 'tiny'", "large"),
        ({"kinds": ["large"]}, "large", "no list of machines", "name"),
        ({"kinds": {"large": {"hours": 2}}}, "large", "no rate 'hours'", "hour"),
    ],
)
def test_nonsense_is_refused(values: dict[str, Any], kind: str | None, problem: str, remedy: str) -> None:
    with pytest.raises(PlanError, match=problem) as caught:
        Rates.of(values, kind=kind)
    assert remedy in str(caught.value) + caught.value.remedy


def test_a_kind_wins_over_what_stands_beside_it() -> None:
    values = {"hour": 1, "start": 60, "kinds": {"large": {"hour": 3, "speed": 4}, "small": {}}}
    large, small = (Rates.of(values, kind=kind).machine for kind in ("large", "small"))
    assert (large.name, large.hour, large.speed, large.start) == ("large", 3, 4, 60)
    assert (small.name, small.hour, small.speed) == ("small", 1, None)
    assert Rates.of({}, kind="any").machine.name == "any"
    with pytest.raises(PlanError, match="0 workers"):
        project(PLAN, timing(Timed(read=0, infer=1, write=0)), Rates.of({}), workers=0)


@pytest.mark.parametrize("options", [{"block": 4}, {"block": 3, "blend": 8}])
def test_blocks_are_timed_and_nothing_is_left_behind(tmp_path: Path, options: dict[str, Any]) -> None:
    image = write_image(tmp_path / "in.zarr", speckle(300, 500), "yx")
    before = sorted(tmp_path.rglob("*"))
    chosen = Options(model="linear", scale=2, cell=32, device="cpu", **options)
    subject = subject_of(image)
    found = time_blocks(image, subject, prepare(subject, chosen), chosen)
    assert sorted(tmp_path.rglob("*")) == before
    assert found.tiles == options["block"] ** 2
    assert len(found.blocks) == 3
    assert all(min(one.read, one.infer, one.write) > 0 for one in found.blocks)
    assert 0 < found.written_ratio < 2
    assert found.read_ratio is None


def test_an_image_that_does_not_exist_is_timed_with_noise() -> None:
    subject = empty_subject((2**15, 2**20, 2**20), "zyx", "uint16")
    chosen = Options(model="nearest", scale=(1, 2, 2), axes="zyx", cell=(8, 32, 32), block=1, device="cpu")
    prepared = prepare(subject, chosen)
    found = time_blocks(None, subject, prepared, chosen)
    assert found.origin.startswith("noise")
    assert isinstance(project(prepared.plan, found, Rates.of({}), workers=10**6), Projection)


def test_eigenimages_cannot_be_timed(tmp_path: Path) -> None:
    image = write_image(tmp_path / "in.zarr", speckle(6, 64, 64), "cyx")
    chosen = Options(model="linear", scale=2, strategy="eigen:2", device="cpu")
    subject = subject_of(image)
    with pytest.raises(PlanError, match="Eigenimages are fitted to the whole image"):
        time_blocks(image, subject, prepare(subject, chosen), chosen)


@pytest.mark.slow
def test_the_projection_of_one_worker_is_that_of_a_run_here(tmp_path: Path, edsr: Path) -> None:
    image = write_image(tmp_path / "in.zarr", speckle(400, 600), "yx", chunk=128)
    options: dict[str, Any] = {"model": str(edsr), "cell": 64, "block": 2, "normalise": "dtype", "scheduler": "serial"}
    chosen, subject = Options(**options, device="cpu"), subject_of(image)
    prepared = prepare(subject, chosen)
    found = project(prepared.plan, time_blocks(image, subject, prepared, chosen), Rates.of({}), workers=1)
    took = scalesr.run(tmp_path / "in.zarr", tmp_path / "out.zarr", device="cpu", **options).seconds
    # Others may use the machine while one of the two is measured, and not the other.
    assert found.seconds.least / 4 < took < 4 * found.seconds.most
