"""The spread between samples made a standard deviation that can be believed: how often the truth lies within it.

A spread becomes the deviation that errors had where the spread was about that, and where the measured planes differed
about as much: for each of some changes between planes a rising line through some knots, our own choice. It is fitted on
volumes whose truth is known, so that in each such part 68.3 % of the voxels that were not measured lie within one
standard deviation. How many lie within two is not fitted, and told: errors have heavier tails than a normal
distribution. Doing so part by part, and not over all, keeps the promise in volumes with other shares of empty and of
structured voxels; specimens differ less once the change between planes is known than by their spread alone.

A voxel whose samples are all the same has no spread: it was held at what the planes around it show (see
`scalesr.msdsr.bounds`). It is no part of the fit, and keeps a deviation of 0.
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
_CLASSES, _KNOTS, _ENOUGH = 12, 8, 200
"""Changes and knots of each at most, all of as many voxels, and voxels of a knot at least."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What makes a standard deviation of a spread between samples, for one way of drawing them."""

    changes: tuple[float, ...]
    """Changes between planes that there are knots for, in normalised intensities, ascending."""
    spreads: tuple[tuple[float, ...], ...]
    """For each of them, spreads of the knots, likewise."""
    deviations: tuple[tuple[float, ...], ...]
    """What they become; never falling."""
    before: tuple[float, float]
    """Shares of voxels within one and two times the spread, in the volumes it was fitted on."""
    after: tuple[float, float]
    """Likewise, of the calibrated standard deviation."""
    voxels: int
    """How many voxels it was fitted on."""

    def __call__(self, spread: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
        """Return the standard deviation for normalised spreads and changes of one shape.

        Beyond the outer knots of spreads it goes on in proportion, beyond those of changes it is that of the last.
        """
        wide, far = spread.double().contiguous(), change.double().contiguous()
        changes = torch.tensor(self.changes, dtype=torch.float64, device=spread.device)
        above = torch.bucketize(far, changes).clamp(1, max(len(changes) - 1, 1))
        low, high = (above - 1).clamp(max=len(changes) - 1), above.clamp(max=len(changes) - 1)
        share = ((far - changes[low]) / (changes[high] - changes[low]).clamp(min=_TINY)).clamp(0, 1)
        found = torch.zeros_like(wide)
        for number, (spreads, deviations) in enumerate(zip(self.spreads, self.deviations, strict=True)):
            weight = torch.where(low == number, 1 - share, 0.0) + torch.where(high == number, share, 0.0)
            found += weight * _along(wide, spreads, deviations)
        return found.to(spread.dtype)


def _along(wide: torch.Tensor, spreads: tuple[float, ...], deviations: tuple[float, ...]) -> torch.Tensor:
    """Return the deviations for spreads, by the line through some knots."""
    knots, values = (torch.tensor(each, dtype=torch.float64, device=wide.device) for each in (spreads, deviations))
    above = torch.bucketize(wide, knots).clamp(1, max(len(knots) - 1, 1))
    low, high = (above - 1).clamp(max=len(knots) - 1), above.clamp(max=len(knots) - 1)
    share = (wide - knots[low]) / (knots[high] - knots[low]).clamp(min=_TINY)
    between = torch.lerp(values[low], values[high], share.clamp(0, 1))
    return between * (wide / knots[-1].clamp(min=_TINY)).clamp(min=1) * (wide / knots[0].clamp(min=_TINY)).clamp(max=1)


def coverage(error: ArrayLike, deviation: ArrayLike) -> tuple[float, float]:
    """Return which shares of errors are within one and two standard deviations."""
    apart, spread = np.abs(np.asarray(error, np.float64)), np.asarray(deviation, np.float64)
    return float(np.mean(apart <= spread)), float(np.mean(apart <= 2 * spread))


def fit(error: ArrayLike, spread: ArrayLike, change: ArrayLike) -> Calibration:
    """Fit a calibration; the same arrays give the same one.

    Voxels are taken in the order of the change between planes, as many for each class, and in each in the order of
    their spread, as many for each knot. A knot lies at their median spread, and has the deviation within which 68.3 %
    of the errors there lie.

    Parameters
    ----------
    error
        Mean of the samples minus truth, in normalised intensities, at voxels that were not measured.
    spread
        Standard deviation of the samples there, of the same shape; voxels where it is 0 are left out.
    change
        Change between the measured planes there, see `scalesr.msdsr.change`, of the same shape.

    Raises
    ------
    ModelError
        There are fewer than 100 voxels with a spread, or values that are not finite.
    """
    apart, spreads, changes = (np.asarray(values, np.float64).ravel() for values in (error, spread, change))
    if (
        not len(apart) == len(spreads) == len(changes)
        or not np.isfinite([apart.sum(), spreads.sum(), changes.sum()]).all()
    ):
        raise ModelError(
            f"A calibration cannot be fitted to {len(apart)} errors, {len(spreads)} standard deviations and "
            f"{len(changes)} changes.",
            remedy="Give as many of one as of the others, all finite.",
        )
    settled = spreads == 0
    apart, spreads, changes = np.abs(apart[~settled]), spreads[~settled], changes[~settled]
    if len(apart) < _LEAST:
        raise ModelError(
            f"A calibration cannot be fitted to {len(apart)} voxels whose samples differ.",
            remedy=f"Give at least {_LEAST}: a larger volume.",
        )
    parts = np.array_split(np.argsort(changes, kind="stable"), max(1, min(_CLASSES, len(apart) // (_KNOTS * _ENOUGH))))
    classes: dict[float, list[NDArray[np.int64]]] = {}
    for part in parts:
        classes.setdefault(float(np.median(changes[part])), []).append(part)
    lines = [_line(apart[some], spreads[some], len(own)) for own in classes.values() for some in [np.concatenate(own)]]
    found = Calibration(
        changes=tuple(classes),
        spreads=tuple(knots for knots, _ in lines),
        deviations=tuple(values for _, values in lines),
        before=coverage(apart, spreads),
        after=(0.0, 0.0),
        voxels=len(apart),
    )
    after = found(torch.from_numpy(spreads), torch.from_numpy(changes)).numpy()
    return replace(found, after=coverage(apart, after))


def _line(
    apart: NDArray[np.float64], spreads: NDArray[np.float64], classes: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return spreads and deviations of the knots of some classes together."""
    order = np.argsort(spreads, kind="stable")
    knots: dict[float, list[NDArray[np.int64]]] = {}
    for part in np.array_split(order, max(1, min(classes * _KNOTS, len(order) // _ENOUGH))):
        knots.setdefault(float(np.median(spreads[part])), []).append(part)
    deviations = [max(float(np.quantile(apart[np.concatenate(some)], ONE)), _TINY) for some in knots.values()]
    return tuple(knots), tuple(map(float, isotonic_regression(deviations).x))


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
        lines = {
            name: tuple(tuple(map(float, line)) for line in values.pop(name)) for name in ("spreads", "deviations")
        }
        rest: dict[str, Any] = {name: tuple(map(float, values.pop(name))) for name in ("changes", "before", "after")}
        found = Calibration(spreads=lines["spreads"], deviations=lines["deviations"], **rest, **values)
        sizes = [[len(line) for line in lines[name]] for name in lines]
        assert sizes[0] == sizes[1]
        assert len(found.changes) == len(sizes[0]) > 0 < min(sizes[0])
        return found  # noqa: TRY300 what is checked is part of what may fail
    except (ValueError, TypeError, KeyError, AssertionError) as error:
        raise ModelError(
            f"The calibration in the metadata of the weights cannot be read: {text[:200]!r}.",
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
