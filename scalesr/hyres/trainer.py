"""Training a generator: steps, validation, checkpoints, and a good end whatever happens."""

from __future__ import annotations

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Literal

import torch

from scalesr.errors import InterruptedRunError, ModelError, OutputError
from scalesr.hyres import curves
from scalesr.hyres.family import InstrumentFamily
from scalesr.hyres.generator import save_generator
from scalesr.hyres.interruption import interrupts_noted
from scalesr.hyres.outcome import Judged, Progress, Trained
from scalesr.hyres.patches import Patches
from scalesr.hyres.sources import hold_out
from scalesr.hyres.stepping import Stepper
from scalesr.hyres.training_state import CHECKPOINT, TrainingState
from scalesr.hyres.tuning import sizes_of
from scalesr.hyres.validation import Scores, Validation
from scalesr.models import checkpoint, determinism
from scalesr.models.network import torch_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scalesr.hyres.settings import TrainingSettings
    from scalesr.hyres.sources import Source
    from scalesr.models.rrdb import RRDBNet

WEIGHTS, SETTINGS = "weights.safetensors", "settings.json"
"""Names of files in the folder of a training; see also `curves` and `training_state`."""


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
) -> Trained:
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
        What to validate on. Without it a strip of each source is held out, see `hold_out`.
    start
        A generator to go on from; its sizes must be those of the settings. It is changed.
    mode
        ``create`` refuses a folder that holds a training, ``resume`` goes on with it.
    title
        One line on the network, put into its file.
    watch
        Is called after each step.

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
    return _Trainer(settings, sources, folder, validation=validation, start=start, title=title).run(
        mode, watch or (lambda _: None)
    )


