"""Clusters of spectra: found on a sample of an image, and told for any spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, get_args

import numpy as np

from scalesr.analysis.components import Components, Scaling
from scalesr.analysis.packages import need
from scalesr.analysis.sampling import Sample
from scalesr.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.analysis.walk import Walk

Method: TypeAlias = Literal["pca+kmeans", "umap+kmeans"]
"""``pca+kmeans``: clusters among principal components. ``umap+kmeans``: clusters in a plane that keeps neighbours
together (McInnes, Healy and Melville, arXiv 1802.03426), made of the components."""

SAMPLE = {"pca+kmeans": 2**16, "umap+kmeans": 2**13}
"""Pixels that clusters are found on. UMAP's time grows faster than their number."""
STARTS = 10
"""k-means is started so often, and the best is taken."""
MOST = 255
"""More do not fit the number format of the labels."""


class Embedding(Protocol):
    """Something that takes components to where clusters are looked for."""

    def transform(self, scores: NDArray[np.float64]) -> NDArray[Any]:
        """Return the places of pixels, shape (pixels, dimensions), from components of shape (pixels, components)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Clusters:
    """Clusters of the spectra of one image, which can label the spectra of any image of the same bands."""

    components: Components
    """What the spectra are reduced to."""
    centres: NDArray[np.float64]
    """Where the clusters lie, shape (k, dimensions): among the components, or in UMAP's plane. That of the most pixels
    of the sample comes first."""
    method: Method
    """How they were found."""
    embedding: Embedding | None = None
    """What UMAP has learnt; `None` where clusters lie among the components themselves."""

    @classmethod
    def fit(cls, walk: Walk, *, k: int, method: Method, components: int, scaling: Scaling, seed: int) -> Clusters:
        """Find clusters, in three passes over the image: means, sums of products of bands, a sample of pixels.

        Raises
        ------
        InputError
            Numbers out of range, no differing spectra, or fewer pixels than clusters.
        PlanError
            scikit-learn, or umap-learn, is not installed.
        """
        if method not in get_args(Method) or not 2 <= k <= MOST or components < 1:
            raise InputError(
                f"{k} clusters by {method!r} on {components} components were asked for.",
                remedy=f"Choose 2 to {MOST} clusters, one component or more, and {' or '.join(get_args(Method))}.",
            )
        check_packages(method)
        fitted = Components.fit(walk, components=min(components, walk.cube.bands), scaling=scaling)
        sample = Sample(most=SAMPLE[method], seed=seed)
        for rows, columns, pixels, used in walk.cells():
            sample.add(rows, columns, used, fitted.project(pixels[:, used]))
        scores = sample.values
        if len(scores) < k:
            raise InputError(
                f"{len(scores)} pixels of {walk.cube.image.url} count, and {k} clusters were asked for.",
                remedy="Ask for fewer clusters, or check the mask.",
            )
        embedding = _umap(scores, seed=seed) if method == "umap+kmeans" else None
        places = scores if embedding is None else embedding.transform(scores)
        return cls(components=fitted, centres=_centres(places, k=k, seed=seed), method=method, embedding=embedding)

    @property
    def k(self) -> int:
        """How many there are."""
        return len(self.centres)

    def label(self, spectra: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the label of each spectrum: that of the nearest centre, from 1, the first of equal ones.

        Parameters
        ----------
        spectra
            Shape (bands, pixels), finite.
        """
        scores = self.components.project(spectra).T
        places = scores if self.embedding is None or not len(scores) else self.embedding.transform(scores)
        best = np.zeros(len(places), np.uint8)
        least = np.full(len(places), np.inf)
        for number, centre in enumerate(self.centres):
            # One term after the other, so that a pixel's distance depends on it alone.
            distance = np.zeros(len(places))
            for axis, value in enumerate(centre):
                distance += np.square(places[:, axis] - value)
            best[distance < least] = number + 1
            least = np.minimum(least, distance)
        return best


def check_packages(method: Method) -> None:
    """Refuse a method whose packages are not installed.

    Raises
    ------
    PlanError
        scikit-learn, or umap-learn, is not installed.
    """
    need("sklearn", extra="analysis", purpose="Clustering")
    if method == "umap+kmeans":
        need("umap", extra="umap", purpose="The method 'umap+kmeans'")


def _centres(places: NDArray[Any], *, k: int, seed: int) -> NDArray[np.float64]:
    """Return the centres that k-means finds, that of most pixels first."""
    kmeans = need("sklearn.cluster", extra="analysis", purpose="Clustering").KMeans
    # Threads would change the last bits of its sums.
    with need("threadpoolctl", extra="analysis", purpose="Clustering").threadpool_limits(1):
        found = kmeans(n_clusters=k, n_init=STARTS, random_state=seed).fit(np.asarray(places, np.float64))
    counts = np.bincount(found.labels_, minlength=k)
    order = np.lexsort((*found.cluster_centers_.T[::-1], -counts))
    return np.asarray(found.cluster_centers_[order], np.float64)


def _umap(scores: NDArray[np.float64], *, seed: int) -> Embedding:
    """Return UMAP's plane of a sample; others are placed into it afterwards."""
    umap = need("umap", extra="umap", purpose="The method 'umap+kmeans'")
    neighbours = min(15, len(scores) - 1)
    # A seed makes it run in one thread; saying so as well spares its warning.
    embedding: Embedding = umap.UMAP(n_components=2, n_neighbors=neighbours, random_state=seed, n_jobs=1).fit(scores)
    return embedding
