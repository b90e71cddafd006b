from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
import zarr

from scalesr.errors import InputError, OutputError
from scalesr.images import Axis, Image, create_image, open_image, pyramid_layout
from scalesr.images.spectral import Quantity, SpectralAxis, read_spectral, write_spectral

if TYPE_CHECKING:
    from pathlib import Path


def cube(path: Path, *, bands: int = 3, version: Literal["0.4", "0.5"] = "0.5", axes: str = "cyx") -> Image:
    layout = pyramid_layout(
        axes=tuple(Axis(a, "channel" if a == "c" else "space") for a in axes),
        shape=(bands, 4, 5)[-len(axes) :],
        dtype="uint8",
        scale=(1.0,) * len(axes),
        translation=(0.0,) * len(axes),
    )
    create_image(path, layout, version=version).publish()
    return open_image(path)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize(
    ("quantity", "unit", "name"),
    [("m/z", None, "mz"), ("wavelength", "nanometer", "wavelength"), ("wavenumber", "1/cm", "wavenumber")],
)
def test_bands_come_back(
    tmp_path: Path, version: Literal["0.4", "0.5"], quantity: Quantity, unit: str | None, name: str
) -> None:
    image = cube(tmp_path / "a.zarr", version=version)
    assert read_spectral(image) is None
    values = np.array([864.6, 1 / 3, 7])
    known = {"ppm": 10.0, "fwhm": [1.5, 2.5, 3.5], "polarity": "positive"}
    write_spectral(image.url, SpectralAxis(values=values, quantity=quantity, unit=unit, attributes=known))
    axis = read_spectral(open_image(image.url))
    assert axis is not None
    np.testing.assert_array_equal(axis.values, values)
    assert (axis.quantity, axis.unit, dict(axis.attributes)) == (quantity, unit, known)
    assert axis.values.dtype == np.float64
    array = zarr.open_array(f"{image.url}/{name}", mode="r")
    assert (array.attrs["quantity"], array.attrs["unit"]) == (quantity, unit)
    if version == "0.5":
        assert getattr(array.metadata, "dimension_names", None) == ("c",)


def test_writing_again_replaces_also_another_quantity(tmp_path: Path) -> None:
    image = cube(tmp_path / "a.zarr")
    write_spectral(image.url, SpectralAxis(values=np.arange(3.0), quantity="m/z", attributes={"ppm": 1}))
    write_spectral(image.url, SpectralAxis(values=np.arange(3.0) + 1, quantity="m/z"))
    axis = read_spectral(image)
    assert axis is not None
    assert axis.values.tolist() == [1, 2, 3]
    assert not axis.attributes
    write_spectral(image.url, SpectralAxis(values=np.arange(3.0), quantity="wavelength", unit="nanometer"))
    axis = read_spectral(image)
    assert axis is not None
    assert axis.quantity == "wavelength"
    assert not (tmp_path / "a.zarr" / "mz").exists()


def test_an_image_without_channels_is_one_band(tmp_path: Path) -> None:
    image = cube(tmp_path / "a.zarr", axes="yx")
    write_spectral(image.url, SpectralAxis(values=np.array([5.0]), quantity="wavelength"))
    assert read_spectral(image) is not None


def test_numbers_that_do_not_fit(tmp_path: Path) -> None:
    image = cube(tmp_path / "a.zarr")
    write_spectral(image.url, SpectralAxis(values=np.arange(4.0), quantity="m/z"))
    with pytest.raises(InputError, match=r"mz holds 4 finite numbers in shape \(4,\), but the image has 3 channel"):
        read_spectral(image)


def test_a_write_cut_short_is_not_taken_for_whole(tmp_path: Path) -> None:
    image = cube(tmp_path / "a.zarr")
    write_spectral(image.url, SpectralAxis(values=np.arange(3.0), quantity="m/z"))
    (tmp_path / "a.zarr" / "mz" / "c" / "0").unlink()
    with pytest.raises(InputError, match="mz holds 0 finite numbers"):
        read_spectral(image)


def test_an_array_of_the_same_name_that_is_something_else(tmp_path: Path) -> None:
    image = cube(tmp_path / "a.zarr")
    zarr.create_array(image.url, name="wavelength", shape=(9,), dtype="u1")
    assert read_spectral(image) is None
    zarr.create_group(f"{image.url}/mz")
    assert read_spectral(image) is None


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [[1.0, 2.0]], [np.inf]])
def test_values_that_are_none(values: list[float]) -> None:
    with pytest.raises(InputError, match="is not a row of finite numbers"):
        SpectralAxis(values=np.array(values), quantity="m/z")


def test_places_and_attributes_that_cannot_be(tmp_path: Path) -> None:
    axis = SpectralAxis(values=np.arange(3.0), quantity="m/z")
    with pytest.raises(InputError, match="does not exist"):
        write_spectral(tmp_path / "none.zarr", axis)
    image = cube(tmp_path / "a.zarr")
    odd = SpectralAxis(values=np.arange(3.0), quantity="m/z", attributes={"a": object()})
    with pytest.raises(OutputError, match="Give attributes of text"):
        write_spectral(image.url, odd)
