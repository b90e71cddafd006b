"""Train the fast network of the package on what the diffusion network makes of stacks, on one CPU core.

Stacks are the train blocks of `volumes`, of which every fourth plane is kept, from each of four first planes. Teacher
and student see kept planes only, and the teacher was trained on 2-D slices; the planes between serve to judge in the
validation blocks, and with ``--truth`` instead of the teacher, which shows what the network could reach at best.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from telling import course
from volumes import blocks

from scalesr.models import load, resolve
from scalesr.msdsr.distilling import ArrayVolumes, Pair
from scalesr.msdsr.student_lesson import StudentLesson, StudentSettings

if TYPE_CHECKING:
    from samples import Part

TITLE = "Fast network for stacks of planes, distilled from masked diffusion of slices: {scale} rows of each plane"


def main() -> None:
    """Ask the teacher, train, or go on training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("SCALESR_DATA"), help="folder of the real images")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, curve and weights")
    parser.add_argument("--teacher", default="msdsr", help="name or file of the diffusion network")
    parser.add_argument("--truth", action="store_true", help="train on the true planes instead; never shipped")
    parser.add_argument("--cache", type=Path, help="folder for what the teacher makes; default: in --out")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--phases", type=int, help="how many first planes; default: as many as the scale")
    parser.add_argument(
        "--samples", type=int, default=1, help="volumes that the teacher draws, of which the mean counts"
    )
    parser.add_argument("--teacher-steps", type=int, default=1, help="steps of the teacher")
    parser.add_argument("--minutes", type=float, help="default: 15")
    parser.add_argument("--steps", type=int, help="how many steps, instead of minutes; the same bits again")
    parser.add_argument("--features", type=int, default=48)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--loss", choices=("charbonnier", "l2"), default="l2")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder of the real images with --data or SCALESR_DATA")
    torch.set_num_threads(1)
    settings = StudentSettings(
        scale=options.scale,
        features=options.features,
        blocks=options.blocks,
        loss=options.loss,
        precision=options.precision,
        seed=options.seed,
    )
    asked = {"steps": options.teacher_steps, "samples": options.samples}
    lesson = StudentLesson(
        settings,
        pairs("train", options, asked),
        validation=pairs("validation", options, asked),
        teacher="truth" if options.truth else f"{Path(options.teacher).name} {asked}",
        title=TITLE.format(scale=options.scale),
    )
    course(lesson, options, minutes=15.0)


def pairs(part: Part, options: argparse.Namespace, asked: dict[str, Any]) -> list[Pair]:
    """Return the stacks of one part with what the teacher made of them; for training from several first planes."""
    scale: int = options.scale
    phases = (options.phases or scale) if part == "train" else 1
    found = []
    for name, block in blocks(part, data=options.data).items():
        for phase in range(phases):
            stack = np.ascontiguousarray(block[phase::scale])
            truth = block[phase:][: (len(stack) - 1) * scale + 1]
            volume = truth if options.truth else made(stack, options, asked)
            found.append(
                Pair(
                    name=f"{name}+{phase}",
                    stack=ArrayVolumes(stack),
                    volume=ArrayVolumes(volume),
                    scale=scale,
                    truth=ArrayVolumes(truth) if part == "validation" else None,
                )
            )
    return found


def made(
    stack: np.ndarray[Any, np.dtype[np.float32]], options: argparse.Namespace, asked: dict[str, Any]
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return what the teacher makes of a stack as one tile, the mean of its samples; kept in the cache."""
    cache: Path = options.cache or options.out / "teacher"
    cache.mkdir(parents=True, exist_ok=True)
    ref = resolve(options.teacher, scale=(options.scale, 1, 1), image_channels=None, image_axes="zyx", options=asked)
    known = hashlib.sha256(stack.tobytes() + ref.sha256.encode()).hexdigest()[:16]
    kept = cache / f"{known}-{options.scale}-{'-'.join(map(str, asked.values()))}.npy"
    if not kept.exists():
        began = monotonic()
        # One tile, which has no borders inside: a block is small enough.
        tile, origin = torch.from_numpy(stack)[None, None], torch.zeros(1, 3, dtype=torch.int64)
        np.save(kept, load(ref, precision=options.precision)(tile, origin)[0, 0].numpy())
        print(f"{kept.name}: {stack.shape} in {monotonic() - began:.0f} s", flush=True)
    volume: np.ndarray[Any, np.dtype[np.float32]] = np.load(kept)
    return volume


if __name__ == "__main__":
    main()
