"""The figures of a report: those that the run measured of the whole image, and those of the places that are shown."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from scalesr.errors import ScalesrError
from scalesr.metrics import Frame, Settings, State, make_metrics
from scalesr.metrics.rows import lay_out, number_text, rows_of
from scalesr.metrics.walk import choose_cell, context_of, finalized, gather, patches
from scalesr.report.parts import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from numpy.typing import NDArray

    from scalesr.metrics import Measure, Metric, Statistic
    from scalesr.report.crops import Crop
    from scalesr.report.parts import Fact
    from scalesr.report.scene import Scene

WITH_REFERENCE = ("psnr", "ssim", "mae", "pearson", "frc")
WITH_INPUT = ("consistency", "beyond_nyquist")
ALONE = ("frc_single",)
OUTPUT = "output"
CONTROLS = ("control", "baseline")
"""How kinds of figures begin that others are judged by."""


def table_of(measures: Sequence[Measure], *, caption: str, notes: Sequence[str] = ()) -> Table:
    """Return figures as a table, headlines first, notes below it."""
    layout = lay_out(rows_of(measures))
    return Table(caption=caption, headers=layout.headers, rows=layout.cells, notes=(*layout.footnotes, *notes))


@dataclass(frozen=True, kw_only=True)
class Found:
    """Figures of the places that are shown."""

    tables: tuple[Table, ...] = ()
    """By which each metric is known, with its controls."""
    rest: tuple[Table, ...] = ()
    """All others."""
    absent: tuple[Fact, ...] = ()
    """What could not be measured, and why."""


def crop_figures(scene: Scene, crops: Sequence[Crop]) -> Found:
    """Return the figures of the places that are shown, of the output and of each interpolation.

    They say nothing of the rest of the image: places are chosen for their structure.
    """
    same = [crop for crop in crops if crop.place.axes == crops[0].place.axes]
    tables: list[tuple[Table, Table | None]] = []
    absent: list[Fact] = []
    numbers = [str(number) for number, crop in enumerate(crops, start=1) if crop.place.axes == crops[0].place.axes]
    where = f"place {numbers[0]}" if len(same) == 1 else f"places {', '.join(numbers)}"
    for names, caption in (
        (WITH_REFERENCE, f"Against the reference, in {where}"),
        ((*WITH_INPUT, *ALONE), f"Without a reference, in {where}"),
    ):
        table = _table(scene, same, names, caption, absent)
        if table is not None:
            tables.append(table)
    return Found(
        tables=tuple(table for table, _ in tables),
        rest=tuple(rest for _, rest in tables if rest is not None),
        absent=tuple(absent),
    )


def _table(
    scene: Scene, crops: Sequence[Crop], names: Sequence[str], caption: str, absent: list[Fact]
) -> tuple[Table, Table | None] | None:
    referred = names is WITH_REFERENCE
    if referred and any(crop.reference is None for crop in crops):
        return None
    methods = [OUTPUT, *crops[0].baselines]
    found: dict[str, dict[tuple[str, str], Measure]] = {}
    asked = [name for name in names if name not in WITH_INPUT or _measured(scene, crops)]
    for method, name in product(methods, asked):
        if name in ALONE and method != OUTPUT:
            continue  # its figures have interpolation and noise beside them
        try:
            measures = _measure(scene, crops, method, name, referred=referred)
        except ScalesrError as error:
            if method == OUTPUT:
                absent.append((name, error.problem))
            continue
        own = {(m.metric, m.kind): m for m in measures if m.band is None}
        found.setdefault(method, {}).update(own)
    if not found.get(OUTPUT):
        return None
    first: dict[str, str] = {}
    for metric, kind in found[OUTPUT]:
        first.setdefault(metric, kind)
    main = {key for key in found[OUTPUT] if first[key[0]] == key[1] or key[1].startswith(CONTROLS)}
    rest = found[OUTPUT].keys() - main
    return _rows(found, main, caption), _rows(found, rest, f"All other figures: {caption}") if rest else None


def _rows(
    found: Mapping[str, Mapping[tuple[str, str], Measure]], keys: AbstractSet[tuple[str, str]], caption: str
) -> Table:
    """Return some figures, a row each, with a column for each method."""
    notes: dict[str, int] = {}
    rows = []
    for key, measure in found[OUTPUT].items():
        if key not in keys:
            continue
        values = [
            # A control is that of the output; the others have their own, which nobody asks for.
            number_text(own[key].value, measure.unit)
            if key in own and (method == OUTPUT or not key[1].startswith(CONTROLS))
            else ""
            for method, own in found.items()
        ]
        marks = [str(notes.setdefault(note, len(notes) + 1)) for note in filter(None, [measure.note])]
        rows.append((f"{key[0]}: {key[1]}", *values, f"{measure.n:,}", ", ".join(marks)))
    return Table(caption=caption, headers=("figure", *found, "n", "note"), rows=tuple(rows), notes=tuple(notes))


def _measured(scene: Scene, crops: Sequence[Crop]) -> bool:
    """Say whether the input of the places is what their output was made from, and of nothing beside them."""
    beside = [a for a, mixed in enumerate(scene.plan.mixed) if mixed and a not in crops[0].place.axes]
    return all(crop.source is not None for crop in crops) and all(scene.plan.lattice.axes[a].scale == 1 for a in beside)


def _measure(scene: Scene, crops: Sequence[Crop], method: str, name: str, *, referred: bool) -> list[Measure]:
    """Return the figures of one metric over all places together.

    Raises
    ------
    InputError
        The metric cannot be measured here.
    """
    metrics: list[Metric] = []
    states: dict[Statistic, State] = {}
    frame: Frame | None = None
    for number, crop in enumerate(crops):
        output = crop.output if method == OUTPUT else crop.baselines[method]
        own, output, source, reference = _framed(scene, crop, output, name, referred=referred)
        if frame is None:
            frame = own
            metrics = make_metrics([name], frame, _settings(scene, crop))
            states = {metric.statistic: State() for metric in metrics}
        elif own.shape != frame.shape:
            continue
        pieces = patches(own, output, reference=reference, measured=source, context=context_of(states, own))
        for statistic, state in gather(tuple(states), pieces).items():
            # Tiles of one place are not those of another.
            states[statistic].merge(state.placed((number,)))
    assert frame is not None
    return finalized(metrics, states, frame)


def _framed(
    scene: Scene, crop: Crop, output: NDArray[np.generic], name: str, *, referred: bool
) -> tuple[Frame, NDArray[np.generic], NDArray[np.generic] | None, NDArray[np.generic] | None]:
    """Return what metrics are told of a place, and its pixels: whole pixels of the input, where there is one."""
    axes = crop.place.axes
    measured = name in WITH_INPUT or (name in ALONE and _measured(scene, [crop]))
    lattice = [scene.plan.lattice.axes[a] for a in axes]
    ratio = tuple(axis.scale for axis in lattice)
    units = [
        min(
            size // factor.numerator,
            (crop.source.shape[1 + k] // factor.denominator) if crop.source is not None else size,
        )
        for k, (size, factor) in enumerate(zip(output.shape[1:], ratio, strict=True))
    ]
    fine = tuple(slice(0, n * factor.numerator) for n, factor in zip(units, ratio, strict=True))
    coarse = tuple(slice(0, n * factor.denominator) for n, factor in zip(units, ratio, strict=True))
    output = output[(slice(None), *fine)]
    source = crop.source[(slice(None), *coarse)] if measured and crop.source is not None else None
    reference = crop.reference[(slice(None), *fine)] if referred and crop.reference is not None else None
    shape = output.shape[1:]
    frame = Frame(
        bands=len(output),
        band_names=tuple(scene.band_names[band] for band in crop.place.bands),
        shape=shape,
        pixel_size=tuple(scene.output.pixel_sizes[a] for a in axes),
        unit=scene.subjects.frame.unit,
        dtype=output.dtype.name,
        cell=choose_cell(shape, bands=len(output), itemsize=output.dtype.itemsize, ratio=ratio if measured else ()),
        has_reference=reference is not None,
        has_measured=source is not None,
        ratio=ratio if measured else tuple(factor / factor for factor in ratio),
    )
    return frame, output, source, reference


def _settings(scene: Scene, crop: Crop) -> Settings:
    low, high = scene.span(crop.place.bands[0])
    points = any(scene.plan.lattice.axes[a].sampling == "point" for a in crop.place.axes)
    return Settings(
        data_range=high - low if np.dtype(scene.plan.out_dtype).kind == "f" else None,
        degradation="rows" if points else "area",
    )
