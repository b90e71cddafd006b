"""From the pixels of a place to pictures beside each other: all in the same intensities, maps with their scale."""

from __future__ import annotations

from math import floor, log10
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.images.axes import metres
from scalesr.metrics.rows import number_text
from scalesr.report.parts import Bar, Comparison, Mark, Picture
from scalesr.report.pictures import coloured, grey, mapped
from scalesr.report.places import WHOLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scalesr.report.crops import Crop
    from scalesr.report.parts import Fact
    from scalesr.report.pictures import Span
    from scalesr.report.places import Overview, Place
    from scalesr.report.scene import Scene

BAR = 0.25
"""Longest scale bar, as a share of the picture's width."""
ROBUST = 99.5
"""Percentile of the differences that has the full colour: the few pixels beyond it look as if they were as large."""
UNITS = {1e-3: "mm", 1e-6: "\u00b5m", 1e-9: "nm"}
"""Short names of lengths."""


def comparison(scene: Scene, crop: Crop, *, number: int) -> Comparison:
    """Return a place in all images that there are.

    Parameters
    ----------
    scene
        The images.
    crop
        The pixels of the place.
    number
        Which of the places it is, from 1.
    """
    place = crop.place
    what = f"place {number}, {place.title.lower()}"
    pictures = []
    if crop.source is not None:
        rows, columns = crop.source.shape[1:]
        pictures.append(
            Picture(
                name="Input",
                alt=f"Input, {what}: {rows} x {columns} pixels as they were measured.",
                uri=painted(scene, place.bands, crop.source),
                note=f"{rows} x {columns} px, as measured",
                side="before",
                grain="pixels",
            )
        )
    pictures += [
        Picture(
            name=name.capitalize(),
            alt=f"{name.capitalize()} interpolation of the input, {what}.",
            uri=painted(scene, place.bands, pixels),
            note="interpolation, no network",
            side="before",
        )
        for name, pixels in crop.baselines.items()
        # Nearest shows the pixels of the input, which stand beside it already.
        if name != "nearest"
    ]
    rows, columns = crop.output.shape[1:]
    pictures.append(
        Picture(
            name="Output",
            alt=f"Output of the run, {what}: {rows} x {columns} pixels.",
            uri=painted(scene, place.bands, crop.output),
            note=f"{rows} x {columns} px, {model_name(scene)}",
            side="after",
        )
    )
    if crop.reference is not None:
        pictures.append(
            Picture(
                name="Reference",
                alt=f"Reference, {what}: what the output should look like.",
                uri=painted(scene, place.bands, crop.reference),
                note="what it should look like",
                side="before",
            )
        )
    lattice = scene.plan.lattice.axes
    sizes = [crop.output.shape[1 + k] * scene.output.pixel_sizes[a] for k, a in enumerate(place.axes)]
    return Comparison(
        title=f"{number}. {place.title}",
        where=position(scene, place.out(lattice), place.axes, place.bands),
        pictures=tuple(pictures),
        maps=_maps(scene, crop, what),
        height=sizes[0],
        width=sizes[1],
        bar=scale_bar(scene, place.axes[1], sizes[1]),
    )


def painted(scene: Scene, bands: Sequence[int], pixels: NDArray[Any]) -> str:
    """Return bands as a picture, in the intensities by which all pictures of these bands are shown."""
    spans = [scene.span(band) for band in bands]
    colours = scene.colours()
    if colours is not None and len(bands) > 1:
        return coloured(pixels, spans, [colours[band] for band in bands])
    return grey(pixels[0], spans[0])


def shown_bands(scene: Scene, bands: Sequence[int]) -> tuple[Fact, ...]:
    """Return which bands the pictures show, and which intensities are black and white."""
    return tuple(
        (f"band {scene.band_names[band]}" if scene.band is not None else "", _spanned(scene.span(band)))
        for band in bands
    )


def overview_picture(scene: Scene, overview: Overview, crops: Sequence[Crop]) -> Picture:
    """Return a section through the whole output, with the places of it that are shown closely."""
    region = tuple((at, at + 1) for at in overview.at)
    names = " and ".join(scene.output.axis_names[a] for a in overview.axes)
    where = position(scene, region, overview.axes, overview.bands, inside="whole")
    return Picture(
        name=f"Overview of {names}",
        alt=f"The whole output along {names}, coarse: {where}.",
        uri=painted(scene, overview.bands, overview.pixels),
        note=f"{where}; level {overview.level} of the pyramid",
        marks=tuple(
            _mark(scene, overview, crop.place, str(number))
            for number, crop in enumerate(crops, start=1)
            if crop.place.axes == overview.axes and crop.place.title != WHOLE
        ),
    )


