"""Gathering the features of patches: their moments for Frechet distances, and a sample of them for kernel distances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scalesr.errors import InputError
from scalesr.metrics.cutting import Cut, Scale, context_for, equalised, origins, patches_of
from scalesr.metrics.exact import ExactSum
from scalesr.metrics.features import BATCH, extract, open_extractor
from scalesr.metrics.state import Count, Rows, State

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.patch import Patch

KEEP = 10_000
"""Features kept of each cut for kernel distances."""
COUNTS = ("taken", "not finite or masked", "cut patches", "features not finite", "clipped pixels")
_COLUMNS = 128


@dataclass(frozen=True, kw_only=True)
class FeatureSums:
    """Sums f and f f^T of the features f of all patches of some cuts, and the features of up to `KEEP` of them.

    Both are gathered by one statistic, since taking the features costs far more than either. The sums are exact, and
    the products of a cell are added in a fixed order by one thread, so no bit depends on blocks, workers or threads of
    the linear algebra library; what the extractor computes is for its program and its threads to keep the same.
    """

    features: str
    """Choice of the extractor, see `scalesr.metrics.features`."""
    sha256: str
    """Hash of the extractor."""
    label: str
    """Name of the extractor, for figures."""
    dimension: int
    """Features of a patch."""
    cuts: tuple[Cut, ...]
    """How which image is cut."""
    bands: Literal["apart", "together"]
    """Each band a grey patch of its own, or three of them one patch in colour."""
    scale: Scale | None
    """How intensities come to [0, 1]; `None`: each patch is equalised."""
    context: tuple[int, ...]
    """Pixels above the cell that its last patches reach into; zeros where patches fit the cells."""

    @classmethod
    def of(
        cls, frame: Frame, settings: Settings, cuts: tuple[Cut, ...], *, look: Literal["plain", "equalised"]
    ) -> FeatureSums:
        """Return the statistic of some cuts; the extractor is loaded to see whether it takes their patches.

        Raises
        ------
        InputError
            There is no reference or no data range, or the extractor does not take such patches.
        ModelError
            The extractor cannot be loaded.
        """
        if not frame.has_reference:
            raise InputError(
                "A distance between distributions needs a second image, and there is no reference.",
                remedy="Give the reference, of the same grid as the output.",
            )
        scale = Scale.of(frame, settings) if look == "plain" else None
        edges = sorted({cut.edge for cut in cuts})
        extractors = [open_extractor(settings.features, edge=edge) for edge in edges]
        first, sha256 = extractors[0]
        for edge, (other, _) in zip(edges, extractors, strict=True):
            if (other.dimension, other.colour) != (first.dimension, first.colour):
                raise InputError(
                    f"The features '{first.name}' are {first.dimension} for patches of {edges[0]} pixels and "
                    f"{other.dimension} for patches of {edge}.",
                    remedy="Use features that do not depend on the size, or a measure of one size of patches.",
                )
        in_colour = frame.bands == 3 and frame.dtype == "uint8" and first.colour == "rgb"
        return cls(
            features=settings.features,
            sha256=sha256,
            label=first.name,
            dimension=first.dimension,
            cuts=cuts,
            bands="together" if in_colour else "apart",
            scale=scale,
            context=context_for(frame, cuts),
        )

    def update(self, state: State, patch: Patch) -> State:
        """Add the patches that begin in a cell."""
        for cut in self.cuts:
            features, places, counts = self._features(patch, cut)
            state.add(f"{cut.name} counts", Count(counts))
            if places:
                sums = np.concatenate([features.sum(axis=0), _products(features)])
                state.add(f"{cut.name} sums", ExactSum(sums.shape).add(sums))
                rows = dict(zip(places, features.astype(np.float32), strict=True))
                state.add(f"{cut.name} rows", Rows(rows, keep=KEEP))
        return state

    def count(self, state: State, cut: str, what: str) -> int:
        """Return one of the `COUNTS` of a cut; all but the last are of patches."""
        return int(state.counts(f"{cut} counts", (len(COUNTS),))[COUNTS.index(what)])

    def moments(self, state: State, cut: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the mean, shape (D,), and the unbiased covariance, shape (D, D), of at least two features."""
        size, n = self.dimension, self.count(state, cut, "taken")
        sums = state.sums(f"{cut} sums")
        mean = sums[:size] / n
        upper = np.zeros((size, size))
        upper[np.triu_indices(size)] = sums[size:]
        products = upper + np.triu(upper, 1).T
        return mean, (products - n * np.outer(mean, mean)) / (n - 1)

    def sample(self, state: State, cut: str) -> NDArray[np.float64]:
        """Return the features that were kept, in the order of their places, shape (n, D)."""
        rows = state.rows(f"{cut} rows")
        return np.array(list(rows.values()), np.float64).reshape(len(rows), self.dimension)

    def left_out(self, state: State, *cuts: str) -> dict[str, int]:
        """Return how many patches of some cuts did not count, by reason and cut."""
        found = {}
        for cut in cuts:
            for reason in COUNTS[1:4]:
                if count := self.count(state, cut, reason):
                    found[f"{reason}, {cut}"] = count
        return found

    def _features(self, patch: Patch, cut: Cut) -> tuple[NDArray[np.float64], list[tuple[int, ...]], NDArray[np.int64]]:
        extractor, _ = open_extractor(self.features, edge=cut.edge, sha256=self.sha256)
        groups = len(patch.output) if self.bands == "apart" else 1
        missing = clipped = 0
        places: list[tuple[int, ...]] = []
        found: list[NDArray[np.float64]] = []
        waiting: list[NDArray[np.float32]] = []
        for place, pixels in patches_of(patch, cut, bands=self.bands):
            if pixels is None:
                missing += 1
                continue
            shown, over = self._shown(pixels)
            clipped += over
            places.append(place)
            waiting.append(shown)
            if len(waiting) == BATCH:
                found.append(extract(extractor, np.stack(waiting)))
                waiting = []
        if waiting:
            found.append(extract(extractor, np.stack(waiting)))
        features = np.concatenate([np.zeros((0, self.dimension)), *found])
        fine = np.isfinite(features).all(axis=1)
        places = [place for place, good in zip(places, fine, strict=True) if good]
        cut_off = groups * origins(patch, cut)[1]
        counts = np.array([len(places), missing, cut_off, np.count_nonzero(~fine), clipped])
        return features[fine], places, counts

    def _shown(self, pixels: NDArray[Any]) -> tuple[NDArray[np.float32], int]:
        return (equalised(pixels), 0) if self.scale is None else self.scale(pixels)


def _products(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the upper triangle of f f^T, summed over the features of a cell, row after row.

    By numpy's own loops: the last bits of a matrix product of BLAS depend on its threads.
    """
    size = features.shape[1]
    products = np.zeros((size, size))
    for start in range(0, size, _COLUMNS):
        stop = start + _COLUMNS
        products[start:stop, start:] = np.einsum("ni,nj->ij", features[:, start:stop], features[:, start:])
    return products[np.triu_indices(size)]
