"""`scalesr demo`: the samples, their scores and the picture."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np
import pytest
from commands import call, only_json
from PIL import Image as Picture

from scalesr.demo import make_samples, run_demo, running
from scalesr.demo.picture import interesting
from scalesr.demo.samples import FACTOR
from scalesr.errors import OutputError, ScalesrError
from scalesr.images import open_image

if TYPE_CHECKING:
    from pathlib import Path


def test_what_is_measured_is_the_truth_four_times_coarser() -> None:
    for sample in make_samples(edge=96):
        planes = len(sample.truth)
        means = sample.truth.reshape(planes, 96 // FACTOR, FACTOR, 96 // FACTOR, FACTOR).mean(axis=(2, 4))
        assert sample.measured.shape == means.shape
        # a little shot noise, and nothing else
        assert np.abs(sample.measured - means).mean() < 0.03 * sample.range
        assert abs(float((sample.measured - means).mean())) < 0.002 * sample.range


def test_the_inset_hides_neither_its_region_nor_the_scale_bar() -> None:
    noise = np.random.default_rng(0).random((120, 120)).astype(np.float32)
    for brightest in ((100, 100), (110, 10), (60, 60), (5, 100)):
        plane = noise.copy()
        plane[brightest[0] :, brightest[1] :] *= 100
        (top, left), edge = interesting(plane)
        assert edge == 20
        assert not (top + edge > 0.5 * 120 and left + edge > 0.5 * 120)
        assert 0 <= top < top + edge < 0.9 * 120


def test_images_table_and_picture(tmp_path: Path) -> None:
    steps: list[str] = []

    def watch(words: str) -> nullcontext[None]:
        steps.append(words)
        return nullcontext()

    outcome = run_demo(tmp_path / "deep" / "demo", model="linear", watch=watch, edge=96)
    assert outcome.picture == tmp_path / "deep" / "demo" / "demo.png"
    with Picture.open(outcome.picture) as picture:
        assert picture.width > 1200
        assert picture.height > 600
    assert steps == [
        "making samples with a known truth",
        "spectral cube, before",
        "spectral cube, cubic",
        "spectral cube, linear",
        "volume, before",
        "volume, cubic",
        "volume, linear",
        "drawing",
    ]
    assert [score.method for score in outcome.scores] == ["before", "cubic", "linear"] * 2
    assert outcome.gain("Volume", "cubic") == 0
    assert outcome.gain("Volume", "before") < 0
    truth = open_image(tmp_path / "deep" / "demo" / "cube-truth.ome.zarr")
    restored = open_image(tmp_path / "deep" / "demo" / "cube-linear.ome.zarr")
    assert truth.shape == restored.shape
    assert truth.pixel_sizes == pytest.approx(restored.pixel_sizes)
    assert truth.levels[0].translation == pytest.approx(restored.levels[0].translation)


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "find_spec", lambda name: None if name == "matplotlib" else name)
    with pytest.raises(ScalesrError, match="matplotlib") as caught:
        run_demo(tmp_path)
    assert 'pip install "scalesr[demo]"' in caught.value.remedy
    result = call("demo", tmp_path)
    assert result.exit_code == 1
    assert "scalesr[demo]" in result.stderr


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        run_demo(tmp_path / "file")


@pytest.mark.slow
def test_the_default_model_is_nearer_to_the_truth_than_cubic(tmp_path: Path) -> None:
    result = call("demo", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    assert "gain over cubic" in result.stdout
    assert result.stderr == ""
    document = only_json(call("demo", tmp_path / "demo", "--json"))
    scores = {(score["sample"], score["method"]): score for score in document["scores"]}
    for sample in ("Spectral cube", "Volume"):
        for measure in ("psnr", "ssim"):
            assert scores[sample, "default"][measure] > scores[sample, "cubic"][measure]
