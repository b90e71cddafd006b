"""The metrics by name. Adding one is a file and an entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from scalesr.errors import InputError
from scalesr.metrics.frame import Frame, Settings
from scalesr.metrics.metric import Metric

Maker = Callable[[Frame, Settings], Metric]
"""Makes a metric for the images and settings at hand, or refuses with an `InputError`."""

MAKERS: Mapping[str, Maker] = {}
"""One entry for each metric, in the order of a report."""


def make_metrics(names: Sequence[str], frame: Frame, settings: Settings) -> list[Metric]:
    """Return the metrics of some names.

    Raises
    ------
    InputError
        A name is unknown, or a metric cannot be measured on these images with these settings.
    """
    unknown = [name for name in names if name not in MAKERS]
    if unknown:
        raise InputError(
            f"There is no metric named {', '.join(map(repr, unknown))}.", remedy=f"Choose from: {', '.join(MAKERS)}."
        )
    return [MAKERS[name](frame, settings) for name in dict.fromkeys(names)]
