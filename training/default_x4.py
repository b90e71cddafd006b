"""Train the default network: four times in y and x, any channel alone, from real images and phantoms, on one CPU core.

The schedule is a share of ``--minutes``, so the run ends on time on a machine of any speed; it resumes from its last
checkpoint, and the best averaged weights so far always lie in the output folder.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import signal
import time
from pathlib import Path

import numpy as np
import torch
from enlarging import SCALE, Image, fitting, interpolate, restore, shrink
from patches import Patches
from safetensors.torch import save_file
from samples import Plane, phantom_planes, planes

from scalesr.hyres.start import start_as_linear
from scalesr.models.rrdb import RRDBNet

ARCHITECTURE = {"features": 32, "growth": 32, "blocks": 1}
TITLE = "RRDB network, 4x in y and x, each channel alone, trained on microscopy and phantoms"
PEAK_RATE, FINAL_RATE, WARM_STEPS = 6e-4, 1e-6, 200
AVERAGE = 0.999
"""Weight of the past in the moving average of the weights, which is what is saved."""
ROUNDING = 0.01
"""Where the loss sqrt(d^2 + ROUNDING^2) goes over from squares to absolutes, in units of the normalised intensity."""


def main() -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("SCALESR_DATA"), help="folder of the real images")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, curve and weights")
    parser.add_argument("--minutes", type=float, default=50.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=3.0, help="minutes between checkpoints")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder of the real images with --data or SCALESR_DATA")
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    run = Run(options.out, minutes=options.minutes, seed=options.seed)
    signal.signal(signal.SIGTERM, lambda *_: setattr(run, "stopped", True))
    run.train(
        Patches(planes("train", data=options.data) + phantom_planes("train")),
        planes("validation", data=options.data),
        every=options.every * 60,
    )


class Run:
    """One training, which can be left and taken up again."""

    def __init__(self, folder: Path, *, minutes: float, seed: int) -> None:
        self.folder, self.budget, self.seed = folder, minutes * 60, seed
        self.network = start_as_linear(RRDBNet(**ARCHITECTURE))
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        self.average = copy.deepcopy(self.network).requires_grad_(requires_grad=False)
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=PEAK_RATE, betas=(0.9, 0.99))
        self.step, self.spent, self.best, self.stopped = 0, 0.0, -math.inf, False
        if (folder / "checkpoint.pt").exists():
            state = torch.load(folder / "checkpoint.pt", weights_only=True)
            self.network.load_state_dict(state["network"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.spent, self.best = state["step"], state["spent"], state["best"]

    def train(self, patches: Patches, validation: list[Plane], *, every: float) -> None:
        """Train until the time is spent, with a checkpoint each ``every`` seconds."""
        random = np.random.default_rng((self.seed, self.step))
        checkpoint, losses = self.spent + every, []
        while self.spent < self.budget and not self.stopped:
            began = time.monotonic()
            rate = self._rate()
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            low, high = patches.batch(random)
            out = self.network(low.to(memory_format=torch.channels_last))
            loss = torch.sqrt((out - high) ** 2 + ROUNDING**2).mean() - ROUNDING
            self.optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimiser.step()
            self.step += 1
            keep = min(AVERAGE, (1 + self.step) / (10 + self.step))
            with torch.no_grad():
                for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                    mean.lerp_(now, 1 - keep)
            losses.append(loss.item())
            self.spent += time.monotonic() - began
            if self.spent >= checkpoint:
                self._checkpoint(validation, loss=float(np.mean(losses)), rate=rate)
                checkpoint, losses = self.spent + every, []
        self._checkpoint(validation, loss=float(np.mean(losses or [math.nan])), rate=self._rate())

    def _rate(self) -> float:
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, self.spent / self.budget)))
        return min(1.0, (self.step + 1) / WARM_STEPS) * (FINAL_RATE + (PEAK_RATE - FINAL_RATE) * cosine)

    def _checkpoint(self, validation: list[Plane], *, loss: float, rate: float) -> None:
        began = time.monotonic()
        scores: dict[str, list[float]] = {}
        for plane in validation:
            gain = gain_over_cubic(self.average, plane.pixels)
            scores.setdefault(plane.modality, []).append(gain)
        gain = float(np.mean([np.mean(values) for values in scores.values()]))
        if gain > self.best:
            self.best = gain
            weights = {name: value.contiguous() for name, value in self.average.state_dict().items()}
            numbers = {"in_channels": 1, "out_channels": 1, "scale": SCALE, **ARCHITECTURE}
            metadata = {"architecture": "RRDBNet", "title": TITLE, **{k: str(v) for k, v in numbers.items()}}
            save_file(weights, self.folder / "rrdb-x4.safetensors.new", metadata)
            (self.folder / "rrdb-x4.safetensors.new").replace(self.folder / "rrdb-x4.safetensors")
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "spent": self.spent,
            "best": self.best,
        }
        torch.save(state, self.folder / "checkpoint.new")
        (self.folder / "checkpoint.new").replace(self.folder / "checkpoint.pt")
        self.spent += time.monotonic() - began
        line = {"step": self.step, "minutes": self.spent / 60, "rate": rate, "loss": loss, "gain": gain}
        by_modality = {name: float(np.mean(values)) for name, values in scores.items()}
        with (self.folder / "curve.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, "gain_by_modality": by_modality}) + "\n")


def gain_over_cubic(network: RRDBNet, image: Image) -> float:
    """Return how many dB of PSNR the network gains over cubic interpolation on the middle of an image."""
    edge = 192
    y, x = (max(0, (n - edge) // 2) for n in image.shape)
    high = fitting(image[y : y + edge, x : x + edge])
    low = shrink(high)
    errors = [np.mean((out - high) ** 2) for out in (interpolate(low, "cubic"), restore(network, low, halo=8))]
    return float(10 * np.log10(errors[0] / errors[1]))


if __name__ == "__main__":
    main()
