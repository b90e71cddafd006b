"""Maps of arrays in memory, drawn cell by cell as the engine draws them, for the tests of the metrics."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.metrics import PixelMap
from scalesr.metrics.patch import Patch, measured_span
from scalesr.metrics.walk import context_of, gather, grid_of, patches, span

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.metrics import Frame, Metric


def draw(metric: Metric, frame: Frame, output: NDArray[Any], measured: NDArray[Any]) -> NDArray[np.float32]:
    """Return the map of a metric on the measured grid; every pixel is drawn once."""
    assert isinstance(metric, PixelMap)
    context = context_of([metric.statistic], frame)
    state = gather([metric.statistic], patches(frame, output, measured=measured, context=context))[metric.statistic]
    lead = getattr(metric, "lead", (0,) * frame.ndim)
    drawn = np.full(measured.shape, np.inf, np.float32)
    for index in product(*(range(n) for n in grid_of(frame))):
        spans = [span(frame, axis, cell, context=c) for axis, (cell, c) in enumerate(zip(index, context, strict=True))]
        below = [max(0, start - low) for (start, _, _), low in zip(spans, lead, strict=True)]
        fine = tuple(slice(low, end) for low, (_, _, end) in zip(below, spans, strict=True))
        coarse = tuple(slice(*measured_span(s.start, s.stop, r)) for s, r in zip(fine, frame.ratio, strict=True))
        patch = Patch(
            output=output[(slice(None), *fine)],
            measured=measured[(slice(None), *coarse)],
            reference=None,
            mask=None,
            start=tuple(below),
            cell=tuple(stop - low for low, (_, stop, _) in zip(below, spans, strict=True)),
            shape=frame.shape,
            ratio=frame.ratio,
        )
        own = tuple(
            slice(*measured_span(start, stop, r)) for (start, stop, _), r in zip(spans, frame.ratio, strict=True)
        )
        values = metric.pixels(patch, state, frame)
        assert np.isinf(drawn[(slice(None), *own)]).all()
        drawn[(slice(None), *own)] = values
    return drawn
