"""Mean spectrum of each region of an image, and its spread."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.analysis.labels import MIXED, NOT_LABELLED, Labels, check_number
from scalesr.analysis.tabular import Tabular
from scalesr.analysis.walk import Walk
from scalesr.errors import InputError
from scalesr.metrics import ExactSum

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source
    from scalesr.images import SpectralAxis


@dataclass(frozen=True, kw_only=True, eq=False)
class MeanSpectra(Tabular):
    """Mean and spread of the spectra of each region."""

    labels: tuple[int, ...]
    """Of the regions, ascending."""
    n: tuple[int, ...]
    """Spectra of each region."""
    mean: NDArray[np.float64]
    """Shape (regions, bands), in the image's intensities."""
    deviation: NDArray[np.float64]
    """Standard deviation over the region's pixels (of the population, so divided by n), shape (regions, bands)."""
    band_names: tuple[str, ...]
    """One for each band."""
    spectral: SpectralAxis | None = None
    """What the bands are by number, where the image says so."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Pixels that were not counted, by reason."""

    def of(self, label: int) -> NDArray[np.float64]:
        """Return the mean spectrum of a region, shape (bands,).

        Raises
        ------
        InputError
            There is no such region.
        """
        if label not in self.labels:
            raise InputError(
                f"There is no region {label}; there are {', '.join(map(str, self.labels))}.",
                remedy="Ask for one of these.",
            )
        return np.asarray(self.mean[self.labels.index(label)])

    def angles_to(self, other: MeanSpectra) -> dict[int, float]:
        """Return the angle in degrees between the mean spectra of each region that both have, by label.

        0 where the spectra differ by brightness alone. Regions of which either spectrum is zero have no entry.

        Raises
        ------
        InputError
            The other spectra have another number of bands.
        """
        if other.mean.shape[1] != self.mean.shape[1]:
            raise InputError(
                f"Spectra of {self.mean.shape[1]} and of {other.mean.shape[1]} bands have no angle.",
                remedy="Compare images of the same bands.",
            )
        angles = {}
        for label in sorted(set(self.labels) & set(other.labels)):
            a, b = self.of(label), other.of(label)
            lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
            if all(lengths):
                # Half the angle from a sum and a difference keeps its digits where the spectra are nearly parallel,
                # which the arc cosine does not (Kahan, How futile are mindless assessments of roundoff, 2006).
                one, two = a / lengths[0], b / lengths[1]
                angles[label] = float(np.degrees(2 * np.arctan2(np.linalg.norm(one - two), np.linalg.norm(one + two))))
        return angles

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each region and band: label, band, position of the band, mean, deviation, n."""
        at = [None] * len(self.band_names) if self.spectral is None else self.spectral.values.tolist()
        return [
            {
                "label": label,
                "band": name,
                "position": at[band],
                "mean": float(self.mean[k, band]),
                "deviation": float(self.deviation[k, band]),
                "n": self.n[k],
            }
            for k, label in enumerate(self.labels)
            for band, name in enumerate(self.band_names)
        ]

    def plot(self, ax: Any, *, label: int, name: str | None = None) -> None:
        """Draw the mean spectrum of a region into axes of matplotlib, in a band of one standard deviation.

        Parameters
        ----------
        ax
            Axes of matplotlib.
        label
            Which region.
        name
            What the legend calls it; its label when not given.
        """
        mean, deviation = self.of(label), self.deviation[self.labels.index(label)]
        at = np.arange(len(mean)) if self.spectral is None else self.spectral.values
        order = np.argsort(at, kind="stable")
        (line,) = ax.plot(at[order], mean[order], label=name or f"region {label}")
        low, high = mean - deviation, mean + deviation
        ax.fill_between(at[order], low[order], high[order], color=line.get_color(), alpha=0.2, linewidth=0)
        ax.set(xlabel="band" if self.spectral is None else self.spectral.quantity, ylabel="intensity")


def mean_spectra(
    cube: Source, labels: Source, *, mask: Source | None = None, storage_options: Mapping[str, Any] | None = None
) -> MeanSpectra:
    """Return mean and standard deviation of the spectra of each region, in one pass over the image.

    The figures are the same bits for any chunks. Memory holds a stretch of the image and two spectra for each region.
    The deviation comes from sums of squares about zero: where it is less than 1e-6 of the mean, its digits are few.

    Parameters
    ----------
    cube
        OME-Zarr image with bands.
    labels
        Regions: integers on the cube's grid, or on one that divides its pixels evenly, so that a measurement and what
        was restored from it are asked about the same regions. A pixel that holds several labels is left out.
    mask
        Pixels that count are not zero in it, on the cube's grid. A ``mask`` that lies beside the cube's levels always
        counts.
    storage_options
        Handed to fsspec.

    Raises
    ------
    InputError
        The images do not cover the same ground, or no pixel has a label.
    """
    walk = Walk.open(cube, mask=mask, storage_options=storage_options)
    image = walk.cube
    regions = Labels.open(labels, of=image, storage_options=storage_options)
    counts: Counter[int] = Counter()
    sums: dict[int, ExactSum] = {}
    left: Counter[str] = Counter()
    for rows, columns, pixels, used in walk.cells():
        names, mixed = regions.read(rows, columns)
        left[MIXED] += int(np.count_nonzero(used & mixed))
        left[NOT_LABELLED] += int(np.count_nonzero(used & ~mixed & (names == 0)))
        names = np.where(used, names, 0)
        for label in np.unique(names[names != 0]).tolist():
            # Fancy indexing copies, so the sums see the same numbers in the same order whatever was read.
            spectra = pixels[:, names == label].astype(np.float64)
            counts[label] += spectra.shape[1]
            found = np.stack([spectra.sum(axis=1), np.square(spectra).sum(axis=1)])
            sums.setdefault(label, ExactSum((2, image.bands))).add(found)
        check_number(len(sums), where=regions.cube.image.url)
    if not counts:
        raise InputError(
            f"No pixel of {image.image.url} has a label in {regions.cube.image.url}.",
            remedy="Give labels that are not zero where a pixel belongs to a region.",
        )
    order = tuple(sorted(counts))
    n = np.array([counts[label] for label in order], np.float64)[:, None]
    first, second = np.moveaxis(np.stack([sums[label].value() for label in order]), 1, 0)
    mean = first / n
    return MeanSpectra(
        labels=order,
        n=tuple(counts[label] for label in order),
        mean=mean,
        deviation=np.sqrt(np.maximum(second / n - np.square(mean), 0)),
        band_names=image.band_names,
        spectral=image.spectral,
        left_out=walk.lost() | {reason: count for reason, count in left.items() if count},
    )
