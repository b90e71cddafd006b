"""What the commands that train have in common: a bar on the way, and what it came to, for people and as JSON."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from scalesr.cli.output import note, print_lines, screen
from scalesr.jobs.values import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from scalesr.learning import ImageSource, Scores, Taught
    from scalesr.learning import Progress as Where


@dataclass(frozen=True, kw_only=True)
class Titles:
    """What the scores of a network are called in front of people."""

    scores: Mapping[str, tuple[str, str]]
    """Title and format by name, such as ``"psnr": ("PSNR", "{:.2f} dB")``; the first is the one of the bar."""
    reference: str
    """What the network must beat."""

    def text(self, name: str, scores: Scores, reference: Scores, *, before: str) -> str:
        """Return a score in words, with what stands before that of the reference."""
        form = self.scores[name][1]
        beside = f"{before}{self.reference} {form.format(reference[name])}" if name in reference else ""
        return form.format(scores[name]) + beside


def help_of(command: Callable[..., None]) -> str:
    """Return the docstring of a command with a line for each paragraph: only the first would be wrapped otherwise.

    Brackets are those of the docstring and no markup.
    """
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return escape("\n\n".join(" ".join(each.split()) for each in paragraphs))


def one_length(*, steps: int | None, minutes: float | None) -> None:
    """Refuse two lengths of a training.

    Raises
    ------
    OptionError
        Both are given.
    """
    if steps is not None and minutes is not None:
        raise OptionError("--steps and --minutes both say how long.", remedy="Give one of them.")


def settle_device(device: str, threads: int | None) -> str:
    """Set the threads of torch, and return the name of the device; ``auto`` is a GPU if there is any."""
    import torch  # noqa: PLC0415 takes seconds, which help texts and mistyped options need not

    if threads is not None:
        torch.set_num_threads(threads)
    return device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


def open_sources(urls: Sequence[str]) -> list[ImageSource]:
    """Return OME-Zarr images as what is trained or validated on."""
    from scalesr.images import open_image  # noqa: PLC0415 zarr takes most of a second
    from scalesr.learning import ImageSource  # noqa: PLC0415 torch takes seconds

    return [ImageSource(image=open_image(url)) for url in urls]


@contextmanager
def bar(titles: Titles, *, shown: bool) -> Iterator[Callable[[Where], None]]:
    """Show how far a training is on standard error, where a person reads that; give what it tells its progress to."""
    console = screen("err")
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[scores]}", style="cyan"),
    )
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as found:
        task = found.add_task("training", total=1.0, scores="")
        yield lambda where: found.update(task, completed=where.share, scores=line(where, titles))


def line(where: Where, titles: Titles) -> str:
    """Return where a training is, in a few words."""
    step = f"step {where.step:,}"
    if where.scores is None:
        return step
    name, (title, _) = next(iter(titles.scores.items()))
    return f"{step}; {title} {titles.text(name, where.scores, where.reference, before=', ')}"


def document_taught(found: Taught) -> dict[str, Any]:
    """Return what a training came to, as what JSON can hold."""
    return {
        "weights": str(found.weights),
        "steps": found.steps,
        "skipped": found.skipped,
        "seconds": found.seconds,
        "best_step": found.best_step,
        "scores": found.scores,
        "reference": found.reference,
        "judged": found.judged,
        "draws": dict(found.notes),
        "picture": None if found.picture is None else str(found.picture),
    }


def show_taught(found: Taught, titles: Titles) -> None:
    """Write the scores beside those of the reference, and what a person should know before trusting them."""
    minutes, steps, best = found.seconds / 60, found.steps, found.best_step
    lines = [
        ("written", str(found.weights)),
        ("time", f"{minutes:.1f} min for {steps:,} steps; the best is of step {best:,}"),
    ]
    lines += [
        (title, titles.text(name, found.scores, found.reference, before="; "))
        for name, (title, _) in titles.scores.items()
    ]
    print_lines([*lines, *([("judged by", found.judged)] if found.judged else [])])
    if found.judged == "training pixels":
        note("The images are too small to hold a part out: these scores are of pixels that the network has seen.")
    beaten = next((name for name in titles.scores if name in found.reference), None)
    if beaten is not None and not _better(beaten, found.scores[beaten], found.reference[beaten]):
        note(f"The network does not beat {titles.reference} here: train longer, or on more images.")
    if found.skipped:
        note(f"{found.skipped:,} steps were left out, as their loss was not finite.")
    if found.notes.get("filled"):
        note(f"{found.notes['filled']:,} missing pixels were in the patches; they did not count.")


def _better(name: str, score: float, reference: float) -> bool:
    return score < reference if name.endswith("loss") else score > reference
