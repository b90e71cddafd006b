"""The course of a training: a line of JSON for each validation, and a picture of them."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CURVE, PICTURE = "curve.jsonl", "curves.png"
"""Names of the files."""
TITLES = {
    "psnr": "PSNR in dB",
    "ssim": "SSIM",
    "frc": "FRC above 1/7 up to (cycles per pixel)",
    "loss": "loss on what is held out",
}
"""What scores are called over their panels."""


def append(folder: Path, line: Mapping[str, Any]) -> None:
    """Add a line to the curve of a folder."""
    with (folder / CURVE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a folder; none where there is no curve. A last line that was cut short is left out."""
    path = folder / CURVE
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def cut_back(folder: Path, *, step: int) -> list[dict[str, Any]]:
    """Remove the lines after a step, which a training that goes on from there writes again, and return the others."""
    kept = [line for line in read(folder) if line["step"] <= step]
    path = folder / CURVE
    fresh = path.with_name(path.name + ".new")
    fresh.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
    fresh.replace(path)
    return kept


def draw(folder: Path, lines: Sequence[Mapping[str, Any]]) -> Path | None:
    """Draw the losses and the scores over the steps, and return the picture; None where matplotlib is not installed.

    Each score has that of what the network must beat beside it as a dashed line.
    """
    if find_spec("matplotlib") is None or not lines:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    steps = [line["step"] for line in lines]
    names = list(lines[-1]["scores"])
    figure = Figure(figsize=(10, 3 * (1 + len(names) // 2)), layout="constrained")
    panels = figure.subplots(1 + len(names) // 2, 2, squeeze=False).ravel()
    for name in sorted({name for line in lines for name in line["losses"]}):
        values = [line["losses"].get(name) for line in lines]
        # A logarithmic axis has no place for what is not there yet or is nothing.
        shown = [(x, y) for x, y in zip(steps, values, strict=True) if y is not None and y > 0]
        panels[0].plot([x for x, _ in shown], [y for _, y in shown], marker=".", label=name)
    panels[0].set(title="losses", xlabel="step")
    if panels[0].lines:
        panels[0].set_yscale("log")
        panels[0].legend(frameon=False)
    for panel, name in zip(panels[1:], names, strict=False):
        panel.plot(steps, [line["scores"][name] for line in lines], marker=".", label="network")
        if name in lines[-1]["reference"]:
            panel.axhline(lines[-1]["reference"][name], linestyle="--", color="grey", label="interpolation")
        panel.set(title=TITLES.get(name, name), xlabel="step")
        panel.legend(frameon=False)
    for panel in panels[1 + len(names) :]:
        panel.set_axis_off()
    FigureCanvasAgg(figure)
    path = folder / PICTURE
    figure.savefig(path, dpi=100)
    return path
