"""Whether tiles show, border by border: the seam score along pieces of borders that are spread over the output."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.metrics import Frame, Settings, State
from scalesr.metrics.rows import number_text
from scalesr.metrics.seam import make_seam
from scalesr.metrics.walk import gather, patches
from scalesr.report.parts import Plot, Table
from scalesr.report.plots import LINE, drawn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.metrics import Measure
    from scalesr.report.places import Overview
    from scalesr.report.scene import Scene
    from scalesr.tiling import AxisLattice

MOST = 48
"""Pieces of borders that are read."""
LENGTH = 256
"""Pixels of a piece along its border at most."""
WIDTH = 48
"""Pixels that are read across a border, a third of them before it; the control lies another third further on."""
LEAST = 15
"""Narrowest strip that leaves steps to compare with."""
FAR = 2**30
"""A period so long that an image has no second border."""
GOLDEN = 0.6180339887498949
"""Its multiples, without their whole part, are spread more evenly than those of any other number."""
ENOUGH = 20
"""Controls of which the extremes are left out."""
EXTREME = 0.25
"""Scores that differ from one by so much have the full colour, or by more where controls do."""
KINDS = {"axis x": "score across borders", "control: shifted": "control: half a period beside them"}
"""Which figures of the metric are told, and in which words."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A piece of a border between tiles."""

    across: int
    """Which of the two axes that are shown the border cuts: 0 for rows, 1 for columns."""
    at: int
    """First pixel of the output beyond the border, along that axis."""
    along: tuple[int, int]
    """Pixels of the output along the other axis."""
    kind: str
    """``block`` where blocks meet, else ``tile``."""
    score: float | None = None
    """Mean step across it over the mean step beside it; `None` where nothing changes beside it."""
    control: float | None = None
    """The same of the steps half a period further on, where no border is."""


@dataclass(frozen=True, kw_only=True)
class Seams:
    """What was found of the borders of one section."""

    overview: Overview
    pieces: tuple[Piece, ...]
    score: Measure
    """Of all pieces together."""
    control: Measure
    """The same between borders."""
    there: int
    """Pieces that the section has."""


