"""Figures of metrics that are a mean over bands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalesr.metrics.measure import Measure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame


def band_measures(
    metric: str,
    values: Sequence[float | None],
    *,
    n: NDArray[np.int64],
    left_out: Mapping[str, NDArray[np.int64]],
    frame: Frame,
    note: str,
    undefined: str,
    kind: str = "mean of bands",
) -> list[Measure]:
    """Return the mean over the bands, then, where there are several, the figure of each.

    Parameters
    ----------
    metric
        Name of the metric.
    values
        Figure of each band, `None` where it has none.
    n
        On how many windows each stands.
    left_out
        What was left out of each band, by reason.
    frame
        What was measured.
    note
        What a reader must know of all of them.
    undefined
        Why a band has no figure.
    kind
        Which figure the mean is.
    """

    def of(value: float | None, kind: str, bands: Sequence[int], *, name: str | None, more: str) -> Measure:
        lost = {reason: sum(int(counts[band]) for band in bands) for reason, counts in left_out.items()}
        return Measure(
            metric=metric,
            kind=kind,
            value=value,
            n=sum(int(n[band]) for band in bands),
            left_out={reason: count for reason, count in lost.items() if count},
            band=name,
            note="; ".join(filter(None, [more, note])),
        )

    there = [value for value in values if value is not None]
    every = list(range(len(values)))
    lacking = len(values) - len(there)
    if not there:
        return [of(None, kind, every, name=None, more=undefined)]
    more = f"{lacking} of {len(values)} bands have no figure: {undefined}" if lacking else ""
    figures = [of(sum(there) / len(there), kind, every, name=None, more=more)]
    if len(values) > 1:
        figures += [
            of(value, "band", [band], name=frame.band_names[band], more=undefined if value is None else "")
            for band, value in enumerate(values)
        ]
    return figures
