"""The supervised baseline: it begins as interpolation, learns, resumes to the same bits, and runs on stacks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from scalesr.errors import ModelError, PlanError
from scalesr.learning import ArraySource, Length, teach
from scalesr.models import checkpoint
from scalesr.rls.baselines import cubic
from scalesr.rls.degradation import Degradation
from scalesr.rls.ranges import percentiles_of
from scalesr.rls.unet import GROUP, UNet, build, unet_of
from scalesr.rls.unet_lesson import UNetLesson, UNetTraining

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.learning import Progress
    from scalesr.models.checkpoint import Checkpoint

COARSE = Degradation(factor=4, noise=0.01)
SETTINGS = UNetTraining(
    degradation=COARSE, size=16, widths=(8, 16), batch=8, rate=1e-2, warm_up=5, average=0.9, judged=48
)


def blobs(count: int = 64, *, seed: int = 5) -> ArraySource:
    """Return round objects of one width: a coarse pixel tells where they are."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16]
    places = random.uniform(5, 11, (count, 2, 1, 1))
    planes = np.exp(-((y - places[:, 0]) ** 2 + (x - places[:, 1]) ** 2) / 6)
    return ArraySource(planes.astype(np.float32), normalise="none")


def lesson(settings: UNetTraining = SETTINGS) -> UNetLesson:
    return UNetLesson(settings, [blobs()], validation=[blobs(seed=6)])


def read(path: Path) -> Checkpoint:
    return checkpoint.read(path, sha256=checkpoint.fingerprint(path))


def test_it_begins_as_cubic_interpolation() -> None:
    network, coarse = UNet(size=16, factor=4, channels=2, widths=(8, 16)), torch.rand(3, 2, 4, 4)
    found = network(coarse)
    assert found.shape == (3, 2, 16, 16)
    # At the border torch normalises the kernel's weights, where the model mirrors.
    torch.testing.assert_close(found[..., 8:-8, 8:-8], cubic(coarse, 4)[..., 8:-8, 8:-8])
    assert torch.equal(found, network.enlarged(coarse))


def test_it_learns_beyond_interpolation_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    length = Length(steps=60, validations=2)
    whole = teach(lesson(), length, tmp_path / "whole")
    assert whole.scores["psnr"] > whole.reference["psnr"] + 1

    def stop(progress: Progress) -> None:
        if progress.step == 35:
            raise KeyboardInterrupt

    with pytest.raises(Exception, match="Stopped after step 35"):
        teach(lesson(), length, tmp_path / "parts", watch=stop)
    again = teach(lesson(), length, tmp_path / "parts", mode="resume")
    one, other = (unet_of(read(path)) for path in (whole.weights, again.weights))
    for (name, a), b in zip(one.state_dict().items(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_a_file_becomes_a_model_of_stacks(tmp_path: Path) -> None:
    taught = lesson()
    taught.keep(tmp_path / "net.safetensors", {"psnr": 1.0}, step=0)
    weights = read(tmp_path / "net.safetensors")
    model = build(weights, scale=None, image_channels=None, options={})
    spec = model.spec
    assert (spec.axes, spec.tile, spec.extent) == ("nyx", (GROUP, 4, 4), (None, 4, 4))
    assert spec.percentiles == percentiles_of(taught.coarse)
    tiles = torch.rand(2, 1, GROUP, 4, 4)
    found = model(tiles, torch.zeros(2, 3, dtype=torch.int64))
    assert found.shape == (2, 1, GROUP, 16, 16)
    with torch.inference_mode():
        alone = unet_of(weights)(tiles[1, :, 3][None])
    torch.testing.assert_close(found[1, :, 3], alone[0])
    for options, channels, match in (({"steps": 3}, None, "no option 'steps'"), ({}, 2, r"1 channel\(s\)")):
        with pytest.raises(ModelError, match=match):
            build(weights, scale=None, image_channels=channels, options=options)
    with pytest.raises(ModelError, match="no U-Net"):
        unet_of(replace(weights, metadata={}))
    with pytest.raises(ModelError, match="do not go together"):
        unet_of(replace(weights, metadata={**weights.metadata, "widths": "[4, 8]"}))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(PlanError, match="rate"):
        replace(SETTINGS, rate=0.0)
    for sizes in ({"size": 18}, {"factor": 5}, {"widths": ()}):
        with pytest.raises(PlanError, match="cannot be built"):
            UNet(**{"size": 16, "factor": 4, "widths": (8, 16), **sizes})  # type: ignore[arg-type]