def find_seams(scene: Scene, overview: Overview) -> Seams | None:
    """Return the seam scores of pieces of borders, spread evenly over a section; none where it has no borders.

    The metric is `scalesr.metrics.seam`, on strips of some pixels around each piece. What is read is bounded.

    Raises
    ------
    StorageError
        A chunk cannot be read.
    """
    axes = tuple(scene.plan.lattice.axes[a] for a in overview.axes)
    width = min(WIDTH, *(axis.out_cell * 3 // 2 for axis in axes if axis.cells > 1), WIDTH) // 3 * 3
    there, wanted = _borders(axes)
    if width < LEAST or not wanted:
        return None
    frame = Frame(
        bands=1,
        band_names=("0",),
        shape=(LENGTH, width),
        pixel_size=(1.0, 1.0),
        unit=None,
        dtype=scene.plan.out_dtype,
        cell=(LENGTH, width),
        has_reference=False,
        has_measured=False,
        ratio=(Fraction(1), Fraction(1)),
    )
    seam = make_seam(frame, Settings(seam_period=(FAR, 2 * width // 3), seam_offset=(FAR // 4, width // 3)))
    total = State()
    pieces = []
    for piece in wanted:
        strip = _strip(scene, overview, piece, width)
        if strip is None:
            continue
        own = _with_shape(frame, strip)
        found = gather([seam.statistic], patches(own, strip[None], context=seam.statistic.context))[seam.statistic]
        values = {measure.kind: measure.value for measure in seam.finalize(found, own)}
        total.merge(found)
        pieces.append(replace(piece, score=values["axis x"], control=values["control: shifted"]))
    if not pieces:
        return None
    figures = {measure.kind: measure for measure in seam.finalize(total, frame)}
    return Seams(
        overview=overview,
        pieces=tuple(pieces),
        score=figures["axis x"],
        control=figures["control: shifted"],
        there=there,
    )


def seam_plot(scene: Scene, seams: Seams, *, key: str) -> Plot:
    """Return the map of the seams over a section of the output."""
    from matplotlib.cm import ScalarMappable  # noqa: PLC0415 it takes half a second
    from matplotlib.collections import LineCollection  # noqa: PLC0415
    from matplotlib.colors import CenteredNorm  # noqa: PLC0415

    overview = seams.overview
    names = [scene.output.axis_names[a] for a in overview.axes]
    known = [piece for piece in seams.pieces if piece.score is not None]
    controls = [piece.control for piece in seams.pieces if piece.control is not None]
    many = len(controls) >= ENOUGH
    cases = " in nine of ten cases" if many else ""
    usual = np.percentile(controls, (5, 95) if many else (0, 100)) if controls else np.ones(2)
    words = (
        f"{len(seams.pieces):,} of {seams.there:,} pieces of borders between tiles. "
        f"All together they score {number_text(seams.score.value)}, and as many steps between borders "
        f"{number_text(seams.control.value)}; 1 means that nothing shows. Single pieces between borders "
        f"score {number_text(float(usual[0]))} to {number_text(float(usual[1]))}{cases}: borders "
        "within that do not stand out."
    )
    title = f"Seams between tiles, along {names[0]} and {names[1]}"
    extent = _extent(overview)
    shape = (extent[2] - extent[3], extent[1] - extent[0])
    height = min(4.4, max(1.6, 4.2 * shape[0] / shape[1]))
    with drawn(key, title=title, words=words, height=height) as drawing:
        axes = drawing.axes
        low, high = scene.span(overview.bands[0])
        axes.imshow(overview.pixels[0], cmap="gray", vmin=low, vmax=high, extent=extent, alpha=0.35, rasterized=True)
        lines = [
            [(p.at, p.along[0]), (p.at, p.along[1])] if p.across else [(p.along[0], p.at), (p.along[1], p.at)]
            for p in known
        ]
        norm = CenteredNorm(1.0, min(1.0, max(EXTREME, *(1.5 * abs(usual - 1)))))
        drawn_lines = LineCollection(
            lines,
            array=np.array([p.score for p in known]),
            cmap="coolwarm",
            norm=norm,
            linewidths=[3.0 if p.kind == "block" else 1.6 for p in known],
        )
        axes.add_collection(drawn_lines)
        axes.set(xlabel=f"{names[1]} (pixels)", ylabel=f"{names[0]} (pixels)")
        axes.set_aspect("auto" if shape[0] < shape[1] / 4 else "equal")
        bar = axes.figure.colorbar(ScalarMappable(norm=norm, cmap="coolwarm"), ax=axes, shrink=0.8, extend="both")
        bar.outline.set_edgecolor(LINE)
        bar.set_label("seam score")
    table = Table(
        caption="Seam score: mean step across borders over the mean step elsewhere",
        headers=("what", "score", "steps", "note"),
        rows=tuple(
            (KINDS[m.kind], number_text(m.value), f"{m.n:,}", "1 where nothing shows")
            for m in (seams.score, seams.control)
        )
        + tuple(
            (
                f"furthest from 1: {names[p.across]} {p.at:,}, {names[1 - p.across]} {p.along[0]:,} to {p.along[1]:,}",
                number_text(p.score),
                "",
                f"border between {p.kind}s",
            )
            for p in sorted(known, key=lambda piece: -abs((piece.score or 1.0) - 1))[:5]
        ),
    )
    return Plot(title=title, words=words, svg=drawing.svg, table=table)


def _borders(axes: tuple[AxisLattice, ...]) -> tuple[int, list[Piece]]:
    """Return how many pieces of borders a section has, and some of them, evenly spread."""
    rows, columns = axes
    counts = ((rows.cells - 1) * columns.cells, (columns.cells - 1) * rows.cells)
    there = sum(counts)
    chosen = range(there) if there <= MOST else sorted({int((n * GOLDEN % 1) * there) for n in range(MOST)})
    found = []
    for number in chosen:
        across = 0 if number < counts[0] else 1
        own, other = axes[across], axes[1 - across]
        border, cell = divmod(number - (counts[0] if across else 0), other.cells)
        middle = (2 * cell + 1) * other.out_cell // 2 - other.out_ramp
        low = max(0, cell * other.out_cell - other.out_ramp, middle - LENGTH // 2)
        high = min((cell + 1) * other.out_cell - other.out_ramp, low + LENGTH, other.out_size)
        kind = "block" if (border + 1) % own.block == 0 else "tile"
        at = (border + 1) * own.out_cell - own.out_ramp
        found.append(Piece(across=across, at=at, along=(low, high), kind=kind))
    return there, found


def _strip(scene: Scene, overview: Overview, piece: Piece, width: int) -> NDArray[Any] | None:
    """Return the pixels around a piece, the border across the second axis; none where the image ends too soon."""
    own, other = overview.axes[piece.across], overview.axes[1 - piece.across]
    first = piece.at - width // 3
    if first < 0 or first + width > scene.output.shape[own] or piece.along[1] - piece.along[0] < 4:
        return None
    region = [slice(at, at + 1) for at in overview.at]
    if scene.band is not None:
        region[scene.band] = slice(overview.bands[0], overview.bands[0] + 1)
    region[own], region[other] = slice(first, first + width), slice(*piece.along)
    found = scene.output.read(tuple(region))
    plane = found.reshape([found.shape[a] for a in overview.axes])
    return plane if piece.across else plane.T


def _with_shape(frame: Frame, strip: NDArray[Any]) -> Frame:
    return replace(frame, shape=strip.shape)


def _extent(overview: Overview) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top of a section in pixels of the output."""
    rows, columns = overview.pixels.shape[1:]
    return (
        overview.start[1],
        overview.start[1] + columns * overview.factors[1],
        overview.start[0] + rows * overview.factors[0],
        overview.start[0],
    )
