from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from metrics.arrays import measure_arrays
from metrics.nets import Pooled
from scipy import ndimage

from scalesr.errors import InputError, ModelError
from scalesr.metrics import Settings
from scalesr.metrics.features import BATCH, extract, open_extractor
from scalesr.metrics.filters import FilterBank

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


def patches(n: int, *, channels: int = 1, edge: int = 32, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((n, channels, edge, edge)).astype(np.float32)


def picture() -> NDArray[np.uint8]:
    field = ndimage.gaussian_filter(np.random.default_rng(0).random((1, 256, 256)), (0, 1.5, 1.5))
    bytes_: NDArray[np.uint8] = (255 * (field - field.min()) / np.ptp(field)).astype(np.uint8)
    return bytes_


def blurred(image: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = ndimage.gaussian_filter(image, (0, strength, strength))
    return found


def noisy(image: NDArray[np.uint8], strength: float) -> NDArray[np.uint8]:
    noise = np.random.default_rng(1).normal(0, 5 * strength, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def test_the_filter_bank_says_what_it_gives() -> None:
    bank = FilterBank()
    assert bank(patches(3)).shape == (3, bank.dimension) == (3, 73)
    assert np.array_equal(bank(patches(3)), bank(patches(3)))


def test_flat_patches_have_their_intensity_only() -> None:
    features = FilterBank()(np.full((1, 1, 16, 16), 0.25, np.float32))
    assert features[0, 0] == 0.25
    assert not features[0, 1:].any()


@pytest.mark.parametrize("edge", [8, 9, 40, 67])
def test_any_size_of_patches_has_the_same_features(edge: int) -> None:
    assert FilterBank()(patches(2, edge=edge)).shape == (2, 73)


def test_grey_has_the_features_of_equal_colours() -> None:
    grey = patches(4)
    assert FilterBank()(np.repeat(grey, 3, axis=1)) == pytest.approx(FilterBank()(grey), abs=1e-7)


def test_colours_count() -> None:
    colours = patches(2, channels=3)
    assert np.abs(FilterBank()(colours) - FilterBank()(colours[:, ::-1]))[:, 1:5].max() > 0.01


def test_directions_are_told_apart() -> None:
    lines = np.broadcast_to(np.sin(np.arange(32.0)), (1, 1, 32, 32)).astype(np.float32)
    across, along = FilterBank()(lines), FilterBank()(lines.swapaxes(2, 3).copy())
    assert np.abs(across - along).max() > 0.3
    assert np.sort(across) == pytest.approx(np.sort(along), abs=1e-6)


@pytest.mark.parametrize("change", [blurred, noisy])
@pytest.mark.parametrize("metric", ["fid", "kid"])
def test_small_features_see_more_of_a_change_as_more(
    change: Callable[[NDArray[np.uint8], float], NDArray[np.uint8]], metric: str
) -> None:
    clean = picture()
    found = [
        measure_arrays(change(clean, strength), metric, reference=clean, settings=Settings(patch=32))[0].value
        for strength in (0.7, 1.0, 2.0, 4.0)
    ]
    assert None not in found
    assert found == sorted(found, key=float)  # type: ignore[arg-type]


@pytest.mark.parametrize("choice", ["small", "metrics.nets:pooled"])
def test_the_bits_of_a_patch_do_not_depend_on_the_others(choice: str) -> None:
    extractor, _ = open_extractor(choice, edge=32)
    many = patches(BATCH)
    whole = extract(extractor, many)
    assert np.array_equal(extract(extractor, many[:5]), whole[:5])
    assert whole.dtype == np.float64


def test_an_extractor_is_loaded_once() -> None:
    first, sha256 = open_extractor("metrics.nets:pooled", edge=32)
    assert open_extractor("metrics.nets:pooled", edge=32)[0] is first
    assert open_extractor("metrics.nets:pooled", edge=32, sha256=sha256)[0] is first
    assert first.name == f"metrics.nets:pooled {sha256[:8]}"
    assert (first.dimension, first.colour) == (16, "rgb")


def test_grey_is_given_thrice_to_a_network_of_colours() -> None:
    extractor, _ = open_extractor("metrics.nets:pooled", edge=32)
    grey = patches(4)
    assert np.array_equal(extractor(grey), extractor(np.repeat(grey, 3, axis=1)))


def test_networks_of_one_channel_are_known() -> None:
    extractor, _ = open_extractor("metrics.nets:grey", edge=32)
    assert extractor.colour == "grey"
    assert extractor(patches(3)).shape == (3, 16)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_programs_in_files_give_what_the_network_gives(tmp_path: Path) -> None:
    network = Pooled().eval()
    example = torch.zeros(BATCH, 3, 32, 32)
    torch.jit.save(torch.jit.trace(network, example), tmp_path / "net.pt")  # type: ignore[no-untyped-call]
    torch.export.save(torch.export.export(network, (example,)), tmp_path / "net.pt2")
    some = patches(BATCH, channels=3)
    with torch.inference_mode():
        expected = network(torch.from_numpy(some)).double().numpy()
    for choice, name in (
        (f"jit:{tmp_path / 'net.pt'}", "jit:net.pt"),
        (f"export:{tmp_path / 'net.pt2'}", "export:net.pt2"),
    ):
        extractor, sha256 = open_extractor(choice, edge=32)
        assert extractor(some) == pytest.approx(expected, rel=1e-5, abs=1e-7)
        assert extractor.name == f"{name} {sha256[:8]}"


def test_a_file_that_has_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    for features in (4, 5):
        program = torch.export.export(Pooled(features=features).eval(), (torch.zeros(BATCH, 3, 32, 32),))
        torch.export.save(program, path)
        if features == 4:
            _, before = open_extractor(f"export:{path}", edge=32)
    assert open_extractor(f"export:{path}", edge=32)[0].dimension == 5
    with pytest.raises(ModelError, match="have changed"):
        open_extractor(f"export:{path}", edge=24, sha256=before)


@pytest.mark.parametrize(
    ("choice", "problem"),
    [
        ("inception", "not understood"),
        ("weights-inception.pth", "not understood"),
        ("net.pt2", "not understood"),
        ("metrics.nets:flat", "3072 features|more than 4096"),
        ("metrics.nets:image", "give torch.Size"),
    ],
)
def test_what_cannot_be_used_is_refused(choice: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        open_extractor(choice, edge=80)


@pytest.mark.parametrize(
    ("choice", "problem"),
    [
        ("jit:absent.pt", "cannot be read"),
        ("metrics.nets:nothing", "no weights here"),
        ("metrics.nets:absent", "no function"),
        ("metrics.nets:text", "returned a str"),
    ],
)
def test_what_cannot_be_loaded_is_refused(choice: str, problem: str) -> None:
    with pytest.raises(ModelError, match=problem):
        open_extractor(choice, edge=32)


@pytest.mark.parametrize("kind", ["jit", "export"])
def test_files_that_are_no_programs_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "net.pt"
    path.write_bytes(b"not a program")
    with pytest.raises(ModelError, match=f"program of torch.{kind}"):
        open_extractor(f"{kind}:{path}", edge=32)


def test_patches_that_are_too_small_are_refused() -> None:
    with pytest.raises(InputError, match="too small"):
        open_extractor("small", edge=7)
