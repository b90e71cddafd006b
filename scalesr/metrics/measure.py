"""One figure, with everything that is needed to judge it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One figure of one metric."""

    metric: str
    """Name of the metric, as asked for."""
    kind: str
    """Which of its figures: ``mean of bands``, ``whole cube``, ``band``, ``control: noise`` ..."""
    value: float | None
    """The figure; `None` where it is not defined, and then `note` says why."""
    unit: str = ""
    """Unit of the figure: ``dB``, ``degree``, ``micrometer`` ...; empty for plain numbers."""
    n: int
    """How many pixels, spectra, tiles or samples it stands on."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """What was not counted, by reason: ``not finite or masked``, ``zero spectra``, ``border``, ``cut tiles`` ...

    Reasons for which nothing was left out are not listed."""
    band: str | None = None
    """The band that it is of; `None` for all."""
    where: str = ""
    """The plane or the field that it is of; empty for the whole image."""
    note: str = ""
    """What a reader must know to not be misled: ``identical``, ``at or below Nyquist``, ``too few samples`` ..."""

    def placed(self, where: str) -> Measure:
        """Return the same figure, said of a plane or a field."""
        return replace(self, where=where)

    def to_json(self) -> dict[str, Any]:
        """Return the figure as JSON can hold it; an infinite one is a text."""
        value = self.value
        if value is None or math.isfinite(value):
            return {**self.__dict__, "left_out": dict(self.left_out)}
        return {**self.__dict__, "value": "infinite" if value > 0 else "-infinite", "left_out": dict(self.left_out)}
