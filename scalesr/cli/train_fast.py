"""``scalesr train msdsr-fast``: a small network from what a diffusion network makes of stacks."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scalesr.cli import training_options as usual
from scalesr.cli.training import Titles
from scalesr.cli.training_course import CODES, Asked, Course, teaching

if TYPE_CHECKING:
    from scalesr.msdsr.distilling import Pair

EXAMPLES = f"""
[bold]Examples[/bold]

Make a fast network for your microscope of one of its stacks, then use it on all others:

  [cyan]scalesr train msdsr-fast stack.ome.zarr --teacher net/weights.safetensors --scale 4 --out fast[/cyan]
  [cyan]scalesr run other.ome.zarr volume.ome.zarr --model fast/weights.safetensors[/cyan]
{CODES}"""
MINUTES = 15.0
"""Default length, without the teacher's work."""
TEACHER = "teacher"
"""Folder of what the teacher makes."""
TITLES = Titles(scores={"fidelity": ("PSNR to teacher", "{:.2f} dB")}, reference="interpolation")
_TEACHING = "The teacher"


@teaching(TITLES, minutes=MINUTES, meanwhile="restoring by the teacher")
def fast(
    asked: Asked,
    stacks: Annotated[
        list[str],
        typer.Argument(
            metavar="STACK...", help="OME-Zarr images with planes along z, of any size.", show_default=False
        ),
    ],
    *,
    teacher: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="The diffusion network.", rich_help_panel=_TEACHING)
    ] = "msdsr",
    scale: Annotated[
        int, typer.Option(min=2, metavar="N", help="Rows for each plane, a whole number.", rich_help_panel=_TEACHING)
    ] = 4,
    samples: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Volumes that the teacher draws of each stack, of which the mean counts.",
            rich_help_panel=_TEACHING,
        ),
    ] = 1,
    teacher_steps: Annotated[
        int,
        typer.Option(
            "--steps-of-teacher",
            min=1,
            metavar="N",
            help="Steps of the diffusion. In one step a network gives the mean of all that may lie between planes.",
            rich_help_panel=_TEACHING,
        ),
    ] = 1,
    validation: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STACK", help="A stack to validate on; may be repeated.", show_default="the stacks themselves"
        ),
    ] = None,
    features: Annotated[
        int, typer.Option(min=1, metavar="N", help="Channels inside the network.", rich_help_panel=usual.NETWORK)
    ] = 48,
    blocks: Annotated[
        int, typer.Option(min=0, metavar="N", help="Blocks of the network.", rich_help_panel=usual.NETWORK)
    ] = 2,
    patches: usual.Patches = 16,
    patch: Annotated[
        int, typer.Option(min=8, metavar="N", help="Edge of a patch in pixels.", rich_help_panel=usual.NETWORK)
    ] = 48,
    rate: Annotated[
        float, typer.Option(metavar="RATE", help="Highest rate of learning.", rich_help_panel=usual.NETWORK)
    ] = 2e-3,
    precision: usual.Precision = "fp32",
) -> Course:
    """Train a small deterministic network on what a diffusion network makes of your stacks, for one distance of planes.

    The teacher restores the stacks first, into the folder `teacher` of --out; that can be interrupted, too. The network
    that is nearest to the teacher is kept. It is hundreds of times faster, and cannot tell how sure it is.
    """
    from scalesr.msdsr.student_lesson import StudentLesson, StudentSettings  # noqa: PLC0415 torch takes seconds

    settings = StudentSettings(
        scale=scale,
        features=features,
        blocks=blocks,
        batch=patches,
        edge=patch,
        rate=rate,
        precision=precision,
        device=asked.device,
        seed=asked.seed,
    )
    how = {"steps": teacher_steps, "samples": samples}
    folder = asked.out / TEACHER
    taught = [
        _pair(url, folder, teacher, how, scale=scale, device=asked.device, precision=precision)
        for url in (*stacks, *(validation or []))
    ]
    pairs, held_out = taught[: len(stacks)], taught[len(stacks) :]
    said = f"{Path(teacher).name}, {teacher_steps} steps, {samples} samples"
    lesson = StudentLesson(settings, pairs, validation=held_out or pairs, teacher=said)
    return Course(lesson=lesson, judged="given images" if held_out else "training pixels")


def _pair(
    url: str,
    folder: Path,
    teacher: str,
    asked: dict[str, int],
    *,
    scale: int,
    device: str,
    precision: Literal["fp32", "bf16"],
) -> Pair:
    """Return a stack with what the teacher makes of it, which is made where it is not there."""
    import scalesr  # noqa: PLC0415 torch takes seconds
    from scalesr.msdsr.distilling import ImageVolumes, Pair  # noqa: PLC0415

    stack = scalesr.open_image(url)
    told_apart = hashlib.sha256(f"{stack.url} {teacher} {asked} {scale}".encode()).hexdigest()[:12]
    volume = scalesr.run(
        stack,
        folder / f"{told_apart}.ome.zarr",
        model=teacher,
        scale=(scale, 1, 1),
        model_options=tuple(asked.items()),
        device=device,
        precision=precision,
        deviation="none",
        out_dtype="float32",
        mode="resume",
    ).image
    return Pair(
        name=stack.url,
        stack=ImageVolumes(image=stack, like=stack),
        volume=ImageVolumes(image=volume, like=stack),
        scale=scale,
    )