def _mark(scene: Scene, overview: Overview, place: Place, name: str) -> Mark:
    region = place.out(scene.plan.lattice.axes)
    shares = []
    for k, a in enumerate(overview.axes):
        whole = overview.pixels.shape[1 + k] * overview.factors[k]
        low, high = ((at - overview.start[k]) / whole for at in region[a])
        shares.append((max(0.0, low), min(1.0, high) - max(0.0, low)))
    (top, height), (left, width) = shares
    return Mark(name=name, left=left, top=top, width=width, height=height)


def model_name(scene: Scene) -> str:
    """Return what the model of a run is called."""
    return str(scene.history.manifest.provenance.get("model", "")).removeprefix("builtin:").rsplit("/", 1)[-1]


def position(
    scene: Scene,
    region: tuple[tuple[int, int], ...],
    axes: tuple[int, int],
    bands: Sequence[int],
    *,
    inside: str = "part",
) -> str:
    """Return where a region lies, in words: pixels along the axes that are shown, entries of the others."""
    words = []
    for a, (axis, (low, high)) in enumerate(zip(scene.output.axes, region, strict=True)):
        if a in axes:
            words += [f"{axis.name} {low:,} to {high:,}"] if inside == "part" else []
        elif a == scene.band:
            names = ", ".join(scene.band_names[band] for band in bands)
            words.append(f"{axis.name} {names}")
        elif scene.output.shape[a] > 1:
            words.append(f"{axis.name} {low:,}")
    return ", ".join(words) or "one plane"


def scale_bar(scene: Scene, axis: int, width: float) -> Bar | None:
    """Return a scale bar for a picture of some width; none where pixels have no unit of length."""
    unit = scene.output.axes[axis].unit
    size = metres(unit)
    if size is None or not width > 0:
        return None
    power = 10.0 ** floor(log10(BAR * width))
    length = max(step * power for step in (1, 2, 5) if step * power <= BAR * width)
    in_metres = length * size
    short = next(((in_metres / factor, name) for factor, name in UNITS.items() if in_metres >= 0.999 * factor), None)
    words = f"{length:g} {unit}" if short is None else f"{short[0]:g} {short[1]}"
    return Bar(share=length / width, words=words)


def _maps(scene: Scene, crop: Crop, what: str) -> tuple[Picture, ...]:
    """Return differences of the first band that is shown: one sign and one size are what colours can say."""
    found = []
    name = f" of {scene.band_names[crop.place.bands[0]]}" if len(crop.place.bands) > 1 else ""
    output = crop.output[0].astype(np.float64)
    if "cubic" in crop.baselines:
        change = output - crop.baselines["cubic"][0]
        most = _most(change)
        found.append(
            Picture(
                name="Output minus cubic",
                alt=f"Difference between the output and cubic interpolation{name}, {what}.",
                uri=mapped(change, (-most, most), "signed"),
                note=f"What the model added{name}: blue {number_text(-most)} or less, red {number_text(most)} or more.",
            )
        )
    if crop.reference is not None:
        truth = crop.reference[0].astype(np.float64)
        errors = {"Error of the output": np.abs(output - truth)}
        if "cubic" in crop.baselines:
            errors["Error of cubic"] = np.abs(crop.baselines["cubic"][0].astype(np.float64) - truth)
        most = max(map(_most, errors.values()))
        found += [
            Picture(
                name=title,
                alt=f"{title}{name} against the reference, {what}; mean {number_text(_mean(error))}.",
                uri=mapped(error, (0.0, most), "size"),
                note=f"Absolute{name}: black 0, light {number_text(most)} or more; mean {number_text(_mean(error))}.",
            )
            for title, error in errors.items()
        ]
    if crop.deviation is not None:
        spread = crop.deviation[0].astype(np.float64)
        most = _most(spread)
        found.append(
            Picture(
                name="Standard deviation",
                alt=f"Standard deviations that the model gives its voxels{name}, {what}.",
                uri=mapped(spread, (0.0, most), "spread"),
                note=f"Dark 0, yellow {number_text(most)} or more; mean {number_text(_mean(spread))}.",
            )
        )
    return tuple(found)


def _most(values: NDArray[np.float64]) -> float:
    known = np.abs(values[np.isfinite(values)])
    return (float(np.percentile(known, ROBUST)) if known.size else 0.0) or 1.0


def _mean(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _spanned(span: Span) -> str:
    return f"black {number_text(span[0])}, white {number_text(span[1])}"
