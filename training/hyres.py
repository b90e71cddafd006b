"""Train the networks for spectral images: four times or twice in y and x, each band alone, on one CPU core.

None of the mass spectrometry, imaging mass cytometry and Raman images of the split is trained or validated on: they are
what the networks are judged by. What stands in for them are microscopy and phantoms, also binned, so that structures
reach down to single pixels, and made sparse and noisy by counts on the way (`scalesr.hyres.augmentation`).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from samples import Plane, normalise, phantom_planes, planes
from telling import tell

from scalesr.errors import InterruptedRunError
from scalesr.hyres.settings import TrainingSettings
from scalesr.hyres.trainer import train
from scalesr.learning.sources import ArraySource
from scalesr.phantoms import degrade

JUDGES = frozenset({"msi", "imc", "raman"})
"""Modalities that are kept for the test."""
INSTRUMENTS = "binning; binning; binning; raman; maldi; imc"
"""What the networks learn to undo, each with others around it: in half of the patches little more than binning."""
BINNED_WEIGHT, LEAST_EDGE = 1.0, 96
"""Weight of a plane's binned copies relative to the plane, and the shortest edge that one has."""
COUNTS = (5.0, 30.0, 200.0)
"""Counts at an intensity of 1 that phantoms are validated with, beside without noise."""


def main() -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("SCALESR_DATA"), help="folder of the real images")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, curve and weights")
    parser.add_argument("--scale", type=int, choices=(2, 4), default=4)
    parser.add_argument("--minutes", type=float, help="default: 60")
    parser.add_argument("--steps", type=int, help="how many steps, instead of minutes; the same bits again")
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--blocks", type=int, default=1)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--frc", type=float, default=0.01)
    parser.add_argument("--adversarial", type=float, default=0.0)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder of the real images with --data or SCALESR_DATA")
    torch.set_num_threads(1)
    settings = TrainingSettings(
        scale=options.scale,
        features=options.features,
        blocks=options.blocks,
        patch=96 // options.scale,
        batch=options.batch,
        steps=options.steps,
        minutes=options.minutes if options.steps else options.minutes or 60.0,
        frc=options.frc,
        adversarial=options.adversarial,
        rounding=0.5,
        precision=options.precision,
        seed=options.seed,
        instrument=INSTRUMENTS,
    )
    try:
        found = train(
            settings,
            training_sources(options.data),
            options.out,
            validation=validation_sources(options.data),
            mode="resume" if options.resume else "create",
            title=f"RRDB network, {options.scale}x in y and x, each band alone, trained for spectral images",
            watch=tell,
        )
    except InterruptedRunError as stopped:
        sys.exit(str(stopped))
    print(found)


def training_sources(data: Path) -> list[ArraySource]:
    """Return what is trained on: microscopy and phantoms, and the same binned by 2 and 4."""
    found = [plane for plane in planes("train", data=data) if plane.modality not in JUDGES]
    found += phantom_planes("train")
    return [_source(plane) for plane in found] + [_source(binned) for plane in found for binned in _binned(plane)]


def validation_sources(data: Path) -> list[ArraySource]:
    """Return what is validated on: other microscopy, and phantoms of other seeds without and with noise of counts."""
    real = [plane for plane in planes("validation", data=data) if plane.modality not in JUDGES]
    made = phantom_planes("validation")
    noisy = [
        _plane(plane, f"counts {counts:g}", _counted(plane.pixels, counts, seed=number))
        for number, plane in enumerate(made)
        for counts in COUNTS
    ]
    # Real ones first: tiles are taken from one source after the other.
    return [
        _source(plane) for plane in (*real, *(binned for plane in real for binned in _binned(plane)), *made, *noisy)
    ]


def _binned(plane: Plane) -> list[Plane]:
    copies = []
    for factor in (2, 4):
        y, x = (n - n % factor for n in plane.pixels.shape)
        if min(y, x) // factor >= LEAST_EDGE:
            small = degrade(plane.pixels[:y, :x], factor=(factor, factor))
            copies.append(_plane(plane, f"binned {factor}", small, weight=plane.weight * BINNED_WEIGHT))
    return copies


def _counted(pixels: np.ndarray[Any, Any], counts: float, *, seed: int) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(seed)
    return np.asarray(random.poisson(np.maximum(pixels - pixels.min(), 0.0) * counts) / counts, np.float32)


def _plane(plane: Plane, name: str, pixels: np.ndarray[Any, Any], *, weight: float = 1.0) -> Plane:
    return Plane(name=f"{plane.name} {name}", modality=plane.modality, weight=weight, pixels=normalise(pixels))


def _source(plane: Plane) -> ArraySource:
    return ArraySource(plane.pixels, name=plane.name, weight=plane.weight, normalise="none")


if __name__ == "__main__":
    main()
