"""How far two segmentations of the same ground agree, whatever their labels are called."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from scalesr.analysis.labels import MIXED, NOT_LABELLED, Labels, check_number, open_labels
from scalesr.analysis.tabular import Tabular
from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source


@dataclass(frozen=True, kw_only=True, eq=False)
class Agreement(Tabular):
    """How far two segmentations agree, from their contingency table. All figures follow from integers exactly."""

    first: tuple[int, ...]
    """Labels of the first segmentation, ascending."""
    second: tuple[int, ...]
    """Labels of the second segmentation, ascending."""
    table: NDArray[np.int64]
    """Pixels that have both labels, shape (first, second)."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Pixels that were not counted, by reason."""

    @property
    def n(self) -> int:
        """Pixels that count: those with a label in both."""
        return int(self.table.sum())

    @property
    def adjusted_rand(self) -> float:
        """Adjusted Rand index (Hubert and Arabie, Journal of Classification 2, 193, 1985).

        The share of pairs of pixels on which both agree, together or apart, corrected such that independent labels
        have 0 on average; 1 for equal partitions.
        """
        both, rows, columns = (
            sum(math.comb(int(n), 2) for n in counts)
            for counts in (self.table.ravel(), self.table.sum(axis=1), self.table.sum(axis=0))
        )
        pairs = math.comb(self.n, 2)
        if not pairs:
            return 1.0
        expected, most = Fraction(rows * columns, pairs), Fraction(rows + columns, 2)
        # All pixels in one part, or each in its own, in both: then they are equal.
        return 1.0 if most == expected else float((both - expected) / (most - expected))

    @property
    def mutual_information(self) -> float:
        """Mutual information of the labels over the mean of their entropies, 0 to 1.

        The variant with the arithmetic mean (Vinh, Epps and Bailey, Journal of Machine Learning Research 11, 2837,
        2010). It is not corrected for chance: with many small regions it is high for any labels.
        """
        share = self.table / self.n
        entropies = [_entropy(share.sum(axis=axis)) for axis in (1, 0)]
        mean = sum(entropies) / 2
        if not mean:
            return 1.0
        return max(0.0, min(1.0, (sum(entropies) - _entropy(share.ravel())) / mean))

    @property
    def matching(self) -> dict[int, int]:
        """For each label of the first the one of the second that it is matched with, such that most pixels agree.

        One to one, by the assignment that is best in all (Kuhn, Naval Research Logistics 2, 83, 1955). Labels that are
        left over have no entry.
        """
        rows, columns = linear_sum_assignment(self.table, maximize=True)
        return {self.first[a]: self.second[b] for a, b in zip(rows, columns, strict=True)}

    @property
    def accuracy(self) -> float:
        """Share of pixels whose labels are matched with each other."""
        rows, columns = linear_sum_assignment(self.table, maximize=True)
        return float(self.table[rows, columns].sum() / self.n)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each pair of matched regions: both labels, their pixels, and their Dice coefficient.

        Dice is twice the pixels of both over the pixels of each, added.
        """
        place = {label: k for k, label in enumerate(self.first)}, {label: k for k, label in enumerate(self.second)}
        rows = []
        for one, two in self.matching.items():
            a, b = place[0][one], place[1][two]
            both, mine, theirs = (int(n) for n in (self.table[a, b], self.table[a].sum(), self.table[:, b].sum()))
            rows.append(
                {
                    "first": one,
                    "second": two,
                    "pixels in first": mine,
                    "pixels in second": theirs,
                    "pixels in both": both,
                    "dice": 2 * both / (mine + theirs),
                }
            )
        return rows

    def plot(self, ax: Any) -> None:
        """Draw the contingency table into axes of matplotlib, each row as shares of the first's region."""
        share = self.table / np.maximum(self.table.sum(axis=1, keepdims=True), 1)
        ax.imshow(share, vmin=0, vmax=1, cmap="viridis")
        ax.set_xticks(range(len(self.second)), [str(label) for label in self.second])
        ax.set_yticks(range(len(self.first)), [str(label) for label in self.first])
        ax.set(xlabel="label of the second", ylabel="label of the first")


def agreement(first: Source, second: Source, *, storage_options: Mapping[str, Any] | None = None) -> Agreement:
    """Return how far two segmentations agree; memory does not grow with the images, and chunks do not show.

    Both have one label for each pixel, 0 for none: pixels without a label in either are left out and counted. The
    second may have finer pixels that divide those of the first evenly; a pixel of the first in which these do not
    agree is left out and counted.

    Parameters
    ----------
    first, second
        OME-Zarr images of integers.
    storage_options
        Handed to fsspec.

    Returns
    -------
    Agreement
        With the contingency table, and the figures that follow from it.

    Raises
    ------
    InputError
        The images are no labels, do not cover the same ground, or share no labelled pixel.
    """
    mine = open_labels(first, storage_options=storage_options)
    theirs = Labels.open(second, of=mine, storage_options=storage_options)
    pairs: Counter[tuple[int, int]] = Counter()
    mixed = total = 0
    for rows, columns, pixels in mine.cells():
        labels, lost = theirs.read(rows, columns)
        mixed, total = mixed + int(np.count_nonzero(lost)), total + labels.size
        names, places = zip(*(np.unique(part, return_inverse=True) for part in (pixels[0], labels)), strict=True)
        for name, cube in zip(names, (mine, theirs.cube), strict=True):
            check_number(len(name), where=cube.image.url)
        numbers = places[0].ravel() * len(names[1]) + places[1].ravel()
        counts = np.bincount(numbers, minlength=len(names[0]) * len(names[1]))
        for number in np.flatnonzero(counts):
            pairs[int(names[0][number // len(names[1])]), int(names[1][number % len(names[1])])] += int(counts[number])
    kept = {pair: count for pair, count in pairs.items() if all(pair)}
    if not kept:
        raise InputError(
            f"{mine.image.url} and {theirs.cube.image.url} have no pixel that is labelled in both.",
            remedy="Give labels that are not zero where a pixel belongs to a region.",
        )
    labels_of = [tuple(sorted({pair[k] for pair in kept})) for k in (0, 1)]
    for found, cube in zip(labels_of, (mine, theirs.cube), strict=True):
        check_number(len(found), where=cube.image.url)
    table = np.zeros((len(labels_of[0]), len(labels_of[1])), np.int64)
    for (a, b), count in kept.items():
        table[labels_of[0].index(a), labels_of[1].index(b)] = count
    missed = {MIXED: mixed, NOT_LABELLED: total - mixed - int(table.sum())}
    return Agreement(
        first=labels_of[0],
        second=labels_of[1],
        table=table,
        left_out={reason: count for reason, count in missed.items() if count},
    )


def _entropy(share: NDArray[np.float64]) -> float:
    some = share[share > 0]
    return float(-(some * np.log(some)).sum()) + 0.0
