"""The demonstration as a whole: samples into storage, through the engine, back, and compared with the truth."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from scalesr.demo.samples import FACTOR, make_samples
from scalesr.demo.storing import store
from scalesr.engine import measure, run
from scalesr.errors import OutputError, ScalesrError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from scalesr.demo.samples import Sample
    from scalesr.engine import Callback
    from scalesr.images import Image

BEFORE, BASELINE = "before", "cubic"
"""The measurement as it is, each pixel repeated; and the interpolation that everything is compared with."""
PICTURE = "demo.png"


@dataclass(frozen=True, kw_only=True)
class Score:
    """How near an image comes to the truth."""

    sample: str
    """Title of the sample."""
    method: str
    """What made the image."""
    psnr: float
    """Peak signal-to-noise ratio in dB over all voxels, for the range of the truth."""
    ssim: float
    """Structural similarity (Wang et al. 2004), mean over the planes."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the demonstration found."""

    scores: tuple[Score, ...]
    """For each sample: before, cubic, and the model."""
    picture: Path
    """The images side by side."""
    seconds: float
    """Wall time."""

    def gain(self, sample: str, method: str) -> float:
        """Return the decibels that a method has over the interpolation."""
        found = {(score.sample, score.method): score.psnr for score in self.scores}
        return found[sample, method] - found[sample, BASELINE]


def run_demo(
    folder: str | os.PathLike[str],
    *,
    model: str = "default",
    watch: Callable[[str], AbstractContextManager[Callback | None]] = lambda _: nullcontext(),
    edge: int = 384,
) -> Outcome:
    """Degrade samples by four, restore them, measure the gain over interpolation, and draw the images side by side.

    Images of an earlier demonstration in the folder are replaced; nothing else is touched.

    Parameters
    ----------
    folder
        Where images and picture go; made if it is not there.
    model
        What restores, beside the cubic interpolation: any model of scale 4 in y and x.
    watch
        Called with a few words before each step; gives a context whose value may be a callback for the engine's events.
    edge
        Pixels of the truth along y and x.

    Raises
    ------
    ScalesrError
        matplotlib is not installed; the folder cannot be written; the model does not fit.
    """
    began = perf_counter()
    if find_spec("matplotlib") is None:
        raise ScalesrError(
            "The demo needs matplotlib, which is not installed.", remedy='Install it: pip install "scalesr[demo]".'
        )
    from scalesr.demo.picture import draw  # noqa: PLC0415 matplotlib is an extra

    place = Path(folder).expanduser().absolute()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{place} cannot be made ({error.strerror}).", remedy="Give another folder.") from error
    with watch("making samples with a known truth"):
        samples = make_samples(edge=edge)
    shown: list[tuple[Sample, dict[str, NDArray[np.float32]]]] = []
    scores: list[Score] = []
    for sample in samples:
        truth = place / f"{sample.name}-truth.ome.zarr"
        store(sample.truth, truth, pixel=sample.pixel, first=sample.first, depth=sample.depth)
        measured = place / f"{sample.name}-measured.ome.zarr"
        store(sample.measured, measured, pixel=FACTOR * sample.pixel, first=sample.first, depth=sample.depth)
        images = {}
        for name in dict.fromkeys(("nearest", BASELINE, model)):
            label = Path(name).stem if name.endswith(".safetensors") else name.replace(":", ".")
            label = BEFORE if name == "nearest" else label
            with watch(f"{sample.title.lower()}, {label}") as callback:
                image = _restored(measured, place / f"{sample.name}-{label}.ome.zarr", name, callback)
                images[label] = np.asarray(image.read(tuple(slice(0, n) for n in image.shape)), np.float32)
                scores.append(_score(sample, label, image, truth))
        shown.append((sample, images))
    picture = place / PICTURE
    with watch("drawing"):
        draw(shown, scores, picture)
    return Outcome(scores=tuple(scores), picture=picture, seconds=perf_counter() - began)


def _restored(source: Path, target: Path, model: str, callback: Callback | None) -> Image:
    result = run(
        source,
        target,
        callbacks=[] if callback is None else [callback],
        model=model,
        scale=FACTOR,
        mode="overwrite",
    )
    return result.image


def _score(sample: Sample, label: str, image: Image, truth: Path) -> Score:
    # The planes of a volume too few for a window of three dimensions.
    found = measure(image, reference=truth, metrics=["psnr", "ssim"], axes="yx", data_range=sample.range)
    psnr, ssim = found.value("psnr"), found.value("ssim")
    assert psnr is not None
    assert ssim is not None
    return Score(sample=sample.title, method=label, psnr=psnr, ssim=ssim)
