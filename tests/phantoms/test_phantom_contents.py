"""What is in the phantoms is what their documentation says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from scalesr.errors import InputError
from scalesr.phantoms import cells, spectral_cube, volume

PLANE = (slice(0, 256), slice(0, 256))


def test_labels_are_the_bright_nuclei() -> None:
    image = cells((256, 256), seed=4, stain="nuclei")
    pixels, labels = image.region(PLANE), image.labels(PLANE)
    count = len(np.unique(labels)) - 1
    assert 15 < count < 41  # about (256 / 40) squared places, three quarters of them taken
    assert float(pixels[labels > 0].mean()) > 8 * float(pixels[labels == 0].mean())
    assert float(pixels.min()) >= 0.0
    assert float(pixels.max()) <= 1.2


def test_labels_keep_their_number_in_any_region() -> None:
    image = cells((1000, 1000), seed=4)
    whole = image.labels(PLANE)
    np.testing.assert_array_equal(image.labels((slice(100, 200), slice(50, 51))), whole[100:200, 50:51])


def test_most_nuclei_are_in_one_piece() -> None:
    labels = cells((256, 256), seed=6).labels(PLANE)
    pieces = [ndimage.label(labels == name)[1] for name in np.unique(labels)[1:]]
    assert np.mean(np.array(pieces) == 1) > 0.9


def test_stains_show_different_parts() -> None:
    shape, seed = (256, 256), 8
    labels = cells(shape, seed=seed).labels(PLANE)
    cytoplasm = cells(shape, seed=seed, stain="cytoplasm").region(PLANE)
    around = ndimage.binary_dilation(labels > 0, iterations=4) & (labels == 0)
    assert float(cytoplasm[around].mean()) > 1.5 * float(cytoplasm[labels > 0].mean())


def test_a_slice_of_three_dimensional_cells_shows_discs() -> None:
    labels = cells((64, 256, 256), seed=1).labels((slice(32, 33), *PLANE))
    assert 0.01 < float((labels > 0).mean()) < 0.3


def test_a_cube_is_the_sum_of_its_components() -> None:
    cube = spectral_cube((30, 64, 64), seed=3, tissues=3, counts=50.0)
    plane = (slice(5, 40), slice(10, 64))
    pixels = cube.region((slice(4, 20), *plane))
    expected = 50.0 * np.einsum("kc,kyx->cyx", cube.spectra()[:, 4:20], cube.amounts(plane))
    np.testing.assert_allclose(pixels, expected, rtol=1e-5)
    assert cube.spectra().shape == (4, 30)
    assert float(pixels.max()) <= 50.0


def test_all_components_occur_and_labels_name_the_largest() -> None:
    cube = spectral_cube((8, 256, 256), seed=2, tissues=4)
    labels, amounts = cube.labels(PLANE), cube.amounts(PLANE)
    assert set(np.unique(labels)) == set(range(5))
    np.testing.assert_array_equal(np.take_along_axis(amounts, labels[None], 0)[0], amounts.max(0))
    assert float(amounts.sum(0).max()) <= 1.0 + 1e-6


def test_borders_are_sharp_and_smooth() -> None:
    """Shares of tissue jump by more than a half from pixel to pixel at some borders and creep at others."""
    cube = spectral_cube((4, 512, 512), seed=0, tissues=4)
    amounts = cube.amounts((slice(0, 512), slice(0, 512)))
    steps = np.abs(np.diff(amounts, axis=-1)).max((1, 2))
    mixed = ((amounts > 0.2) & (amounts < 0.35)).mean((1, 2))
    assert steps[0] > 0.3
    assert mixed[1] > 0.01


def test_spectra_differ() -> None:
    spectra = spectral_cube((200, 8, 8), seed=1).spectra()
    alike = np.corrcoef(spectra) - np.eye(len(spectra))
    assert alike.max() < 0.9


def test_a_volume_has_no_preferred_axis() -> None:
    pixels = volume((96, 96, 96), seed=1, pitch=12.0).region((slice(0, 96),) * 3)
    roughness = [float(np.abs(np.diff(pixels, axis=axis)).mean()) for axis in range(3)]
    assert max(roughness) < 1.1 * min(roughness)
    assert float(pixels.min()) > 0.05
    assert float(pixels.max()) <= 1.01


@pytest.mark.parametrize("structure", ["membranes", "tubes", "blobs"])
def test_structures_can_be_had_alone(structure: str) -> None:
    where = (slice(0, 64),) * 3
    alone = volume((64, 64, 64), structures=(structure,)).region(where)  # type: ignore[arg-type]  # a parameter is a str
    ground = volume((64, 64, 64), structures=()).region(where)
    assert (alone >= ground).all()
    assert 0.002 < float((alone > ground + 0.1).mean()) < 0.6


def test_unknown_structures_are_refused() -> None:
    with pytest.raises(InputError, match="no structures named cilia"):
        volume((8, 8, 8), structures=("cilia",))  # type: ignore[arg-type]  # what is tested


def test_one_tissue_is_refused() -> None:
    with pytest.raises(InputError, match="no border"):
        spectral_cube((8, 8, 8), tissues=1)
