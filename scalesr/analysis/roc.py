"""Receiver operating characteristic from histograms of scores: exact for the scores as they are binned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 2**16
"""Scores are told apart in so many steps."""
REACH = 32.0
"""Scores are log-odds; those beyond this, either way, count as equal: odds of 1 to 8e13."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Roc:
    """How well scores tell one class from all others, at every threshold."""

    label: int
    """The class that is told from the others."""
    false_positives: NDArray[np.float64]
    """Share of the others at or above each threshold, from 0 to 1."""
    true_positives: NDArray[np.float64]
    """Share of the class at or above each threshold, from 0 to 1."""
    thresholds: NDArray[np.float64]
    """Log-odds, falling; the first is infinite."""
    auc: float | None
    """Area under the curve: the chance that a pixel of the class scores higher than one of the others, where ties count
    one half. `None` where either has no pixel."""
    positives: int
    """Pixels of the class."""
    negatives: int
    """Pixels of the others."""

    def plot(self, ax: Any, *, name: str | None = None) -> None:
        """Draw the curve into axes of matplotlib."""
        area = "undefined" if self.auc is None else f"{self.auc:.3f}"
        ax.plot(self.false_positives, self.true_positives, label=f"{name or f'class {self.label}'} (AUC {area})")
        ax.plot([0, 1], [0, 1], color="0.7", linewidth=0.8, zorder=0)
        ax.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
        ax.legend()


def bins_of(log_odds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bins of scores, 0 to `BINS` - 1, rising with the score."""
    share = (np.clip(log_odds, -REACH, REACH) + REACH) / (2 * REACH)
    return np.rint(share * (BINS - 1)).astype(np.int64)


def roc_of(label: int, others: NDArray[np.int64], own: NDArray[np.int64]) -> Roc:
    """Return the curve of a class.

    Parameters
    ----------
    label
        The class.
    others, own
        Pixels of all other classes and of this one in each bin, shape (`BINS`,).
    """
    filled = np.flatnonzero(others + own)[::-1]
    false, true = others[filled], own[filled]
    negatives, positives = int(false.sum()), int(true.sum())
    above = np.cumsum(true) - true
    # Twice the number of pairs in which the class scores higher: whole numbers, beyond int64 for large images.
    pairs = sum(int(n) * (2 * int(a) + int(t)) for n, a, t in zip(false, above, true, strict=True))
    auc = pairs / (2 * positives * negatives) if positives and negatives else None
    return Roc(
        label=label,
        false_positives=_shares(false, negatives),
        true_positives=_shares(true, positives),
        thresholds=np.concatenate([[np.inf], filled / (BINS - 1) * (2 * REACH) - REACH]),
        auc=auc,
        positives=positives,
        negatives=negatives,
    )


def _shares(counts: NDArray[np.int64], total: int) -> NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(counts) / max(total, 1)])
