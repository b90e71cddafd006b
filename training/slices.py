"""Train the networks that restore slices in one pass, on the slices and the patches of the diffusion network."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from math import inf
from pathlib import Path

import torch
from telling import course
from volumes import sources

from scalesr.msdsr.degrading import Degradation
from scalesr.msdsr.settings import NetworkSettings, TrainingSettings
from scalesr.msdsr.slice_lesson import SliceLesson, SliceSettings

TITLES = {
    "e2e": "U-Net that fills the rows between measured ones in one pass, trained end to end",
    "care": "U-Net that restores linearly enlarged stacks in one pass, after IsotropicCARE",
}


def main() -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("SCALESR_DATA"), help="folder of the real images")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, curve and weights")
    parser.add_argument("--kind", choices=("e2e", "care"), required=True)
    parser.add_argument("--minutes", type=float, help="default: 30")
    parser.add_argument("--steps", type=int, help="how many steps, instead of minutes; the same bits again")
    parser.add_argument("--psf", default="point", help="care: how a plane sees along z, such as gaussian:0.9")
    parser.add_argument("--counts", type=float, default=inf, help="care: photons of an intensity of 1")
    parser.add_argument("--noise", type=float, default=0.0, help="care: standard deviation of Gaussian noise")
    parser.add_argument("--spacing", type=float, help="care: rows for each plane; default: any from 2 to 8")
    parser.add_argument("--widths", type=int, nargs="+", default=(32, 64, 96, 128))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=4e-4)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder of the real images with --data or SCALESR_DATA")
    torch.set_num_threads(1)
    network = NetworkSettings(widths=tuple(options.widths), attention=(False,) * len(options.widths))
    settings = SliceSettings(
        kind=options.kind,
        training=replace(
            TrainingSettings(loss="l1", network=network),
            batch=options.batch,
            rate=options.rate,
            precision=options.precision,
            device=options.device,
            seed=options.seed,
        ),
        degradation=Degradation(psf=options.psf, counts=options.counts, noise=options.noise, spacing=options.spacing),
    )
    lesson = SliceLesson(
        settings,
        sources("train", data=options.data),
        validation=sources("validation", data=options.data),
        title=TITLES[options.kind],
    )
    course(lesson, options, minutes=30.0)


if __name__ == "__main__":
    main()
