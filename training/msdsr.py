"""Train the diffusion network of the package on 2-D slices, on one CPU core or a GPU."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from telling import course
from volumes import sources

from scalesr.msdsr.lesson import DiffusionLesson
from scalesr.msdsr.network import load_denoiser
from scalesr.msdsr.settings import NetworkSettings, TrainingSettings


def main() -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("SCALESR_DATA"), help="folder of the real images")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, curve and weights")
    parser.add_argument("--minutes", type=float, help="default: 60")
    parser.add_argument("--steps", type=int, help="how many steps, instead of minutes; the same bits again")
    parser.add_argument("--kind", choices=("guide", "mask", "rows"), default="guide", help="conditioning")
    parser.add_argument("--released", action="store_true", help="predict the noise in 0..1 by L1, as released")
    parser.add_argument("--widths", type=int, nargs="+", default=(32, 64, 96, 128))
    parser.add_argument("--weights", help="network to go on with, of the same kind and widths")
    parser.add_argument("--flat", choices=("rare", "drawn"), default="rare", help="patches without structure")
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
    network = NetworkSettings(
        widths=tuple(options.widths),
        attention=(False,) * len(options.widths),
        conditioning=options.kind,
        prediction="epsilon" if options.released else "v_prediction",
        span="unit" if options.released else "signed",
    )
    settings = TrainingSettings(
        network=network,
        measured="random" if options.released else "mixed",
        loss="l1" if options.released else "l2",
        weighting="all" if options.released else "unknown",
        flat=options.flat,
        batch=options.batch,
        rate=options.rate,
        precision=options.precision,
        device=options.device,
        seed=options.seed,
    )
    lesson = DiffusionLesson(
        settings,
        sources("train", data=options.data),
        validation=sources("validation", data=options.data),
        title="U-Net for masked diffusion of slices: isotropic volumes from stacks, any spacing of planes",
        begun=load_denoiser(options.weights) if options.weights else None,
    )
    course(lesson, options, minutes=60.0)


if __name__ == "__main__":
    main()
