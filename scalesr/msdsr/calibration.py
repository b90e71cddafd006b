"""The spread between samples made a standard deviation that can be believed: how often the truth lies within it.

A spread s becomes the deviation d(s) that errors had where the spread was about s: a rising line through some knots,
our own choice. It is fitted on volumes whose truth is known, so that at each spread 68.3 % of the voxels that were not
measured lie within one standard deviation. How many lie within two is not fitted, and told: errors have heavier tails
than a normal distribution. Doing so at each spread, and not over all, keeps the promise in volumes with other shares of
empty and of structured voxels.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from scipy.optimize import isotonic_regression

from scalesr.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction
    from pathlib import Path

    from numpy.typing import ArrayLike, NDArray

    from scalesr.msdsr.sampling import Sampling

ONE = math.erf(1 / math.sqrt(2))
"""Share of a normal distribution within one standard deviation: 0.683."""
_PREFIX = "calibration."
_LEAST, _TINY = 100, 1e-12
_KNOTS, _ENOUGH = 24, 200
"""Knots at most, each of as many voxels, and voxels of a knot at least."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What makes a standard deviation of a spread between samples, for one way of drawing them."""

    spreads: tuple[float, ...]
    """Spreads of the knots, in normalised intensities, ascending."""
    deviations: tuple[float, ...]
    """What they become; never falling."""
    before: tuple[float, float]
    """Shares of voxels within one and two times the spread, in the volumes it was fitted on."""
    after: tuple[float, float]
    """Likewise, of the calibrated standard deviation."""
    voxels: int
    """How many voxels it was fitted on."""

    def __call__(self, spread: torch.Tensor) -> torch.Tensor:
        """Return the standard deviation for a normalised spread: beyond the outer knots in proportion."""
        knots, values = (
            torch.tensor(each, dtype=torch.float64, device=spread.device) for each in (self.spreads, self.deviations)
        )
        wide = spread.double().contiguous()
        above = torch.bucketize(wide, knots).clamp(1, max(len(knots) - 1, 1))
        low, high = (above - 1).clamp(max=len(knots) - 1), above.clamp(max=len(knots) - 1)
        share = (wide - knots[low]) / (knots[high] - knots[low]).clamp(min=_TINY)
        between = torch.lerp(values[low], values[high], share.clamp(0, 1))
        beyond = torch.ones_like(wide)
        if self.spreads[-1]:
            beyond = (wide / knots[-1]).clamp(min=1)
        if self.spreads[0]:
            beyond = beyond * (wide / knots[0]).clamp(max=1)
        found: torch.Tensor = (between * beyond).to(spread.dtype)
        return found


def coverage(error: ArrayLike, deviation: ArrayLike) -> tuple[float, float]:
    """Return which shares of errors are within one and two standard deviations."""
    apart, spread = np.abs(np.asarray(error, np.float64)), np.asarray(deviation, np.float64)
    return float(np.mean(apart <= spread)), float(np.mean(apart <= 2 * spread))


def fit(error: ArrayLike, spread: ArrayLike) -> Calibration:
    """Fit a calibration; the same arrays give the same one.

    Voxels are taken in the order of their spread, as many for each knot. A knot lies at their median spread, and has
    the deviation within which 68.3 % of the errors there lie.

    Parameters
    ----------
    error
        Mean of the samples minus truth, in normalised intensities, at voxels that were not measured.
    spread
        Standard deviation of the samples there, of the same shape.

    Raises
    ------
    ModelError
        There are fewer than 100 voxels, or values that are not finite.
    """
    apart = np.abs(np.asarray(error, np.float64)).ravel()
    spreads = np.asarray(spread, np.float64).ravel()
    if apart.shape != spreads.shape or len(apart) < _LEAST or not np.isfinite([apart.sum(), spreads.sum()]).all():
        raise ModelError(
            f"A calibration cannot be fitted to {len(apart)} errors and {len(spreads)} standard deviations.",
            remedy="Give at least 100 of each, as many of one as of the other, all finite.",
        )
    order = np.argsort(spreads, kind="stable")
    parts = np.array_split(order, max(1, min(_KNOTS, len(order) // _ENOUGH)))
    # The least spread is that of empty voxels, of which another volume may have far more.
    while len(parts[0]) >= 2 * _ENOUGH and len(parts) < 2 * _KNOTS:
        parts[:1] = np.array_split(parts[0], 2)
    knots: dict[float, list[NDArray[np.int64]]] = {}
    for part in parts:
        knots.setdefault(float(np.median(spreads[part])), []).append(part)
    deviations = [max(float(np.quantile(apart[np.concatenate(some)], ONE)), _TINY) for some in knots.values()]
    rising = isotonic_regression(deviations).x
    found = Calibration(
        spreads=tuple(knots),
        deviations=tuple(map(float, rising)),
        before=coverage(apart, spreads),
        after=(0.0, 0.0),
        voxels=len(apart),
    )
    return replace(found, after=coverage(apart, found(torch.from_numpy(spreads)).numpy()))


def name_of(sampling: Sampling, scale: Fraction) -> str:
    """Return under which name the metadata of weights hold the calibration for a way of drawing samples."""
    return f"{_PREFIX}scale={scale},{sampling.key}"


def stored(metadata: Mapping[str, str], sampling: Sampling, scale: Fraction) -> Calibration | None:
    """Return the calibration that a file of weights holds for a way of drawing samples, if any.

    Raises
    ------
    ModelError
        It cannot be read.
    """
    text = metadata.get(name_of(sampling, scale))
    if text is None:
        return None
    try:
        values: dict[str, Any] = json.loads(text)
        knots = {name: tuple(map(float, values.pop(name))) for name in ("spreads", "deviations")}
        shares: dict[str, Any] = {name: tuple(map(float, values.pop(name))) for name in ("before", "after")}
        found = Calibration(spreads=knots["spreads"], deviations=knots["deviations"], **shares, **values)
        assert len(found.spreads) == len(found.deviations) > 0
        return found  # noqa: TRY300 what is checked is part of what may fail
    except (ValueError, TypeError, KeyError, AssertionError) as error:
        raise ModelError(
            f"The calibration in the metadata of the weights cannot be read: {text!r}.",
            remedy="Calibrate the network anew.",
        ) from error


def store(path: Path, calibration: Calibration, *, sampling: Sampling, scale: Fraction) -> None:
    """Write a calibration into the metadata of a file of weights, in place of an earlier one.

    Raises
    ------
    ModelError
        The file is no safetensors.
    """
    try:
        with safe_open(path, framework="np") as file:
            metadata = dict(file.metadata() or {})
    except Exception as error:
        raise ModelError(f"{path} cannot be read: {error}", remedy="Name a file of safetensors.") from error
    beside = path.with_name(f"{path.name}.new")
    save_file(load_file(path), beside, metadata={**metadata, name_of(sampling, scale): json.dumps(asdict(calibration))})
    beside.replace(path)
