"""Intensities of output and input: for each band, for each plane, and as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.metrics.rows import number_text
from scalesr.report.parts import Plot, Table
from scalesr.report.plots import IN, OUT, drawn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.report.sampling import Sample
    from scalesr.report.scene import Scene
    from scalesr.tiling import AxisLattice

PERCENTILES = (1.0, 50.0, 99.0)
ROWS = 200
"""Rows of a table at most: evenly spaced ones of more."""
BINS = 96


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Figures of each entry along an axis, such as of each band."""

    places: NDArray[np.float64]
    """Where the entries lie along the axis of the output."""
    figures: NDArray[np.float64]
    """Shape (entries, 6): least, 1st percentile, median, 99th percentile, most, mean; NaN where nothing is finite."""
    missing: NDArray[np.int64]
    """Values of each entry that are not finite."""


NAMES = ("min", "1 %", "median", "99 %", "max", "mean")


def intensity_plots(scene: Scene, source: Sample | None) -> tuple[Plot, ...]:
    """Return plots of the intensities: over bands, over planes and other axes that are not shown, and their histogram.

    Parameters
    ----------
    scene
        The images.
    source
        A sample of the input, if there is one.
    """
    plots = [_histogram(scene, source)]
    for axis in range(scene.output.ndim):
        if axis in scene.space[-2:] or scene.output.shape[axis] < 2:
            continue
        plots.append(_over(scene, source, axis))
    return tuple(plots)


def profile(sample: Sample, axis: int, *, lattice: AxisLattice | None = None) -> Profile:
    """Return the figures of each entry of a sample along an axis, at its place in the output, by the axis of a plan."""
    moved = np.moveaxis(sample.pixels, axis, 0)
    figures, missing = [], []
    for plane in moved.reshape(len(moved), -1):
        values = plane[np.isfinite(plane)].astype(np.float64)
        missing.append(plane.size - values.size)
        if values.size == 0:
            figures.append([np.nan] * len(NAMES))
            continue
        low, middle, high = np.percentile(values, PERCENTILES)
        figures.append([values.min(), low, middle, high, values.max(), values.mean()])
    pick, factor = sample.picks[axis], sample.factors[axis]
    places = (np.array(pick, np.float64) + 0.5) * factor - 0.5
    if lattice is not None and lattice.sampling == "point":
        places = places * float(lattice.scale)
    elif lattice is not None:
        places = (places + 0.5) * float(lattice.scale) - 0.5
    return Profile(places=places, figures=np.array(figures), missing=np.array(missing, np.int64))


def _over(scene: Scene, source: Sample | None, axis: int) -> Plot:
    name = scene.output.axis_names[axis]
    what = "band" if axis == scene.band else f"{name} position"
    own = profile(scene.sample, axis)
    other = None
    if source is not None:
        other = profile(source, axis, lattice=scene.plan.lattice.axes[axis])
    labels = _labels(scene, axis)
    few = axis == scene.band and len(own.places) <= 12
    words = (
        f"Median (line) and the middle 98 % (area) of the intensities of the output over {len(own.places):,} "
        f"{'bands' if axis == scene.band else f'positions along {name}'}"
        + (", with those of the input." if other is not None else ".")
        + f" Read: of the output, {scene.sample.words}"
        + ("." if source is None or other is None else f"; of the input, {source.words}.")
    )
    title = "Intensities of the bands" if axis == scene.band else f"Intensities along {name}"
    key = f"intensities-{axis}"
    with drawn(key, title=title, words=words) as drawing:
        axes = drawing.axes
        for found, colour, label, shift in ((other, IN, "input", -0.12), (own, OUT, "output", 0.12)):
            if found is None:
                continue
            _, low, middle, high, _, _ = found.figures.T
            if few:
                axes.errorbar(
                    found.places + shift,
                    middle,
                    yerr=np.maximum([middle - low, high - middle], 0),
                    fmt="o",
                    markersize=5,
                    capsize=4,
                    color=colour,
                    label=label,
                )
            else:
                axes.fill_between(found.places, low, high, color=colour, alpha=0.22, linewidth=0)
                axes.plot(found.places, middle, color=colour, label=label)
        if few:
            names = [labels(entry) for entry in range(len(own.places))]
            slant: dict[str, Any] = {"rotation": 30, "ha": "right"} if sum(map(len, names)) > 50 else {}
            axes.set_xticks(own.places, names, **slant)
            axes.set_xlim(-0.6, own.places[-1] + 0.6)
        axes.set(xlabel=what if few else f"{what} (counted from 0)", ylabel="intensity")
        axes.legend(loc="upper right", ncols=2)
    return Plot(title=title, words=words, svg=drawing.svg, table=_table(title, what, own, other, labels))


