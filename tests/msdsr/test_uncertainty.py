"""A calibration finds what the errors were made with, and holds what it promises where they were not normal."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from scalesr.errors import ModelError
from scalesr.msdsr.calibration import ONE, coverage, fit, name_of, store, stored
from scalesr.msdsr.sampling import Sampling

if TYPE_CHECKING:
    from pathlib import Path

SCALE = Fraction(4)
TWO = 0.9545
"""Share of a normal distribution within two standard deviations."""


def spreads(count: int = 50_000) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.random.default_rng(1).gamma(2.0, 0.02, count)


def alike(spread: np.ndarray) -> np.ndarray:
    return np.full(spread.shape, 0.1)


@pytest.mark.parametrize(("gain", "floor"), [(1.5, 0.03), (0.5, 0.0), (1.0, 0.02), (2.0, 0.1), (0.0, 0.05)])
def test_what_errors_were_made_with_is_found(gain: float, floor: float) -> None:
    spread = spreads()
    error = np.random.default_rng(0).standard_normal(spread.shape) * np.hypot(gain * spread, floor)
    found = fit(error, spread, alike(spread))
    assert found.changes == (0.1,)
    (knots,), (deviations,) = found.spreads, found.deviations
    wanted = np.hypot(gain * np.array(knots), floor)
    assert np.array(deviations) == pytest.approx(wanted, rel=0.2)
    assert abs(np.mean(np.array(deviations) / wanted) - 1) < 0.03
    assert found.after == pytest.approx((ONE, TWO), abs=0.01)
    assert found.before == pytest.approx(coverage(error, spread))
    assert found == fit(error, spread, alike(spread))


def test_what_the_planes_change_is_heeded() -> None:
    """Errors are several times the spread where planes differ much, and a part of it where they do not."""
    random, spread = np.random.default_rng(0), spreads(96_000)
    change = np.repeat([0.01, 0.2], [24_000, 72_000])
    error = random.standard_normal(len(spread)) * spread * np.where(change > 0.1, 3.0, 0.5)
    found = fit(error, spread, change)
    assert found.changes == (0.01, 0.2)
    for value, gain in ((0.01, 0.5), (0.2, 3.0), (0.0, 0.5), (1.0, 3.0), (0.105, 1.75)):
        seen = torch.tensor([0.02, 0.04, 0.08])
        torch.testing.assert_close(found(seen, torch.full((3,), value)), gain * seen, rtol=0.08, atol=0)
    for value in (0.01, 0.2):
        there = change == value
        after = found(torch.from_numpy(spread[there]), torch.from_numpy(change[there])).numpy()
        assert coverage(error[there], after) == pytest.approx((ONE, TWO), abs=0.01)


@pytest.mark.parametrize(("tails", "within_two"), [("laplace", 0.899), ("student", 0.911)])
def test_heavy_tails_leave_the_first_promise_and_tell_of_the_second(tails: str, within_two: float) -> None:
    spread, random = spreads(), np.random.default_rng(0)
    shape = random.laplace(size=spread.shape) if tails == "laplace" else random.standard_t(3, spread.shape)
    assert fit(shape * spread, spread, alike(spread)).after == pytest.approx((ONE, within_two), abs=0.01)


def test_samples_that_agree_are_no_part_of_it() -> None:
    spread = np.concatenate([spreads(10_000), np.zeros(30_000)])
    error = np.concatenate([np.random.default_rng(0).standard_normal(10_000) * spread[:10_000], np.zeros(30_000)])
    found = fit(error, spread, alike(spread))
    assert found.voxels == 10_000
    assert found.after == pytest.approx((ONE, TWO), abs=0.02)
    assert found(torch.zeros(3), torch.full((3,), 0.1)).tolist() == [0, 0, 0]


def test_it_is_applied_as_it_is_said() -> None:
    found = dataclasses.replace(
        fit(spreads(), spreads(), alike(spreads())),
        changes=(0.1, 0.3),
        spreads=((0.1, 0.2, 0.4), (0.1,)),
        deviations=((0.3, 0.5, 0.6), (1.0,)),
    )
    seen = torch.tensor([0.0, 0.1, 0.15, 0.2, 0.3, 0.8])
    near, far = torch.tensor([0.0, 0.3, 0.4, 0.5, 0.55, 1.2]), 10 * seen
    for change, wanted in ((0.0, near), (0.1, near), (0.2, (near + far) / 2), (0.3, far), (9.0, far)):
        torch.testing.assert_close(found(seen, torch.full(seen.shape, change)), wanted)


def test_another_share_of_empty_voxels_does_not_break_the_promise() -> None:
    """Errors of empty voxels are far smaller than the spread there; the two kinds come in another mixture later."""
    random = np.random.default_rng(0)

    def mixture(empty: int, full: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        spread = np.concatenate([random.gamma(4.0, 0.001, empty), 0.05 + random.gamma(4.0, 0.02, full)])
        width = np.concatenate([np.full(empty, 0.0005), 1.3 * spread[empty:]])
        return random.standard_normal(len(spread)) * width, spread, alike(spread)

    found = fit(*mixture(20_000, 20_000))
    error, spread, change = mixture(36_000, 4_000)
    after = coverage(error, found(torch.from_numpy(spread), torch.from_numpy(change)).numpy())
    assert after == pytest.approx((ONE, TWO), abs=0.03)
    assert coverage(error, spread)[0] > 0.9


@pytest.mark.parametrize(
    "wrong",
    [
        (np.ones(99),) * 3,
        (np.ones(200), np.ones(201), np.ones(200)),
        (np.ones(200), np.ones(200), np.ones(199)),
        (np.full(200, np.nan),) * 3,
        (np.ones(200), np.zeros(200), np.ones(200)),
    ],
)
def test_what_cannot_be_fitted_is_refused(wrong: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ModelError, match="cannot be fitted"):
        fit(*wrong)


def test_it_is_kept_with_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file({"weight": torch.arange(3.0)}, path, metadata={"architecture": "msdsr"})
    eight, four = Sampling(samples=8), Sampling(samples=4)
    first, second = (fit(gain * spreads(), spreads(), alike(spreads())) for gain in (1, 2))
    store(path, first, sampling=eight, scale=SCALE)
    store(path, second, sampling=four, scale=SCALE)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        assert torch.equal(file.get_tensor("weight"), torch.arange(3.0))
    assert metadata["architecture"] == "msdsr"
    assert name_of(eight, SCALE) == "calibration.scale=4,samples=8"
    assert stored(metadata, eight, SCALE) == first
    assert stored(metadata, dataclasses.replace(four, seed=3), SCALE) == second
    assert stored(metadata, four, Fraction(2)) is None
    assert [item.name for item in tmp_path.iterdir()] == ["net.safetensors"]


@pytest.mark.parametrize("text", ["{", "{}", '{"gain": 1}', "[]"])
def test_a_damaged_one_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        stored({name_of(Sampling(), SCALE): text}, Sampling(), SCALE)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.bin"
    path.write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be read"):
        store(path, fit(spreads(), spreads(), alike(spreads())), sampling=Sampling(), scale=SCALE)
