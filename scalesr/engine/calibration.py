"""A short measurement of which tile and batch give the most useful pixels a second, kept for the next time.

Useful are the pixels of the cell, not those of its context: a large tile wastes less on its halo, but may leave the
caches, and a wrong size can cost a factor of three. What is found changes the plan, so it changes the last bits of the
result; that is why it is asked for and never happens by itself.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from math import prod
from time import perf_counter
from typing import TYPE_CHECKING, Literal

import torch

from scalesr.engine.allocator import keep_freed_memory
from scalesr.engine.events import StageAdvanced, StageStarted
from scalesr.engine.inference import out_of_memory
from scalesr.engine.ledger import device_class
from scalesr.errors import PlanError
from scalesr.models import key_of, load, recall, remember
from scalesr.tiling import choose_unit, round_up

if TYPE_CHECKING:
    from scalesr.engine.events import Callback
    from scalesr.models import Model, ModelRef, Precision

TILES: dict[str, dict[int, tuple[int, ...]]] = {
    "cpu": {2: (128, 192, 256, 384, 512), 3: (48, 64, 96, 128, 160)},
    "cuda": {2: (256, 512, 1024), 3: (64, 96, 128, 192)},
}
"""Edges that are tried, by kind of device and number of axes that the model mixes."""
BATCHES = {"cpu": (1, 2, 4), "cuda": (1, 2, 4, 8, 16)}
"""Batches that are tried."""
STAGE = "trying tiles and batches"
LONGEST = 4.0
"""Seconds after which a candidate is too slow to try anything larger."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One combination and how fast it was."""

    cell: tuple[int, ...]
    """Input pixels of a cell along each axis that the model mixes."""
    batch: int
    """Tiles of a call."""
    rate: float
    """Useful input pixels a second, over all inferences side by side."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What was measured for a model on a device."""

    trials: tuple[Trial, ...]
    """All that was tried, in that order."""

    @property
    def best(self) -> Trial:
        """The fastest."""
        return max(self.trials, key=lambda trial: trial.rate)


def calibrate(
    ref: ModelRef,
    *,
    halo: tuple[int, ...],
    device: str,
    precision: Precision,
    threads: int,
    slots: int,
    how: Literal["once", "again"],
    tell: Callback = lambda _: None,
) -> Calibration:
    """Measure tiles and batches, or return what was measured before on this machine.

    Parameters
    ----------
    ref
        The model.
    halo
        Context on either side of a cell, for each axis that the model mixes.
    device, precision, threads
        As in the run.
    slots
        Inferences side by side.
    how
        ``once`` returns what was measured before; ``again`` measures in any case.
    tell
        Called with each event.

    Raises
    ------
    PlanError
        Not even the smallest tile fits into the device's memory.
    """
    key = key_of("calibration", ref.sha256, ref.options, halo, device_class(device), precision, threads, slots)
    stored = recall(key) if how == "once" else None
    if stored is not None:
        return Calibration(trials=tuple(Trial(**trial | {"cell": tuple(trial["cell"])}) for trial in stored["trials"]))
    model = load(ref, device=device, precision=precision)
    found = Calibration(trials=tuple(_trials(model, halo, device, threads, slots, tell)))
    if not found.trials:
        raise PlanError(f"Not even the smallest tile fits into the memory of {device}.", remedy="Lower --halo.")
    remember(key, asdict(found))
    return found


def _trials(model: Model, halo: tuple[int, ...], device: str, threads: int, slots: int, tell: Callback) -> list[Trial]:
    kind = "cuda" if device.startswith("cuda") else "cpu"
    spec = model.spec
    trials: list[Trial] = []
    edges = TILES[kind][len(spec.axes)]
    tell(StageStarted(name=STAGE, total=len(edges)))
    for number, edge in enumerate(edges):
        if number:
            tell(StageAdvanced(name=STAGE))
        cell = tuple(
            _cell(edge, margin, choose_unit(scale, spec.multiple))
            for margin, scale in zip(halo, spec.scale, strict=True)
        )
        tile = [c + 2 * h for c, h in zip(cell, halo, strict=True)]
        if min(cell) < 1 or min(tile) < spec.minimum:
            continue
        for batch in BATCHES[kind]:
            seconds = time_call(model, (batch, spec.channels, *tile), device, threads, slots)
            if seconds is None:
                break
            trials.append(Trial(cell=cell, batch=batch, rate=slots * batch * prod(cell) / seconds))
            if seconds > LONGEST:
                break
    tell(StageAdvanced(name=STAGE))
    return trials


def _cell(edge: int, halo: int, unit: int) -> int:
    """Return the cell of a tile of about `edge` pixels: a multiple of the unit, and of 32 where it is large."""
    cell = edge - 2 * halo
    grain = 32 if cell >= 96 and 32 % unit == 0 else unit
    return round_up(cell, grain) if cell > 0 else 0


def time_call(model: Model, shape: tuple[int, ...], device: str, threads: int, slots: int) -> float | None:
    """Return the seconds of one call while `slots` calls run side by side; None where memory runs out."""
    tiles = torch.rand(shape, device=device)
    if tiles.ndim == 4:
        tiles = tiles.contiguous(memory_format=torch.channels_last)
    origins = torch.zeros((shape[0], len(shape) - 2), dtype=torch.int64)

    def call(_: int) -> None:
        if device == "cpu":
            keep_freed_memory()
            torch.set_num_threads(threads)
        with torch.inference_mode():
            model(tiles, origins)
        if device.startswith("cuda"):
            torch.cuda.synchronize(device)

    try:
        with ThreadPoolExecutor(slots) as pool:
            # The first call chooses kernels and allocates.
            list(pool.map(call, range(slots)))
            began = perf_counter()
            rounds = 0
            while rounds == 0 or (perf_counter() - began < 0.3 and rounds < 10):
                list(pool.map(call, range(slots)))
                rounds += 1
            return (perf_counter() - began) / rounds
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if out_of_memory(error):
            return None
        raise
