"""What the figures of one image alone have in common: they are measured beside their controls, and judged by them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.metrics import tiles
from scalesr.metrics.controls import (
    NOT_NOISE,
    UNMEASURED,
    generator,
    interpolated_measurement,
    interpolated_noise,
    not_better,
    withheld,
)
from scalesr.metrics.curve import band_groups, resolutions
from scalesr.metrics.exact import ExactSum
from scalesr.metrics.rings import centre
from scalesr.metrics.state import Count, Rows, State
from scalesr.metrics.thresholds import quantile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame
    from scalesr.metrics.measure import Measure
    from scalesr.metrics.patch import Patch

NOISE, DRAW = 1, 2
"""Purposes of random numbers: the control's noise, and what the method itself draws."""
KINDS = {"image": "resolution", "noise": "control: noise", "cubic": "baseline: cubic"}


@dataclass(frozen=True, kw_only=True)
class SingleImage(ABC):
    """Gathers, over all tiles, the sums that one image's resolution is read from, for the image and its controls.

    The controls are noise, drawn on the measurement's grid and enlarged by the cubic kernel where there is a
    measurement, and the cubic interpolation of the measurement. Both depend on the tile's place alone.
    """

    tile: tuple[int, ...]
    """Edges of the tiles in pixels."""
    pixel_size: tuple[float, ...]
    """Size of a pixel along each axis."""

    @abstractmethod
    def sums(self, pixels: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        """Return what is added up over tiles; `rng` is the tile's own."""

    @abstractmethod
    def periods(self, sums: NDArray[np.float64], used: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the resolution from sums, shape (..., *sums), over so many tiles, shape (...)."""

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], *, like: NDArray[np.float64]) -> NDArray[Any]:  # noqa: ARG002 for those whose noise depends on the image
        """Return noise for the control of a tile."""
        return rng.standard_normal(shape)

    def usable(self, pixels: NDArray[np.float64]) -> bool:
        """Say whether there is anything to resolve in a tile."""
        centred = np.empty(pixels.shape)
        centre(pixels, centred)
        return bool(centred.any())

    @property
    def context(self) -> tuple[int, ...]:
        """Nothing: tiles lie inside their cell."""
        return (0,) * len(self.tile)

    def update(self, state: State, patch: Patch) -> State:
        """Add the tiles of one cell; those with missing pixels and flat ones are counted only."""
        bands = len(patch.output)
        missing, flat, used = (np.zeros(bands, np.int64) for _ in range(3))
        totals: dict[str, NDArray[np.float64]] = {}
        rows: dict[tuple[int, ...], NDArray[np.float64]] = {}
        for index, region in tiles.places(patch, self.tile):
            rows[index] = np.full(bands, np.nan)
            for band in range(bands):
                subjects = self._subjects(patch, band, index, region)
                if not subjects:
                    missing[band] += 1
                elif not self.usable(subjects["image"]):
                    flat[band] += 1
                else:
                    used[band] += 1
                    for name, pixels in subjects.items():
                        found = self.sums(pixels, generator(DRAW, patch, band, index))
                        total = totals.setdefault(name, np.zeros((bands, *found.shape)))
                        total[band] += found
                        if name == "image":
                            rows[index][band] = self.periods(found, np.ones((), np.int64))
        tiles.count_tiles(state, patch, self.tile, missing=missing, flat=flat)
        state.add("tiles", Count(used)).add("periods", Rows(rows))
        for name, total in totals.items():
            state.add(name, ExactSum(total.shape).add(total))
        return state

    def _subjects(
        self, patch: Patch, band: int, index: tuple[int, ...], region: tuple[slice, ...]
    ) -> Mapping[str, NDArray[np.float64]]:
        """Return the image's tile and those of its controls, none where a pixel is missing."""
        where: tuple[Any, ...] = (band, *region)
        if patch.missing is not None and patch.missing[where].any():
            return {}
        image = patch.output[where].astype(np.float64)
        rng = generator(NOISE, patch, band, index)
        noise = interpolated_noise(lambda shape: self.draw(rng, shape, like=image), patch, region)
        if patch.measured is None:
            return {"image": image, "noise": noise}
        cubic = interpolated_measurement(patch, band, region)
        return {} if cubic is None else {"image": image, "noise": noise, "cubic": cubic}


def judged(statistic: SingleImage, state: State, frame: Frame, *, metric: str, note: str) -> list[Measure]:
    """Return the figures of an image with those of its controls beside them, withheld where noise does as well.

    Parameters
    ----------
    statistic, state
        What was gathered.
    frame
        What was measured.
    metric
        Name of the metric.
    note
        How the figures came about.
    """
    used = state.counts("tiles", (frame.bands,))
    note = note if frame.has_measured else f"{note}; {UNMEASURED}"
    periods = {
        name: statistic.periods(state.sums(name), used) if name in state.parts else np.full(frame.bands, np.inf)
        for name in KINDS
        if name != "cubic" or frame.has_measured
    }
    reasons = [withheld(image, noise) for image, noise in zip(periods["image"], periods["noise"], strict=True)]
    failed = np.array([bool(reason) for reason in reasons])
    # A band that is no better than noise is not resolved, and counts as that in the median of the bands.
    kept = np.where(failed, np.inf, periods["image"])
    figures = []
    for measure, (bands, _) in zip(
        resolutions(kept, state, frame, metric=metric, note=note), band_groups(frame), strict=True
    ):
        have = used[bands] > 0
        reason = _reason(reasons[bands])
        if reason and measure.value is None:
            figures.append(replace(measure, note=f"{reason}; {note}"))
            continue
        beaten = ""
        if frame.has_measured and have.any():
            beaten = not_better(*(quantile(values[bands][have], 0.5) for values in (kept, periods["cubic"])))
        figures.append(replace(measure, note="; ".join(filter(None, (reason, beaten, measure.note)))))
    lacking = _reason(reasons) if failed.any() else "no tiles"
    controls = [
        measure
        for name in periods
        if name != "image"
        for measure in resolutions(periods[name], state, frame, metric=metric, kind=KINDS[name], note=note)
    ]
    spread = tiles.spread(state, frame, metric=metric, note=note, kept=~failed, lacking=lacking)
    return [figures[0], *controls, *figures[1:], *spread]


def _reason(reasons: list[str]) -> str:
    """Return why the figures of some bands are withheld, nothing where none is."""
    failed = [reason for reason in reasons if reason]
    if not failed or len(reasons) == 1:
        return "".join(failed)
    return f"{len(failed)} of {len(reasons)} bands {NOT_NOISE}"
