"""Where training takes its truth from: regions, figures of bands, missing pixels, strips."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from commands import write_image
from hypothesis import given
from hypothesis import strategies as st

from scalesr.errors import InputError
from scalesr.learning import ArraySource, ImageSource, cut, hold_out, judges, sources

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def cube(bands: int = 3, y: int = 40, x: int = 50) -> NDArray[np.float32]:
    """Return a cube whose bands differ in range."""
    values = np.random.default_rng(0).random((bands, y, x), dtype=np.float32)
    return np.asarray(values * 10.0 ** np.arange(bands)[:, None, None] + 5, np.float32)


def test_bands_are_normalised_by_their_own_percentiles() -> None:
    source = ArraySource(cube())
    for band in range(3):
        low, high = np.percentile(source.read(band, slice(0, 40), slice(0, 50)), (0.1, 99.9))
        assert (low, high) == pytest.approx((0, 1), abs=1e-4)


def test_a_nearly_empty_band_is_normalised_by_its_range_and_a_constant_one_stays_finite() -> None:
    spiky = np.zeros((2, 64, 64), np.float32)
    spiky[0, 3, 4] = 7.0
    source = ArraySource(spiky)
    assert source.pixels[0].max() == 1
    assert (source.pixels[1] == 0).all()


@pytest.mark.parametrize("axes", ["cyx", "cxy", "yx", "czyx", "tczyx"])
def test_an_image_gives_its_planes_with_the_channels_of_a_place_as_neighbours(tmp_path: Path, axes: str) -> None:
    sizes = {"t": 2, "c": 3, "z": 2, "y": 40, "x": 50}
    shape = tuple(sizes[a] for a in axes)
    pixels = np.random.default_rng(1).integers(0, 4000, shape).astype(np.uint16)
    source = ImageSource(image=write_image(tmp_path / "image.zarr", pixels, axes))
    planes, y, x = source.shape
    assert (y, x) == (40, 50)
    assert planes == pixels.size // 2000
    flat = pixels.transpose([axes.index(a) for a in "tzcyx" if a in axes]).reshape(planes, 40, 50)
    for plane in range(planes):
        found = source.read(plane, slice(3, 20), slice(7, 31))
        own = np.moveaxis(pixels, axes.index("c"), 0)[plane % 3] if "c" in axes else pixels
        low, high = np.percentile(own, (0.1, 99.9))
        np.testing.assert_allclose(found, (flat[plane, 3:20, 7:31] - low) / (high - low), atol=2e-3)


def test_reading_by_region_equals_holding_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = write_image(tmp_path / "image.zarr", cube(), "cyx")
    held, streamed, region = ImageSource(image=image), ImageSource(image=image), (slice(5, 33), slice(1, 50))
    expected = [held.read(plane, *region) for plane in range(3)]
    assert held._held
    monkeypatch.setattr(sources, "HELD_BYTES", 0)
    for plane in range(3):
        assert np.array_equal(streamed.read(plane, *region), expected[plane])
    assert not streamed._held


def test_what_was_not_measured_is_missing(tmp_path: Path) -> None:
    values = cube()
    values[1, 4, 5] = np.nan
    values[2, 6, 7] = np.inf
    image = write_image(tmp_path / "image.zarr", values, "cyx")
    mask = np.ones((40, 50), np.uint8)
    mask[10:20, 30:] = 0
    zarr.create_array(image.url, name="mask", data=mask, chunks=(16, 16), zarr_format=3)
    source = ImageSource(image=image)
    missing = np.stack([np.isnan(source.read(band, slice(0, 40), slice(0, 50))) for band in range(3)])
    expected = np.broadcast_to(mask == 0, (3, 40, 50)).copy()
    expected[1, 4, 5] = expected[2, 6, 7] = True
    assert np.array_equal(missing, expected)
    kept = ArraySource(values)
    assert np.isnan(kept.pixels).sum() == 2


@given(
    size=st.tuples(st.integers(2, 9), st.integers(2, 9)),
    start=st.tuples(st.integers(-20, 20), st.integers(-20, 20)),
    edge=st.tuples(st.integers(1, 25), st.integers(1, 25)),
)
def test_patches_past_the_edge_are_mirrored(
    size: tuple[int, int], start: tuple[int, int], edge: tuple[int, int]
) -> None:
    plane = np.arange(size[0] * size[1], dtype=np.float32).reshape(size)
    source = ArraySource(plane, normalise="none")
    wide = np.pad(plane, 60, mode="reflect")
    y, x = start[0] + 60, start[1] + 60
    expected = wide[y : y + edge[0], x : x + edge[1]]
    assert np.array_equal(cut(source, 0, y=start[0], x=start[1], edge=edge), expected)


@given(heights=st.lists(st.integers(1, 2000), min_size=1, max_size=4))
def test_strips_and_what_is_trained_on_share_no_row(heights: list[int]) -> None:
    found = [ArraySource(np.arange(h, dtype=np.float32)[:, None] * np.ones((1, 2)), normalise="none") for h in heights]
    train, strips = hold_out(found)
    assert len(train) == len(heights)
    assert len(strips) == sum(h >= 192 for h in heights)
    remaining = iter(strips)
    for source, part in zip(found, train, strict=True):
        height = source.shape[1]
        rows = set(part.read(0, slice(0, part.shape[1]), slice(0, 1)).ravel().tolist())
        held: set[float] = set()
        if height >= 192:
            strip = next(remaining)
            assert strip.shape[1] == max(64, height // 8)
            held = set(strip.read(0, slice(0, strip.shape[1]), slice(0, 1)).ravel().tolist())
        assert not rows & held
        assert rows | held == set(map(float, range(height)))


def test_a_network_is_judged_by_what_is_given_else_by_strips_else_by_what_it_is_trained_on() -> None:
    small, large = (ArraySource(np.random.default_rng(0).random((rows, 4))) for rows in (100, 300))
    assert judges([large], [small]) == ([large], [small], "given images")
    train, strips, judged = judges([small, large], None)
    assert judged == "held-out strips"
    assert train[0] is small
    assert [(part.shape[1], strip.shape[1]) for part, strip in zip(train[1:], strips, strict=True)] == [(236, 64)]
    assert judges([small], None) == ([small], [small], "training pixels")


def test_identities_tell_sources_apart(tmp_path: Path) -> None:
    one, other = ArraySource(cube()), ArraySource(cube() ** 2)
    assert one.identity == ArraySource(cube()).identity
    assert len({one.identity, other.identity, ArraySource(cube(), weight=2.0).identity}) == 3
    image = write_image(tmp_path / "image.zarr", cube(), "cyx")
    assert ImageSource(image=image).identity == ImageSource(image=image).identity
    train, strips = hold_out([ArraySource(np.zeros((300, 4)) + np.arange(4))])
    assert train[0].identity != strips[0].identity


@pytest.mark.parametrize("pixels", [np.zeros(4), np.zeros((0, 3, 3)), np.full((1, 3, 3), np.nan)])
def test_arrays_that_are_no_planes_are_refused(pixels: Any) -> None:
    with pytest.raises(InputError):
        ArraySource(pixels)


def test_an_image_without_planes_is_refused(tmp_path: Path) -> None:
    image = write_image(tmp_path / "image.zarr", cube()[0], "yx")
    with pytest.raises(InputError, match="axes"):
        ImageSource(image=replace(image, axes=(image.axes[0], replace(image.axes[1], name="z"))))
