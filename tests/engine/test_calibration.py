"""Choosing tile and batch by a short measurement, with a clock of our own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from scalesr.engine import calibration
from scalesr.engine.calibration import calibrate
from scalesr.errors import PlanError
from scalesr.models import resolve

if TYPE_CHECKING:
    from pathlib import Path

HALO = (20, 20)


class Clock:
    """Stands for the timing of one call: a fixed cost for each call, and one for each pixel, more where caches end."""

    def __init__(self, *, largest: int, fits: int = 10**9) -> None:
        self.largest, self.fits = largest, fits
        self.calls: list[tuple[int, ...]] = []

    def __call__(self, model: Any, shape: tuple[int, ...], *_: Any) -> float | None:
        self.calls.append(shape)
        batch, height, width = shape[0], *shape[2:]
        if batch * height * width > self.fits:
            return None
        pixels = batch * height * width
        return 0.001 + 1e-7 * pixels * (1 if height <= self.largest else 3)


@pytest.fixture
def measure(edsr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calibrate the small network of the tests with a clock, and a cache of its own."""
    monkeypatch.setattr("platformdirs.user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))

    def run(clock: Clock, how: str = "once", slots: int = 1) -> Any:
        monkeypatch.setattr(calibration, "time_call", clock)
        ref = resolve(str(edsr), image_channels=1, image_axes="yx")
        return calibrate(ref, halo=HALO, device="cpu", precision="fp32", threads=1, slots=slots, how=how)  # type: ignore[arg-type]

    return run


def test_the_fastest_in_useful_pixels_is_chosen(measure: Any) -> None:
    found = measure(Clock(largest=260))
    rates = {trial.cell: trial.rate for trial in found.trials if trial.batch == 1}
    assert found.best.rate == max(trial.rate for trial in found.trials)
    # A larger tile wastes less on its context, until it leaves the caches.
    assert found.best.cell == max(cell for cell in rates if cell[0] + 2 * HALO[0] <= 260)


def test_it_is_measured_once_and_again_when_asked_to(measure: Any) -> None:
    first, second, third = Clock(largest=260), Clock(largest=260), Clock(largest=520)
    known = measure(first)
    assert first.calls
    assert measure(second) == known
    assert not second.calls
    assert measure(third, "again").best.cell > known.best.cell
    assert measure(Clock(largest=1)).best.cell > known.best.cell  # what was measured again is what is remembered
    other = Clock(largest=260)
    measure(other, slots=2)
    assert other.calls  # more side by side is another question


def test_what_does_not_fit_is_left_out(measure: Any) -> None:
    found = measure(Clock(largest=10**6, fits=200 * 200))
    assert {trial.batch * (trial.cell[0] + 2 * HALO[0]) ** 2 <= 200 * 200 for trial in found.trials} == {True}
    with pytest.raises(PlanError, match="Not even the smallest tile"):
        measure(Clock(largest=10**6, fits=0), "again")
