"""A stack of objects through the engine: whatever blocks and batches there are, each object is what it is alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import scalesr
from scalesr.errors import InputError, ModelError
from scalesr.images import Axis, Image, create_image, open_image, pyramid_layout
from scalesr.rls.checkpoints import save
from scalesr.rls.degradation import Degradation
from scalesr.rls.generator import unit
from scalesr.rls.ranges import measured_range, percentiles_of
from scalesr.rls.search import SearchSettings, search

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.rls.generator import StyleGAN2
    from scalesr.rls.prior import Prior

COARSE = Degradation(factor=4)


@pytest.fixture
def weights(tmp_path: Path, generator: StyleGAN2, prior: Prior) -> Path:
    path = tmp_path / "cells.safetensors"
    save(path, generator, prior, title="cells", factor=4)
    return path


def written(path: Path, pixels: np.ndarray, axes: str) -> Image:
    kinds = {"n": "other", "c": "channel"}
    layout = pyramid_layout(
        axes=tuple(Axis(name=a, kind=kinds.get(a, "space")) for a in axes),  # type: ignore[arg-type]
        shape=pixels.shape,
        dtype="float32",
        scale=(1.0,) * len(axes),
        translation=(0.0,) * len(axes),
        chunks=tuple(4 if a in "yx" else 1 for a in axes),
        shards=tuple(4 if a in "yx" else 1 for a in axes),
        name="objects",
    )
    writer = create_image(path, layout, mode="overwrite")
    writer.array(0)[...] = pixels
    writer.publish()
    return open_image(path)


def test_objects_of_a_stack_are_searched_for_one_by_one(
    tmp_path: Path, weights: Path, generator: StyleGAN2, prior: Prior
) -> None:
    z = torch.randn(7, 32, generator=torch.Generator().manual_seed(9))
    low = COARSE(unit(generator(z)))
    image = written(tmp_path / "stack.zarr", low.numpy(), "ncyx")
    settings = SearchSettings(steps=3, group=4)
    options: dict[str, Any] = {"model": str(weights), "scheduler": "serial", "normalise": "none"}
    found = []
    for batch, cell in ((1, None), (3, (2, 4, 4))):
        target = tmp_path / f"out-{batch}.zarr"
        scalesr.run(
            image,
            target,
            batch=batch,
            cell=cell,
            model_options={"steps": 3, "group": 4},
            **options,
        )
        found.append(np.asarray(open_image(target).array(0)[...]))
    np.testing.assert_array_equal(found[0], found[1])
    assert found[0].shape == (7, 2, 16, 16)
    alone = search(generator, prior, low, COARSE, settings)
    np.testing.assert_allclose(found[0], alone.images.numpy(), atol=1e-5)


def test_percentiles_of_a_stack_become_those_of_what_the_generator_makes(
    tmp_path: Path, weights: Path, generator: StyleGAN2
) -> None:
    low = COARSE(unit(generator(torch.randn(64, 32, generator=torch.Generator().manual_seed(9)))))
    image = written(tmp_path / "stack.zarr", (low * torch.tensor([300.0, 40.0])[:, None, None] + 7).numpy(), "ncyx")
    target = tmp_path / "out.zarr"
    scalesr.run(image, target, model=str(weights), model_options={"steps": 1}, scheduler="serial")
    stored = json.loads((target / "scalesr" / "manifest.json").read_text())["identity"]["normalisation"]
    for channel, wanted in enumerate(measured_range(generator, COARSE)):
        there = np.percentile(np.asarray(image.array(0)[:, channel]), (0.1, 99.9))
        found = (there - stored["offset"][channel]) / stored["gain"][channel]
        # A run knows percentiles to 0.8 %.
        np.testing.assert_allclose(found, wanted, atol=0.02 * (wanted[1] - wanted[0]))
    assert "as those of what the model knows" in stored["origin"]
    # Values that are given are what 0 and 1 are.
    scalesr.run(
        image,
        target,
        model=str(weights),
        model_options={"steps": 1},
        scheduler="serial",
        normalise=(7.0, 307.0),
        mode="overwrite",
    )
    stored = json.loads((target / "scalesr" / "manifest.json").read_text())["identity"]["normalisation"]
    assert (stored["gain"], stored["offset"]) == ([300.0], [7.0])


def test_ranges_are_percentiles_and_never_empty(generator: StyleGAN2) -> None:
    coarse = torch.rand(50, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    found = percentiles_of(coarse)
    for channel, bounds in enumerate(found):
        assert bounds == pytest.approx(np.percentile(coarse[:, channel].double().numpy(), (0.1, 99.9)))
    (low, high), _ = percentiles_of(torch.zeros(3, 2, 4, 4))
    assert high > low
    assert measured_range(generator, COARSE) == measured_range(generator, COARSE)
    noisy, plain = (measured_range(generator, Degradation(factor=4, noise=noise)) for noise in (0.3, 0.0))
    assert noisy[0][0] < plain[0][0]
    assert plain[0][1] < noisy[0][1]


@pytest.mark.parametrize(
    ("edges", "options", "kind", "words"),
    [
        (
            (2, 5, 5),
            {},
            InputError,
            r"has 5 x 5 \(y, x\) px; the model 'cells' takes 4 x 4 \(y, x\) px and makes 16 x 16",
        ),
        ((2, 4, 4), {"model_options": {"factor": 8}}, InputError, "takes 2 x 2"),
        ((1, 4, 4), {}, ModelError, r"makes images of 2 channel\(s\), and the image has 1"),
        ((2, 4, 4), {"scale": 8}, ModelError, "scales by 1 x 4 x 4, and 8 was asked for"),
    ],
)
def test_stacks_that_do_not_fit_are_refused_before_a_run(
    tmp_path: Path,
    weights: Path,
    edges: tuple[int, int, int],
    options: dict[str, Any],
    kind: type[Exception],
    words: str,
) -> None:
    image = written(tmp_path / "stack.zarr", np.zeros((3, *edges), np.float32), "ncyx")
    with pytest.raises(kind, match=words):
        scalesr.run(image, tmp_path / "out.zarr", model=str(weights), scheduler="serial", **options)
    assert not (tmp_path / "out.zarr").exists()


def test_one_number_is_the_scale_of_objects(tmp_path: Path, weights: Path) -> None:
    image = written(tmp_path / "stack.zarr", np.random.default_rng(0).random((3, 2, 4, 4)).astype(np.float32), "ncyx")
    result = scalesr.run(
        image, tmp_path / "out.zarr", model=str(weights), scheduler="serial", scale=4, model_options={"steps": 1}
    )
    assert result.image.shape == (3, 2, 16, 16)
