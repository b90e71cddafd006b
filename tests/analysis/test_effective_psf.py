"""The effective PSF: a known blur comes back, nothing done gives the control, and chunks do not show."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from analysis.samples import phantom, stored
from scipy.ndimage import gaussian_filter

from scalesr.analysis import cube as cubes
from scalesr.analysis import effective_psf
from scalesr.errors import InputError
from scalesr.metrics.resampling import enlarge

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FWHM = 2 * math.sqrt(2 * math.log(2))


def interpolated(pixels: NDArray[np.float64], times: int) -> NDArray[np.float64]:
    return np.stack([enlarge(plane, [Fraction(times)] * 2) for plane in pixels])


def measurement(edge: int = 96, *, bands: int = 4) -> NDArray[np.float64]:
    pixels, _ = phantom(edge, bands=bands)
    return pixels + np.random.default_rng(0).random(pixels.shape)


@pytest.mark.parametrize("times", [1, 2, 4])
@pytest.mark.parametrize("width", [(9.0, 9.0), (14.0, 8.0)])
def test_a_known_blur_comes_back(tmp_path: Path, times: int, width: tuple[float, float]) -> None:
    pixels = measurement()
    sigma = (0.0, *(w / FWHM for w in width))
    output = gaussian_filter(interpolated(pixels, times), sigma, mode="mirror")
    found = effective_psf(
        stored(tmp_path / "output", output, pixel=0.5), stored(tmp_path / "input", pixels, pixel=0.5 * times)
    )
    for axis in (0, 1):
        assert found.fwhm[axis] == pytest.approx(0.5 * width[axis], rel=0.05)
        assert found.control[axis] < found.fwhm[axis]
    np.testing.assert_allclose(found.shift, 0, atol=0.3)  # of the pixel of half a micrometer
    assert found.explained > 0.99
    assert found.unit == "micrometer"


@pytest.mark.parametrize("times", [1, 4])
def test_nothing_done_gives_the_control(tmp_path: Path, times: int) -> None:
    pixels = measurement()
    found = effective_psf(
        stored(tmp_path / "output", interpolated(pixels, times)),
        stored(tmp_path / "input", pixels, pixel=float(times)),
    )
    np.testing.assert_allclose(found.fwhm, found.control)
    assert found.explained == pytest.approx(1, abs=1e-3)
    # What the estimate cannot be narrower than: about a pixel of the input.
    assert 0.8 < found.control[0] / times < 1.7


def test_a_shift_shows_and_noise_is_not_explained(tmp_path: Path) -> None:
    pixels = interpolated(measurement(bands=2), 2)
    rng = np.random.default_rng(1)
    moved = np.roll(pixels, (3, -2), axis=(1, 2))
    found = effective_psf(stored(tmp_path / "moved", moved), stored(tmp_path / "still", pixels))
    assert found.shift == (3, -2)
    noise = rng.standard_normal(pixels.shape)
    unlike = effective_psf(stored(tmp_path / "noise", noise), stored(tmp_path / "again", pixels))
    assert unlike.explained < 0.1


def test_chunks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = measurement(64)
    output = gaussian_filter(interpolated(pixels, 2), (0, 2, 2))
    found = []
    for chunk in (8, 50):
        found.append(
            effective_psf(
                stored(tmp_path / f"output{chunk}", output, chunks=(1, chunk, 64)),
                stored(tmp_path / f"input{chunk}", pixels, pixel=2.0, chunks=(4, 64, chunk)),
                tile=64,
            )
        )
        monkeypatch.setattr(cubes, "STRETCH_BYTES", 1)
    np.testing.assert_array_equal(found[0].psf, found[1].psf)
    assert found[0].tiles == 9 * 4


def test_a_part_of_the_tiles_will_do(tmp_path: Path) -> None:
    pixels = measurement(160, bands=2)
    output = stored(tmp_path / "output", gaussian_filter(pixels, (0, 3, 3)))
    image = stored(tmp_path / "input", pixels)
    whole, some = effective_psf(output, image, tile=64), effective_psf(output, image, tile=64, most=5)
    assert (whole.tiles, some.tiles) == (2 * 16, 2 * 4)
    np.testing.assert_allclose(whole.fwhm, some.fwhm, rtol=0.05)
    with pytest.raises(InputError, match="0 tiles"):
        effective_psf(output, image, most=0)


def test_tiles_without_content_are_counted_and_small_images_refused(tmp_path: Path) -> None:
    pixels = measurement(96, bands=2)
    pixels[0, 3, 3] = np.nan
    pixels[1] = 5
    pixels[1, 90:, 90:] = 6
    image = stored(tmp_path / "image", pixels)
    found = effective_psf(image, image, tile=32)
    assert found.left_out == {"tiles with missing pixels": 1, "tiles with nothing to resolve": 24}
    assert found.tiles == 2 * 25 - 25
    with pytest.raises(InputError, match="too small"):
        effective_psf(stored(tmp_path / "a", np.ones((12, 12))), stored(tmp_path / "b", np.ones((12, 12))))
    flat = stored(tmp_path / "flat", np.ones((64, 64)))
    with pytest.raises(InputError, match="finite pixels that differ"):
        effective_psf(flat, flat)
    with pytest.raises(InputError, match="2 bands"):
        effective_psf(image, stored(tmp_path / "single", pixels[0]))
    with pytest.raises(InputError, match="above zero"):
        effective_psf(image, image, epsilon=0.0)


def test_it_is_drawn_with_its_scale(tmp_path: Path) -> None:
    axes = pytest.importorskip("matplotlib.figure").Figure().add_subplot()
    image = stored(tmp_path / "image", measurement(64), pixel=2.0)
    found = effective_psf(image, image)
    found.plot(axes)
    assert axes.get_xlabel() == "x (micrometer)"
    assert [row["axis"] for row in found.rows()] == ["y", "x"]
    # The centre lies at zero.
    assert axes.images[0].get_extent()[0] == -(32 + 0.5) * 2
