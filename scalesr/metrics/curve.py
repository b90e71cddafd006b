"""A Fourier ring correlation as a curve, and the resolutions that are read from curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalesr.metrics.measure import Measure
from scalesr.metrics.rings import correlation_of
from scalesr.metrics.thresholds import crossing, period_of, quantile, threshold_of, told
from scalesr.metrics.tiles import left_out

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame, Threshold
    from scalesr.metrics.rings import Rings
    from scalesr.metrics.state import State


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """Correlation against spatial frequency, for each band, over all tiles."""

    frequency: NDArray[np.float64]
    """Of the rings, in cycles per unit of the pixel size, shape (rings,); the first is the mean."""
    correlation: NDArray[np.float64]
    """Shape (bands, rings)."""
    n: NDArray[np.int64]
    """Fourier pixels that it stands on, shape (bands, rings)."""
    threshold: NDArray[np.float64]
    """Below which a ring counts as lost, shape (bands, rings)."""

    @property
    def periods(self) -> NDArray[np.float64]:
        """Resolution of each band, shape (bands,); see `scalesr.metrics.thresholds` for 0 and infinity."""
        return period_of(crossing(self.frequency, self.correlation, self.threshold))


def curve_of(sums: NDArray[np.float64], used: NDArray[np.int64], *, rings: Rings, threshold: Threshold) -> Curve:
    """Return the curve of sums over tiles.

    Parameters
    ----------
    sums
        Those of `Rings.correlate`, shape (bands, 3, rings).
    used
        Tiles of each band.
    rings
        Geometry of a tile.
    threshold
        Which threshold.
    """
    n = used[:, None] * rings.n
    return Curve(frequency=rings.frequency, correlation=correlation_of(sums), n=n, threshold=threshold_of(threshold, n))


def band_groups(frame: Frame) -> list[tuple[slice, str | None]]:
    """Return all bands together and then each on its own, with its name; an only band once, without a name."""
    each = [(slice(band, band + 1), frame.band_names[band]) for band in range(frame.bands)]
    return [(slice(None), None), *(each if frame.bands > 1 else [])]


def resolutions(
    periods: NDArray[np.float64], state: State, frame: Frame, *, metric: str, kind: str = "resolution", note: str
) -> list[Measure]:
    """Return the resolution of all bands, which is the median of theirs, and then that of each.

    Parameters
    ----------
    periods
        One for each band.
    state
        With the counts of the tiles: ``tiles``, and those that were left out.
    frame
        What was measured.
    metric, kind
        Name of the metric and of the figure.
    note
        What is said of each figure.
    """
    used = state.counts("tiles", (frame.bands,))
    measures = []
    for bands, name in band_groups(frame):
        have = periods[bands][used[bands] > 0]
        value, remark = told(quantile(have, 0.5)) if len(have) else (None, "no tiles")
        pooled = "median of the bands" if name is None and frame.bands > 1 else ""
        measures.append(
            Measure(
                metric=metric,
                kind=kind if name is None else "band" if kind == "resolution" else kind,
                value=value,
                unit=frame.unit or "",
                n=int(used[bands].sum()),
                left_out=left_out(state, bands, total=frame.bands),
                band=name,
                note="; ".join(filter(None, (remark, pooled, note))),
            )
        )
    return measures


def basis(*, threshold: Threshold, window: str, tile: tuple[int, ...]) -> str:
    """Return how a curve came about, for the note of a figure."""
    return f"threshold {threshold}, window {window}, tiles of {' x '.join(map(str, tile))} px"
