"""Train the generators of latent search, on real nuclei or on phantoms, then their flows; pack both; on one core.

`unet` trains what the searches are compared with: a network on pairs of fine objects and their measurements.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from rls_data import nuclei, phantoms
from telling import course

from scalesr.learning.counters import CHECKPOINT, read_checkpoint
from scalesr.learning.sources import ArraySource
from scalesr.rls.checkpoints import load, save
from scalesr.rls.degradation import Degradation
from scalesr.rls.flow_lesson import FlowLesson
from scalesr.rls.generator_lesson import GeneratorLesson
from scalesr.rls.objective import Objective
from scalesr.rls.search import SearchSettings
from scalesr.rls.settings import GeneratorSettings
from scalesr.rls.teaching import FlowTraining, GeneratorTraining
from scalesr.rls.unet_lesson import UNetLesson, UNetTraining

TITLES = {
    "nuclei": "StyleGAN2 generator of fluorescent nuclei of 64 px with a flow of its latents",
    "phantoms": "StyleGAN2 generator of phantoms of cells in DNA and a protein, 64 px, with a flow of its latents",
}
_WEIGHTS = Objective(density=1e-4, ring=1e-4, cross=0.01)
SEARCH = {
    "nuclei": SearchSettings(objective=_WEIGHTS, steps=100, rate=0.1),
    # Its generator was trained with an encoder.
    "phantoms": SearchSettings(objective=_WEIGHTS, steps=100, rate=0.1, around="told"),
}
"""Chosen on validation objects at 16x, see the model card."""
PHANTOMS = {"train": 6000, "validation": 512}
"""Cells of both conditions together."""


def main() -> None:
    """Train, or go on training."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("generator", "flow", "pack", "unet"))
    parser.add_argument("--objects", choices=tuple(TITLES), required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("SCALESR_DATA"), help="folder of the real images")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for checkpoints, curve and weights; pack: the file"
    )
    parser.add_argument("--generator", help="flow, pack: weights of the generator, or of both")
    parser.add_argument("--begun", type=Path, help="generator: folder of a training whose networks to go on with")
    parser.add_argument("--minutes", type=float, help="default: 50, 5 for a flow, 15 for a U-Net")
    parser.add_argument("--steps", type=int, help="how many steps, instead of minutes; the same bits again")
    parser.add_argument("--widths", type=int, nargs="+", default=(96, 96, 64, 32, 16))
    parser.add_argument("--latent", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=1.5e-3)
    parser.add_argument("--r1", type=float, default=0.3)
    parser.add_argument("--mixing", type=float, default=0.5)
    parser.add_argument("--guided", type=float, default=0.35, help="generator: share of the training with an encoder")
    parser.add_argument("--average", type=float, default=0.998)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="bf16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    options = parser.parse_args()
    if options.data is None and options.objects == "nuclei" and options.what in ("generator", "unet"):
        parser.error("name the folder of the real images with --data or SCALESR_DATA")
    if options.generator is None and options.what in ("flow", "pack"):
        parser.error("name the weights of the generator with --generator")
    torch.set_num_threads(1)
    if options.what == "pack":
        pack(options)
        return
    lesson: Any = {"generator": generator, "flow": flow, "unet": unet}[options.what](options)
    if options.begun is not None and not options.resume:
        for name, state in read_checkpoint(options.begun / CHECKPOINT)["parts"].items():
            lesson.parts[name].load_state_dict(state)
    course(lesson, options, minutes={"generator": 50.0, "flow": 5.0, "unet": 15.0}[options.what], validations=10)


def generator(options: argparse.Namespace) -> GeneratorLesson:
    """Return the training of a generator; pictures of its images lie beside its curve."""
    found = sources(options)
    network = GeneratorSettings(
        size=64,
        channels=1 if options.objects == "nuclei" else 2,
        latent=options.latent,
        depth=4,
        widths=tuple(options.widths),
    )
    settings = GeneratorTraining(
        network=network,
        batch=options.batch,
        rate=options.rate,
        r1=options.r1,
        path_every=8,
        mixing=options.mixing,
        guided=options.guided,
        average=options.average,
        augment="flips",
        precision=options.precision,
        device=options.device,
        seed=options.seed,
    )
    return GeneratorLesson(
        settings, found[:1], validation=found[1:], grids=options.out / "grids", title=TITLES[options.objects]
    )


def unet(options: argparse.Namespace) -> UNetLesson:
    """Return the training of a network on pairs at 16x."""
    found = sources(options)
    settings = UNetTraining(
        channels=1 if options.objects == "nuclei" else 2,
        batch=2 * options.batch,
        precision=options.precision,
        device=options.device,
        seed=options.seed,
    )
    return UNetLesson(settings, found[:1], validation=found[1:], title="U-Net of objects, beside latent search")


def sources(options: argparse.Namespace) -> list[ArraySource]:
    """Return the planes to train on, and those held out."""
    found = []
    for part in ("train", "validation"):
        pixels = (
            nuclei(part, data=options.data) if options.objects == "nuclei" else phantoms(part, count=PHANTOMS[part])[0]
        )
        planes = pixels.reshape(-1, *pixels.shape[2:])
        found.append(ArraySource(planes, name=f"{options.objects} {part}", normalise="none"))
    return found


def flow(options: argparse.Namespace) -> FlowLesson:
    """Return the training of the flow of a generator's latents."""
    settings = FlowTraining(hidden=128, rate=1e-3, device=options.device, seed=options.seed)
    return FlowLesson(settings, load(options.generator).generator, title=TITLES[options.objects])


def pack(options: argparse.Namespace) -> None:
    """Write generator and flow in half precision, with how latents are to be searched for."""
    pair = load(options.generator)
    if pair.prior is None:
        sys.exit(f"{options.generator} has no flow.")
    notes = {name: value for name, value in pair.metadata.items() if name.startswith(("training.", "flow."))}
    # Of the networks as they were trained, before they are rounded.
    percentiles = pair.percentiles(Degradation(factor=pair.factor))
    save(
        options.out,
        pair.generator.half(),
        pair.prior.half(),
        title=TITLES[options.objects],
        search=SEARCH[options.objects],
        percentiles=percentiles,
        extra={name: json.loads(value) for name, value in notes.items()},
    )


if __name__ == "__main__":
    main()