class _Trainer:
    def __init__(
        self,
        settings: TrainingSettings,
        sources: Sequence[Source],
        folder: Path,
        *,
        validation: Sequence[Source] | None,
        start: RRDBNet | None,
        title: str | None,
    ) -> None:
        determinism.settle()
        self.settings, self.folder, self.title = settings, folder, title
        self.device = torch_device(settings.device)
        family = InstrumentFamily.read(settings.instrument, factor=settings.scale, vary=settings.vary)
        self.judged: Judged = "given images"
        used: Sequence[Source] = sources
        if validation is None:
            used, validation = hold_out(sources)
            self.judged = "held-out strips" if validation else "training pixels"
        self.patches = Patches(
            used,
            family,
            edge=settings.patch,
            batch=settings.batch,
            seed=settings.seed,
            augmentation=settings.augment,
        )
        self.identities = [each.identity for each in (*used, *validation)] + _files(settings, start)
        self.started = start is not None
        self.state = TrainingState.begin(settings, start)
        self.stepper = Stepper(settings, self.state, self.patches)
        self.validation = Validation(validation or used, family.centres, seed=settings.seed)
        self.scores: Scores | None = None

    def run(self, mode: Literal["create", "resume"], watch: Callable[[Progress], None]) -> Trained:
        self._open(mode)
        counters = self.state.counters
        with interrupts_noted() as stopped:
            if self.started and not counters.step and not curves.read(self.folder):
                self._validate()  # what is kept is at least as good as what was begun with
            while self.share < 1:
                began = monotonic()
                self.stepper.step(self.share)
                counters.seconds += monotonic() - began
                if self._due():
                    self._validate()
                leave = stopped()
                try:
                    watch(self._progress())
                except KeyboardInterrupt:
                    leave = True
                if leave and self.share < 1:
                    self._save()
                    raise InterruptedRunError(
                        f"Stopped after step {counters.step}, {100 * self.share:.0f} % of all; nothing is lost.",
                        remedy="Run the same command with --resume to go on.",
                    )
        return self._outcome()

    @property
    def share(self) -> float:
        """How much of the training is done."""
        counters, settings = self.state.counters, self.settings
        if settings.steps is not None:
            return counters.step / settings.steps
        assert settings.minutes is not None, "the settings see to it"
        return min(1.0, counters.seconds / (60 * settings.minutes))

    def _open(self, mode: Literal["create", "resume"]) -> None:
        if mode == "resume":
            self.patches.draws = self.state.restore(self.folder, settings=self.settings, sources=self.identities)
            curves.cut_back(self.folder, step=self.state.counters.step)
            return
        if (self.folder / CHECKPOINT).exists():
            raise OutputError(
                f"{self.folder} holds a training.", remedy="Go on with it by --resume, or name another folder."
            )
        facts = {
            "settings": self.settings.to_json(),
            "instrument": str(self.patches.instruments),
            "sources": self.identities,
            "judged": self.judged,
            "versions": {name: version(name) for name in ("scalesr", "torch", "numpy")},
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / SETTINGS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            (self.folder / curves.CURVE).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be written: {error}.", remedy="Check the folder.") from error

    def _due(self) -> bool:
        return self.share >= 1 or self.share * self.settings.validations >= self.state.counters.validations + 1

    def _validate(self) -> None:
        began, counters = monotonic(), self.state.counters
        self.scores = self.validation.score(self._enlarged)
        while self._due() and counters.validations < self.settings.validations:
            counters.validations += 1  # several at once where a step takes longer than the time between them
        if self.scores.psnr > counters.best or not (self.folder / WEIGHTS).exists():
            counters.best, counters.best_step = self.scores.psnr, counters.step
            self._keep(self.scores)
        counters.seconds += monotonic() - began
        line = {
            "step": counters.step,
            "minutes": counters.seconds / 60,
            "rate": self.stepper.rate(self.share),
            "losses": counters.take_losses(),
            "scores": self.scores.to_json(),
            "cubic": self.validation.cubic.to_json(),
            "skipped": counters.skipped,
            "draws": self.patches.draws.to_json(),
        }
        curves.append(self.folder, line)
        self._save()
        curves.draw(self.folder, curves.read(self.folder))

    def _enlarged(self, low: torch.Tensor, measured: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
        low, measured, zero = (each.to(self.device) for each in (low, measured, zero))
        out = self.state.average(low.contiguous(memory_format=torch.channels_last))
        return self.stepper.projected(out, low, measured, zero)

    def _keep(self, scores: Scores) -> None:
        settings, cubic = self.settings, self.validation.cubic
        scale = settings.scale
        save_generator(
            self.state.average,
            self.folder / WEIGHTS,
            title=self.title or f"RRDB network, {scale}x in y and x, each band alone, trained for spectral images",
            flux=settings.flux,
            extra={
                "instrument": str(self.patches.instruments),
                "frc": settings.frc,
                "adversarial": settings.adversarial,
                "step": self.state.counters.step,
                "psnr": scores.psnr,
                "psnr_of_cubic": cubic.psnr,
                "judged": self.judged,
            },
        )

    def _save(self) -> None:
        self.state.save(self.folder, settings=self.settings, sources=self.identities, draws=self.patches.draws)

    def _progress(self) -> Progress:
        counters = self.state.counters
        return Progress(
            step=counters.step,
            share=min(1.0, self.share),
            seconds=counters.seconds,
            scores=self.scores,
            cubic=self.validation.cubic,
        )

    def _outcome(self) -> Trained:
        counters = self.state.counters
        lines = curves.read(self.folder)
        best = next(line for line in lines if line["step"] == counters.best_step)
        return Trained(
            weights=self.folder / WEIGHTS,
            steps=counters.step,
            skipped=counters.skipped,
            seconds=counters.seconds,
            best_step=counters.best_step,
            scores=Scores(**best["scores"]),
            cubic=self.validation.cubic,
            judged=self.judged,
            draws=self.patches.draws,
            picture=curves.draw(self.folder, lines),
        )


def _files(settings: TrainingSettings, start: RRDBNet | None) -> list[str]:
    """Return what identifies the weights that a training begins with."""
    found = []
    if start is not None:
        sizes = sizes_of(start)
        if any(getattr(settings, name) != size for name, size in sizes.items()) or start.conv_last.out_channels != 1:
            raise ModelError(
                f"The network to begin with has {', '.join(f'{name} {size}' for name, size in sizes.items())}.",
                remedy="Give the settings the same, and a network of one channel.",
            )
        digest = hashlib.sha256()
        for value in start.state_dict().values():
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        found.append(f"start {digest.hexdigest()}")
    if settings.perceptual_weights is not None:
        found.append(f"perceptual {checkpoint.fingerprint(Path(settings.perceptual_weights))}")
    return found
