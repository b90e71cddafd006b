"""The demonstration as a whole: samples into storage, through the engine, back, and compared with the truth."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from scalesr.demo.samples import FACTOR, make_samples, store
from scalesr.engine import run
from scalesr.errors import OutputError, ScalesrError

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from numpy.typing import NDArray

    from scalesr.demo.samples import Sample
    from scalesr.engine import Callback

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
        matplotlib or scikit-image are not installed; the folder cannot be written; the model does not fit.
    """
    began = perf_counter()
    for package in ("matplotlib", "skimage"):
        if find_spec(package) is None:
            raise ScalesrError(
                f"The demo needs {package}, which is not installed.", remedy='Install it: pip install "scalesr[demo]".'
            )
    from scalesr.demo.picture import draw  # noqa: PLC0415 matplotlib is an extra
    from scalesr.demo.scores import psnr, ssim  # noqa: PLC0415 and so is scikit-image

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
        store(sample.truth, place / f"{sample.name}-truth.ome.zarr", sample, pixel=sample.pixel)
        measured = place / f"{sample.name}-measured.ome.zarr"
        store(sample.measured, measured, sample, pixel=FACTOR * sample.pixel)
        images = {BEFORE: sample.measured.repeat(FACTOR, axis=1).repeat(FACTOR, axis=2)}
        for name in dict.fromkeys((BASELINE, model)):
            label = Path(name).stem if name.endswith(".safetensors") else name.replace(":", ".")
            with watch(f"{sample.title.lower()}, {label}") as callback:
                images[label] = _restored(measured, place / f"{sample.name}-{label}.ome.zarr", name, callback)
        for label, image in images.items():
            scores.append(
                Score(
                    sample=sample.title,
                    method=label,
                    psnr=psnr(sample.truth, image, span=sample.range),
                    ssim=ssim(sample.truth, image, span=sample.range),
                )
            )
        shown.append((sample, images))
    picture = place / PICTURE
    with watch("drawing"):
        draw(shown, scores, picture)
    return Outcome(scores=tuple(scores), picture=picture, seconds=perf_counter() - began)


def _restored(source: Path, target: Path, model: str, callback: Callback | None) -> NDArray[np.float32]:
    result = run(
        source,
        target,
        callbacks=[] if callback is None else [callback],
        model=model,
        scale=FACTOR,
        mode="overwrite",
    )
    whole = tuple(slice(0, size) for size in result.image.shape)
    return np.asarray(result.image.read(whole), np.float32)