def _labels(scene: Scene, axis: int) -> Any:
    pick = scene.sample.picks[axis]
    if axis == scene.band:
        return lambda entry: scene.band_names[min(scene.sample.place(axis, entry), len(scene.band_names) - 1)][:24]
    return lambda entry: f"{(pick[entry] + 0.5) * scene.sample.factors[axis] - 0.5:g}"


def _table(title: str, what: str, own: Profile, other: Profile | None, labels: Any) -> Table:
    step = -(-len(own.places) // ROWS)
    rows = []
    for entry in range(0, len(own.places), step):
        cells = [labels(entry), *(number_text(value) for value in own.figures[entry]), f"{own.missing[entry]:,}"]
        if other is not None:
            nearest = int(np.argmin(np.abs(other.places - own.places[entry])))
            cells += [number_text(other.figures[nearest][place]) for place in (2, 5)]
        rows.append(tuple(cells))
    more = ("input median", "input mean") if other is not None else ()
    return Table(
        caption=title + (f"; each {step}th of {len(own.places):,}" if step > 1 else ""),
        headers=(what, *NAMES, "not finite", *more),
        rows=tuple(rows),
    )


def _histogram(scene: Scene, source: Sample | None) -> Plot:
    samples = [(found, colour, label) for found, colour, label in ((source, IN, "input"), (scene.sample, OUT, "output"))
               if found is not None]  # fmt: skip
    values = [found.pixels[np.isfinite(found.pixels)].astype(np.float64) for found, _, _ in samples]
    known = [some for some in values if some.size]
    low = min((float(np.percentile(some, 0.1)) for some in known), default=0.0)
    high = max((float(np.percentile(some, 99.9)) for some in known), default=1.0)
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    words = (
        "How often intensities occur, as a share of the pixels; from the 0.1 to the 99.9 percentile. Read: "
        + "; ".join(f"of the {label}, {found.words}" for found, _, label in reversed(samples))
    )
    with drawn("histogram", title="Histogram of the intensities", words=words) as drawing:
        axes = drawing.axes
        for some, (_, colour, label) in zip(values, samples, strict=True):
            if some.size:
                counts = np.histogram(some, edges)[0]
                axes.stairs(100 * counts / some.size, edges, color=colour, label=label, fill=False, linewidth=1.6)
        axes.set(xlabel="intensity", ylabel="% of pixels in a bin")
        axes.set_ylim(bottom=0)
        axes.legend(loc="upper right", ncols=2)
    rows = []
    for some, (found, _, label) in zip(values, samples, strict=True):
        figures = [number_text(None)] * len(NAMES)
        if some.size:
            three = np.percentile(some, PERCENTILES)
            figures = [number_text(float(value)) for value in (some.min(), *three, some.max(), some.mean())]
        rows.append((label, *figures, f"{found.pixels.size - some.size:,}"))
    table = Table(
        caption="Intensities of what was read", headers=("image", *NAMES, "not finite"), rows=tuple(rows[::-1])
    )
    return Plot(title="Histogram of the intensities", words=words + ".", svg=drawing.svg, table=table)
