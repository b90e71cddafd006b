"""A stack of objects through the engine: whatever blocks and batches there are, each object is what it is alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import scalesr
from scalesr.images import Axis, Image, create_image, open_image, pyramid_layout
from scalesr.models import architectures
from scalesr.rls.checkpoints import save
from scalesr.rls.degradation import Degradation
from scalesr.rls.generator import unit
from scalesr.rls.search import SearchSettings, search

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.rls.generator import StyleGAN2
    from scalesr.rls.prior import Prior

COARSE = Degradation(factor=4)


@pytest.fixture
def weights(tmp_path: Path, generator: StyleGAN2, prior: Prior, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(architectures.OWN, "rls", "scalesr.rls.model:build")
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
    options = {"model": str(weights), "scheduler": "serial", "normalise": "none"}
    found = []
    for batch, cell in ((1, None), (3, (2, 4, 4))):
        target = tmp_path / f"out-{batch}.zarr"
        scalesr.run(
            image,
            target,
            batch=batch,
            cell=cell,
            model_options={"steps": 3, "group": 4},
            **options,  # type: ignore[arg-type]
        )
        found.append(np.asarray(open_image(target).array(0)[...]))
    np.testing.assert_array_equal(found[0], found[1])
    assert found[0].shape == (7, 2, 16, 16)
    alone = search(generator, prior, low, COARSE, settings)
    np.testing.assert_allclose(found[0], alone.images.numpy(), atol=1e-5)
