"""Measuring while a run goes on gives what measuring afterwards gives, with nothing read twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from engine.conftest import voxels
from engine.test_measuring import store, told

import scalesr
from scalesr.engine import BlockDone, Options, RunStarted
from scalesr.errors import InputError, InterruptedRunError, LedgerError, PlanError
from scalesr.metrics import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.engine import Event
    from scalesr.metrics import Measure

METRICS = ("psnr", "mae", "ssim", "frc", "consistency")


def close(found: dict[Any, Any], wanted: dict[Any, Any]) -> None:
    assert found.keys() == wanted.keys()
    for key, (value, n, left_out, note) in wanted.items():
        assert found[key][1:] == (n, left_out, note), key
        assert found[key][0] == (pytest.approx(value, rel=1e-9) if value is not None else None), key


def figures(measures: tuple[Measure, ...]) -> dict[Any, Any]:
    # Tiles of the ride end where the cells of the run do, so what is tile-wise may differ.
    return {key: value for key, value in told(measures).items() if key[0] != "frc"}


@pytest.mark.parametrize("block", [1, 2])
def test_the_same_figures_as_measuring_afterwards(tmp_path: Path, block: int) -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 60000, (300, 260), dtype=np.uint16)
    source = store(tmp_path / "in.zarr", small, pixel=2.0, origin=0.75)
    truth = np.clip(np.kron(small, np.ones((4, 4))) + rng.normal(0, 900, (1200, 1040)), 0, 65535).astype(np.uint16)
    reference = store(tmp_path / "truth.zarr", truth, pixel=0.5)
    options = Options(model="cubic", scale=4, cell=64, block=block, metrics=METRICS, reference=reference.url, workers=2)
    result = scalesr.run(source, tmp_path / "out.zarr", options=options)
    assert result.measurement is not None
    kept = json.loads((tmp_path / "out.zarr" / "scalesr" / "measurement.json").read_text())
    assert kept["figures"][0]["value"] == result.measurement.measures[0].value
    after = scalesr.measure(result.image, reference=reference, measured=source, metrics=METRICS)
    close(figures(result.measurement.measures), figures(after.measures))


def test_the_same_bits_for_any_blocks_and_after_a_crash(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.normal(10, 3, (200, 330)).astype(np.float32)
    source = store(tmp_path / "in.zarr", pixels)
    other = store(tmp_path / "other.zarr", (pixels + rng.normal(0, 1, pixels.shape)).astype(np.float32))

    def options(block: int, **changes: Any) -> Options:
        settings = Settings(data_range=30.0)
        return Options(
            model="identity",
            scale=1,
            cell=32,
            block=block,
            metrics=("psnr", "ssim", "consistency"),
            reference=other.url,
            settings=settings,
            **changes,
        )

    first = scalesr.run(source, tmp_path / "a.zarr", options=options(1, scheduler="serial"))
    second = scalesr.run(source, tmp_path / "b.zarr", options=options(3, workers=2))

    def stop(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError):
        scalesr.run(source, tmp_path / "c.zarr", options=options(2), callbacks=[stop])
    with pytest.raises(LedgerError, match="measured"):
        scalesr.run(source, tmp_path / "c.zarr", options=options(2, mode="resume"), settings=Settings(data_range=9.0))
    third = scalesr.run(source, tmp_path / "c.zarr", options=options(2, mode="resume"))
    assert first.measurement is not None
    assert second.measurement is not None
    assert third.measurement is not None
    assert told(first.measurement.measures) == told(second.measurement.measures) == told(third.measurement.measures)
    assert np.array_equal(voxels(first.image), voxels(third.image))


def test_bands_in_blocks_of_their_own_and_time_points(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 255, (2, 3, 96, 90), dtype=np.uint8)
    source = store(tmp_path / "in.zarr", pixels, "tcyx", pixel=0.5)
    reference = store(tmp_path / "ref.zarr", pixels[:, :, ::-1].copy(), "tcyx", pixel=0.5)
    result = scalesr.run(
        source, tmp_path / "out.zarr", model="identity", scale=1, metrics=("mae",), reference=reference.url
    )
    assert result.measurement is not None
    found = result.measurement.measures[0]
    difference = np.abs(pixels.astype(float) - pixels[:, :, ::-1]).mean()
    assert found.value == pytest.approx(difference, rel=1e-12)
    assert found.n == pixels.size


def test_a_reference_that_does_not_fit_stops_before_anything_is_written(tmp_path: Path) -> None:
    source = store(tmp_path / "in.zarr", np.ones((64, 64), np.uint8))
    reference = store(tmp_path / "ref.zarr", np.ones((60, 64), np.uint8))
    with pytest.raises(InputError, match="pixel by pixel"):
        scalesr.run(source, tmp_path / "out.zarr", model="identity", scale=1, metrics=("mae",), reference=reference.url)
    with pytest.raises(InputError, match="no metric named"):
        scalesr.run(source, tmp_path / "out.zarr", model="identity", scale=1, metrics=("beauty",))
    assert not (tmp_path / "out.zarr").exists()


def test_the_projection_counts_what_measuring_takes(tmp_path: Path) -> None:
    image = store(tmp_path / "in.zarr", np.ones((300, 300), np.uint16))
    seen: list[RunStarted] = []

    def note(event: Event) -> None:
        if isinstance(event, RunStarted):
            seen.append(event)

    options = Options(model="identity", scale=1)
    scalesr.run(image, tmp_path / "a.zarr", options=options, callbacks=[note])
    scalesr.run(image, tmp_path / "b.zarr", options=options, callbacks=[note], reference=image.url)
    plain, riding = (event.demand for event in seen)
    assert {term.name for term in riding.host} - {term.name for term in plain.host} == {"measuring on the way"}
    assert riding.host_bytes > plain.host_bytes
    with pytest.raises(PlanError, match="are allowed"):
        scalesr.run(image, tmp_path / "c.zarr", options=options, reference=image.url, memory=plain.host_bytes)
