"""Profiles: exact on linear images, in physical units, on one axis for grids of different pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from analysis.samples import coarse, stored
from scipy.ndimage import map_coordinates

from scalesr.analysis import linescan
from scalesr.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def ramp(shape: tuple[int, int], pixel: float, edge: tuple[float, float]) -> np.ndarray:
    y, x = ((np.arange(n) + 0.5) * pixel + e for n, e in zip(shape, edge, strict=True))
    return (3 * y[:, None] - 2 * x).astype(np.float64)


def test_a_linear_image_has_a_linear_profile_on_any_grid(tmp_path: Path) -> None:
    edge = (10.0, -5.0)
    images = {
        "fine": stored(tmp_path / "fine", ramp((120, 90), 0.5, edge), pixel=0.5, edge=edge),
        "coarse": stored(tmp_path / "coarse", ramp((30, 22), 2.0, edge), pixel=2.0, edge=edge),
    }
    found = linescan(images, start=(14.0, -1.0), stop=(62.0, 32.0), width=3.0)
    length = math.hypot(48, 33)
    assert found.unit == "micrometer"
    assert np.diff(found.distance) == pytest.approx(0.25)
    assert length - 0.25 < found.distance[-1] <= length
    expected = 3 * (14 + found.distance * 48 / length) - 2 * (-1 + found.distance * 33 / length)
    for profile in found.profiles.values():
        np.testing.assert_allclose(profile, expected, rtol=1e-12)
    assert list(found.rows()[0]) == ["distance", "fine", "coarse"]


def test_profiles_are_those_of_scipy_with_its_mirror(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((3, 40, 300))
    image = stored(tmp_path / "image", pixels, chunks=(1, 16, 50))
    found = linescan({"it": image}, start=(0.0, 0.0), stop=(40.0, 300.0), band=2, step=0.13)
    share = found.distance / math.hypot(40, 300)
    places = [share * 40 - 0.5, share * 300 - 0.5]
    expected = map_coordinates(pixels[2], places, order=1, mode="mirror")
    np.testing.assert_allclose(found.profiles["it"], expected, atol=1e-12)


def test_width_is_a_mean_across(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((30, 50))
    image = stored(tmp_path / "image", pixels)
    # Steps of one pixel from centre to centre, three of them across: block means.
    found = linescan({"it": image}, start=(10.5, 5.5), stop=(10.5, 40.5), width=3.0, step=1.0)
    np.testing.assert_allclose(found.profiles["it"], pixels[9:12, 5:41].mean(axis=0), rtol=1e-12)


def test_units_may_differ(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((30, 50))
    images = {
        "a": stored(tmp_path / "a", pixels),
        "b": stored(tmp_path / "b", pixels, pixel=0.001, unit="millimeter"),
    }
    found = linescan(images, start=(3.0, 4.0), stop=(20.0, 44.0))
    np.testing.assert_allclose(found.profiles["a"], found.profiles["b"], atol=1e-9)


def test_signal_to_noise_is_as_defined_and_relative_to_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    truth = np.zeros((8, 200))
    truth[:, 100:150] = 10
    quiet, loud = (truth + sigma * rng.standard_normal(truth.shape) for sigma in (0.5, 2.0))
    images = {"loud": stored(tmp_path / "loud", loud), "quiet": stored(tmp_path / "quiet", quiet)}
    found = linescan(images, start=(4.5, 0.5), stop=(4.5, 199.5), step=1.0)
    signal, ground = (105.0, 145.0), (5.0, 95.0)
    ratio = found.snr(signal=signal, ground=ground)
    expected = (loud[4, 105:146].mean() - loud[4, 5:96].mean()) / loud[4, 5:96].std(ddof=1)
    assert ratio["loud"] == pytest.approx(expected)
    relative = found.relative_snr(to="loud", signal=signal, ground=ground)
    assert relative["loud"] == 1
    assert relative["quiet"] == pytest.approx(ratio["quiet"] / ratio["loud"])
    assert 3 < relative["quiet"] < 5.5
    flat = linescan({"flat": stored(tmp_path / "flat", truth)}, start=(4.5, 0.5), stop=(4.5, 199.5), step=1.0)
    assert flat.snr(signal=signal, ground=ground) == {"flat": math.inf}
    assert math.isnan(flat.snr(signal=ground, ground=ground)["flat"])
    with pytest.raises(InputError, match="no profile 'other'"):
        found.relative_snr(to="other", signal=signal, ground=ground)
    with pytest.raises(InputError, match="Fewer than three places"):
        found.snr(signal=(1.0, 2.0), ground=ground)


def test_a_missing_pixel_shows_where_it_has_a_say(tmp_path: Path) -> None:
    pixels = np.ones((5, 20))
    pixels[2, 10] = np.nan
    found = linescan({"it": stored(tmp_path / "it", pixels)}, start=(2.5, 0.5), stop=(2.5, 19.5), step=1.0)
    assert np.flatnonzero(np.isnan(found.profiles["it"])).tolist() == [10]


def test_lines_outside_and_unknown_bands_are_refused(tmp_path: Path) -> None:
    image = stored(tmp_path / "image", np.ones((2, 20, 20)))
    small = stored(tmp_path / "small", coarse(np.ones((2, 12, 12)), 4), pixel=4.0)
    with pytest.raises(InputError, match="from 2 to 15 along x"):
        linescan({"a": image, "b": small}, start=(2.0, 2.0), stop=(2.0, 15.0))
    with pytest.raises(InputError, match="none 'tin'"):
        linescan({"a": image}, start=(2.0, 2.0), stop=(2.0, 15.0), band="tin")
    for wrong in ({"stop": (2.0, 2.0)}, {"width": -1.0}, {"step": 0.0}):
        with pytest.raises(InputError):
            linescan({"a": image}, **{"start": (2.0, 2.0), "stop": (2.0, 15.0), **wrong})  # type: ignore[arg-type]


def test_profiles_are_drawn(tmp_path: Path) -> None:
    axes = pytest.importorskip("matplotlib.figure").Figure().add_subplot()
    found = linescan({"it": stored(tmp_path / "it", np.ones((9, 9)))}, start=(1.0, 1.0), stop=(5.0, 5.0))
    found.plot(axes)
    assert axes.get_xlabel() == "distance (micrometer)"
    assert len(axes.lines) == 1
