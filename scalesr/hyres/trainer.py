"""Training a generator, from settings and images to a file that a run loads."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from scalesr.hyres.lesson import GeneratorLesson
from scalesr.learning import teach

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from scalesr.hyres.settings import TrainingSettings
    from scalesr.learning import Progress, Source, Taught
    from scalesr.models.rrdb import RRDBNet


def train(
    settings: TrainingSettings,
    sources: Sequence[Source],
    folder: Path,
    *,
    validation: Sequence[Source] | None = None,
    start: RRDBNet | None = None,
    mode: Literal["create", "resume"] = "create",
    title: str | None = None,
    watch: Callable[[Progress], None] | None = None,
) -> Taught:
    """Train a generator, and keep the best.

    With `steps` in the settings, the weights are the same bits on the same machine with the same number of threads,
    also when the training was interrupted and resumed. The folder gets ``weights.safetensors`` (the moving average of
    the weights at the validation with the highest PSNR), ``checkpoint.pt``, ``curve.jsonl``, ``settings.json`` and
    ``curves.png``.

    Parameters
    ----------
    settings
        All that decides the outcome beside the images.
    sources
        What to train on.
    folder
        Where the files go; made if need be.
    validation
        What to validate on. Without it a strip of each source is held out, see `scalesr.learning.judges`.
    start
        A generator to go on from; its sizes must be those of the settings. It is changed.
    mode
        ``create`` refuses a folder that holds a training, ``resume`` goes on with it.
    title
        One line on the network, put into its file.
    watch
        Is called after each step.

    Returns
    -------
    Taught
        Its scores are `psnr`, `ssim` and `frc`, see `Validation`; the reference is cubic interpolation.

    Raises
    ------
    InputError
        No image, or none that patches or tiles can be cut from.
    PlanError
        The instrument cannot be used.
    ModelError
        The device is absent; the training diverged: 20 steps in a row were not finite; or `start` has other sizes.
    LedgerError
        There is nothing to resume, or it was begun with other settings or images.
    OutputError
        The folder holds a training already, or cannot be written.
    InterruptedRunError
        Ctrl-C, or an order to end: all is saved and can be resumed.
    """
    lesson = GeneratorLesson(settings, sources, validation=validation, start=start, title=title)
    first: Literal["step", "validation"] = "step" if start is None else "validation"
    return replace(teach(lesson, settings.length, folder, mode=mode, first=first, watch=watch), judged=lesson.judged)
