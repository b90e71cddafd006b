"""Seams: steps at the borders of the tiles that an output was made of, compared with the steps elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.errors import InputError
from scalesr.metrics.exact import ExactSum
from scalesr.metrics.measure import Measure
from scalesr.metrics.state import Count, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.patch import Patch

SLAB = 2**16
"""Pixels that are worked on at a time: they stay in the cache of a core."""
LEAST = 5
"""Shortest period: a border, a step on each side of it that it spoils, one for the control, and one that is none."""
CLASSES = BORDER, SHIFTED, REST, BESIDE = range(4)
"""Where a step lies."""
GRADIENT, CURVATURE = range(2)
"""What is summed of it."""


@dataclass(frozen=True)
class Steps:
    """Sums of steps between neighbours along each axis of space, for each band, by where they lie.

    Of a step and its two neighbours on the line, d[i-1], d[i] and d[i+1], two things are summed: |d[i]|, the gradient,
    and |d[i] - (d[i-1] + d[i+1]) / 2|, the part that a smooth image does not explain. A step is across a border, half a
    period further (the control), directly beside a border, which the second sum mixes with it, or elsewhere.
    """

    period: tuple[int, ...]
    offset: tuple[int, ...]

    @property
    def context(self) -> tuple[int, ...]:
        """Four pixels make three steps."""
        return (3,) * len(self.period)

    def update(self, state: State, patch: Patch) -> State:
        """Add the steps of a cell: the first pixel of the four lies in it."""
        bands, ndim = len(patch.output), len(self.period)
        sums = np.zeros((bands, ndim, 2, len(CLASSES)))
        n = np.zeros((bands, ndim, len(CLASSES)), np.int64)
        seen, missed = np.zeros((2, bands, ndim), np.int64)
        absent = replace(patch, reference=None).missing
        for axis, cell in enumerate(patch.cell):
            lines = math.prod(patch.cell) // cell
            seen[:, axis] = lines * min(cell, patch.shape[axis] - 1 - patch.start[axis])
            length = min(cell, patch.output.shape[axis + 1] - 3)
            if length <= 0:
                continue
            own = tuple(slice(0, length + 3 if other == axis else n) for other, n in enumerate(patch.cell))
            classes = self._classes(axis, patch.start[axis] + 2 + np.arange(length))
            for band in range(bands):
                here: tuple[Any, ...] = (band, *own)
                missing = None if absent is None else absent[here]
                profiles, counts = _profiles(patch.output[here], missing, axis=axis)
                missed[band, axis] = lines * length - np.sum(counts)
                for number in CLASSES:
                    chosen = classes == number
                    sums[band, axis, :, number] = np.sum(profiles[:, chosen], axis=1)
                    n[band, axis, number] = np.sum(counts[chosen])
        state.add("n", Count(n)).add("seen", Count(seen)).add("missed", Count(missed))
        return state.add("sums", ExactSum(sums.shape).add(sums))

    def _classes(self, axis: int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where steps lie, by the position of the upper of their two pixels."""
        period = self.period[axis]
        place = (positions - self.offset[axis]) % period
        return np.select(
            [place == 0, (place == 1) | (place == period - 1), place == period // 2], [BORDER, BESIDE, SHIFTED], REST
        )


def _profiles(
    pixels: NDArray[Any], missing: NDArray[np.bool_] | None, *, axis: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the sums of both kinds of steps over all lines along an axis, shape (2, steps), and how many were summed.

    Steps with a missing pixel among their four are left out.
    """
    size = pixels.shape[axis] - 3
    profiles, counts = np.zeros((2, size)), np.zeros(size, np.int64)
    across = 0 if axis else 1
    others = tuple(other for other in range(pixels.ndim) if other != axis)
    width = max(1, SLAB * pixels.shape[across] // pixels.size)

    def along(start: int, stop: int) -> tuple[slice, ...]:
        return (*(slice(None),) * axis, slice(start, stop))

    for start in range(0, pixels.shape[across], width):
        slab = (*(slice(None),) * across, slice(start, start + width))
        values = pixels[slab].astype(np.float64, order="C")
        bad = None if missing is None else missing[slab]
        if bad is not None and bad.any():
            values[bad] = 0.0
            spoiled = bad[along(0, size)] | bad[along(1, size + 1)] | bad[along(2, size + 2)] | bad[along(3, size + 3)]
        else:
            spoiled = None
        steps = np.diff(values, axis=axis)
        middle = steps[along(1, size + 1)]
        expected = steps[along(0, size)] + steps[along(2, size + 2)]
        expected *= 0.5
        for number, term in ((CURVATURE, np.abs(middle - expected)), (GRADIENT, np.abs(middle))):
            if spoiled is not None:
                term[spoiled] = 0.0
            profiles[number] += np.sum(term, axis=others)
        counts += middle.size // size if spoiled is None else np.sum(~spoiled, axis=others)
    return profiles, counts


@dataclass(frozen=True)
class Seam:
    """Mean step across the borders of tiles over the mean step elsewhere: 1 where nothing shows.

    Of several axes and bands, the sum of the steps across borders is compared with what the mean steps elsewhere, along
    the same axis and in the same band, make of as many. Borders that cross-fade over a ramp have no step: their seams
    are wide, and score less.
    """

    statistic: Steps
    name: str = "seam"

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return the figures of all axes and of each, the control, and both by curvature; then of each band."""
        axes = "zyx"[-frame.ndim :]
        every, along = slice(None), {f"axis {name}": slice(k, k + 1) for k, name in enumerate(axes)}
        figures = [self._figure(state, frame, "combined", every)]
        figures += [self._figure(state, frame, kind, axis) for kind, axis in along.items()]
        figures.append(self._figure(state, frame, "control: shifted", every, where=SHIFTED))
        figures.append(self._figure(state, frame, "curvature", every, what=CURVATURE))
        figures.append(self._figure(state, frame, "control: shifted curvature", every, where=SHIFTED, what=CURVATURE))
        for band in range(frame.bands if frame.bands > 1 else 0):
            figures.append(self._figure(state, frame, "combined", every, band=band))
            figures.append(self._figure(state, frame, "curvature", every, band=band, what=CURVATURE))
        return figures

    def _figure(
        self,
        state: State,
        frame: Frame,
        kind: str,
        axes: slice,
        *,
        band: int | None = None,
        where: int = BORDER,
        what: int = GRADIENT,
    ) -> Measure:
        some = (slice(None) if band is None else slice(band, band + 1), axes)
        shape = (frame.bands, frame.ndim)
        n = state.counts("n", (*shape, len(CLASSES)))[some]
        sums = state.sums("sums", (*shape, 2, len(CLASSES)))[some][:, :, what]
        elsewhere = [REST, SHIFTED] if where == BORDER else [REST]
        others, total = n[..., elsewhere].sum(-1), sums[..., elsewhere].sum(-1)
        usable = others > 0
        across = int(n[..., where][usable].sum())
        expected = float(np.sum(n[..., where][usable] * total[usable] / others[usable]))
        seen, missed = (int(state.counts(name, shape)[some].sum()) for name in ("seen", "missed"))
        out = {
            "not finite or masked": missed,
            "border": seen - missed - int(n.sum()),
            "beside borders of tiles": int(n[..., BESIDE].sum()),
        }
        period, offset = (" x ".join(map(str, each)) for each in (self.statistic.period, self.statistic.offset))
        notes = [f"tiles of {period} pixels from {offset} on", f"compared with {int(others.sum())} steps elsewhere"]
        if where == SHIFTED:
            notes.insert(0, "half a period beside the borders, where 1 is expected")
        if what == CURVATURE:
            notes.insert(0, "steps less the mean of their neighbours")
        if across == 0:
            notes.insert(0, "no such border inside the image")
        elif expected == 0:
            notes.insert(0, "the image has no steps elsewhere")
        return Measure(
            metric=self.name,
            kind=kind,
            value=float(np.sum(sums[..., where][usable])) / expected if expected > 0 else None,
            n=across,
            left_out={reason: count for reason, count in out.items() if count},
            band=None if band is None else frame.band_names[band],
            note="; ".join(notes),
        )


def make_seam(frame: Frame, settings: Settings) -> Seam:
    """Return the metric.

    Raises
    ------
    InputError
        Where the borders are is not known, or tiles are smaller than 5 pixels.
    """
    if settings.seam_period is None:
        raise InputError(
            "Where the borders of tiles are is not known: the output's ledger does not say.",
            remedy="Give the pixels from one to the next along each axis of space with --seam-period.",
        )
    period = _checked("--seam-period", settings.seam_period, frame, least=LEAST)
    offset = _checked("--seam-offset", settings.seam_offset or (0,) * frame.ndim, frame, least=0)
    return Seam(Steps(period, tuple(o % p for o, p in zip(offset, period, strict=True))))


def _checked(option: str, given: Sequence[int], frame: Frame, *, least: int) -> tuple[int, ...]:
    if len(given) != frame.ndim or min(given) < least:
        raise InputError(
            f"{option} is {', '.join(map(str, given))}, for an image with {frame.ndim} axes of space.",
            remedy=f"Give {frame.ndim} numbers of at least {least}; the image's size where an axis has no borders.",
        )
    return tuple(given)
