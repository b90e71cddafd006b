"""The picture of the demonstration: before, interpolated, restored and truth, in the same intensities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from scalesr.demo.running import Score
    from scalesr.demo.samples import Sample

PANEL = 3.0
"""Edge of one image on paper, in inches."""
INSET = 0.46
"""Edge of the inset, as a share of the image."""
ZOOM = 6
"""How many of the inset's regions lie along an edge of the image."""
FRAME = "white"


def draw(shown: Sequence[tuple[Sample, dict[str, NDArray[np.float32]]]], scores: Sequence[Score], target: Path) -> None:
    """Write the picture as PNG: a row for each sample, a column for each image and one for the truth.

    The intensities of a row are shown alike; the inset is the same region in each.
    """
    columns = len(shown[0][1]) + 1
    figure = Figure(
        figsize=(PANEL * columns + 0.3, (PANEL + 0.3) * len(shown)),
        layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.04, wspace=0.0, hspace=0.0),
    )
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(shown), columns, squeeze=False)
    for row, (sample, images) in zip(grid, shown, strict=True):
        plane = sample.plane
        low, high = np.percentile(sample.truth[plane], (0.1, 99.9))
        corner, edge = interesting(sample.truth[plane])
        marks = {score.method: score for score in scores if score.sample == sample.title}
        for axes, (name, pixels) in zip(row, [*images.items(), ("truth", sample.truth)], strict=True):
            image = {"cmap": sample.colours, "vmin": low, "vmax": high, "interpolation": "nearest"}
            axes.imshow(pixels[plane], **image)
            _bare(axes)
            _inset(axes, pixels[plane], corner, edge, image)
            mark = marks.get(name)
            words = f"{mark.psnr:.1f} dB,  SSIM {mark.ssim:.3f}" if mark else f"known, {sample.pixel:g} µm a pixel"
            axes.set_title(name, fontsize=11, fontweight="bold", loc="left", pad=4)
            axes.set_title(words, fontsize=9, color="0.35", loc="right", pad=4)
        row[0].set_ylabel(f"{sample.title}, {sample.first.name} = {plane}", fontsize=11)
        _scale_bar(row[0], sample)
    figure.savefig(target, dpi=110, facecolor="white")


def interesting(plane: NDArray[np.float32]) -> tuple[tuple[int, int], int]:
    """Return the first pixel and the edge of the square with the most detail, away from where the inset lies."""
    height, width = plane.shape
    edge = min(height, width) // ZOOM
    detail = np.hypot(*np.gradient(plane.astype(np.float64)))
    best, place = -1.0, (0, 0)
    for top in range(edge // 4, height - edge, max(edge // 4, 1)):
        for left in range(edge // 4, width - edge, max(edge // 4, 1)):
            hidden = top + edge > (1 - INSET - 0.04) * height and left + edge > (1 - INSET - 0.04) * width
            under_bar = top + edge > 0.88 * height
            found = float(detail[top : top + edge, left : left + edge].mean())
            if not hidden and not under_bar and found > best:
                best, place = found, (top, left)
    return place, edge


def _inset(axes: Any, plane: NDArray[np.float32], corner: tuple[int, int], edge: int, image: dict[str, Any]) -> None:
    top, left = corner
    axes.add_patch(Rectangle((left - 0.5, top - 0.5), edge, edge, fill=False, edgecolor=FRAME, linewidth=1.2))
    inset = axes.inset_axes((1 - INSET, 0.0, INSET, INSET))
    inset.imshow(plane[top : top + edge, left : left + edge], **image)
    _bare(inset)
    for spine in inset.spines.values():
        spine.set(visible=True, edgecolor=FRAME, linewidth=1.6)


def _bare(axes: Any) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def _scale_bar(axes: Any, sample: Sample) -> None:
    height, width = sample.truth.shape[1:]
    length = _round_length(0.25 * width * sample.pixel)
    x, y, pixels = 0.05 * width, 0.94 * height, length / sample.pixel
    axes.add_patch(Rectangle((x, y), pixels, 0.014 * height, facecolor="white", edgecolor="black", linewidth=0.4))
    text = f"{length:g} µm"
    words = axes.text(x, y - 0.015 * height, text, color="white", ha="left", va="bottom", fontsize=9, fontweight="bold")
    words.set_path_effects([withStroke(linewidth=1.5, foreground="black")])


def _round_length(about: float) -> float:
    """Return the largest of 1, 2 and 5 times a power of ten that is at most so long."""
    power = 10.0 ** np.floor(np.log10(about))
    return float(max(step * power for step in (1, 2, 5) if step * power <= about))
