"""Measuring arrays in memory, for the tests of the metrics."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from scalesr.metrics import Frame, Measure, Settings, make_metrics
from scalesr.metrics.walk import choose_cell, context_of, finalized, gather, patches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def frame_of(
    output: NDArray[Any],
    *,
    reference: NDArray[Any] | None = None,
    measured: NDArray[Any] | None = None,
    cell: tuple[int, ...] | None = None,
    pixel_size: float = 0.5,
    settings: Settings = Settings(),  # noqa: B008 immutable
) -> Frame:
    """Return the frame of arrays of shape (bands, *space), with a pixel size in micrometres."""
    space = output.shape[1:]
    ratio = (
        tuple(Fraction(n, m) for n, m in zip(space, measured.shape[1:], strict=True)) if measured is not None else ()
    )
    shape = tuple(map(int, space))
    chosen = choose_cell(shape, bands=len(output), itemsize=output.dtype.itemsize, ratio=ratio, tile=settings.tile)
    return Frame(
        bands=len(output),
        band_names=tuple(map(str, range(len(output)))),
        shape=shape,
        pixel_size=(pixel_size,) * len(space),
        unit="micrometer",
        dtype=output.dtype.name,
        cell=cell or chosen,
        has_reference=reference is not None,
        has_measured=measured is not None,
        ratio=ratio or (Fraction(1),) * len(space),
    )


def measure_arrays(
    output: NDArray[Any],
    *names: str,
    reference: NDArray[Any] | None = None,
    measured: NDArray[Any] | None = None,
    mask: NDArray[np.bool_] | None = None,
    cell: tuple[int, ...] | None = None,
    settings: Settings = Settings(),  # noqa: B008 immutable
) -> list[Measure]:
    """Return the figures of arrays of shape (bands, *space)."""
    frame = frame_of(output, reference=reference, measured=measured, cell=cell, settings=settings)
    metrics = make_metrics(names, frame, settings)
    statistics = list(dict.fromkeys(metric.statistic for metric in metrics))
    context = context_of(statistics, frame)
    pieces = patches(frame, output, reference=reference, measured=measured, mask=mask, context=context)
    states = gather(statistics, pieces)
    return finalized(metrics, states, frame)


def figure(measures: list[Measure], metric: str, kind: str | None = None, *, band: str | None = None) -> Measure:
    """Return the one figure that is asked for: the first of a metric, or of a kind."""
    return next(
        m
        for m in measures
        if m.metric == metric and (kind is None or m.kind == kind) and (band is None or m.band == band)
    )
