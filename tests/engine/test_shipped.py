"""The networks for spectral images that are shipped: what their files say, and what they make of a real cube."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import scalesr
from scalesr.demo.storing import store
from scalesr.hyres import Instrument, load_generator
from scalesr.images import Axis, open_image
from scalesr.models import load, resolve

WEIGHTS = Path(scalesr.__file__).parent / "models" / "weights"
LARGEST = 8e6


@pytest.mark.parametrize("scale", [2, 4])
def test_they_load_by_name_and_ask_for_the_flux(scale: int) -> None:
    spec = load(resolve(f"hyres-x{scale}", image_channels=1, image_axes="cyx")).spec
    assert spec.flux == "conserved"
    assert {int(factor) for factor in spec.scale} == {scale}
    assert load_generator(f"hyres-x{scale}").scale == scale


def test_they_are_small_and_have_a_card() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.glob("hyres-*.safetensors")) <= LARGEST
    assert (WEIGHTS / "hyres.md").is_file()


@pytest.mark.parametrize("scale", [2, 4])
def test_ion_images_come_nearer_to_the_truth_than_by_interpolation(data: Path, tmp_path: Path, scale: int) -> None:
    with np.load(data / "msi" / "plaquepicker_mouse_brain" / "derived_ion_images_upper.npz") as file:
        cube = np.nan_to_num(file["ion_images"])[:, 60:188, 100:228].astype(np.float32)
    measured = Instrument(factor=scale).measure(cube, seed=0).values
    bands = Axis("c", "channel")
    truth = store(cube, tmp_path / "truth", pixel=1.0, first=bands)
    low = store(measured, tmp_path / "low", pixel=float(scale), first=bands)
    found = {}
    for model in ("cubic", f"hyres-x{scale}"):
        scalesr.run(low, tmp_path / model, model=model, scale=scale, scheduler="serial")
        figures = scalesr.measure(
            tmp_path / model,
            reference=truth,
            metrics=("psnr", "ssim", "sam"),
            data_range=float(cube.max()),
            scheduler="serial",
        )
        values = [figures.measures[0].value, figures.find("ssim").value, figures.find("sam", "mean").value]
        assert None not in values
        found[model] = np.array(values, float) * (1, 1, -1)
    assert (found[f"hyres-x{scale}"] > found["cubic"]).all(), found
    out = np.asarray(open_image(tmp_path / f"hyres-x{scale}").array(0)[:], np.float64)
    c, y, x = measured.shape
    means = out.reshape(c, y, scale, x, scale).mean(axis=(2, 4))
    there = measured > 0
    assert np.abs(means[there] / measured[there] - 1).max() < 1e-5
    assert not means[~there].any()
