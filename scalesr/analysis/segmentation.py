"""Segmentation of an image by its spectra, out of core: an image of labels."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from scalesr.analysis.clusters import Clusters, Method, check_packages
from scalesr.analysis.components import BEYOND, Scaling
from scalesr.analysis.tabular import Tabular
from scalesr.analysis.walk import Walk
from scalesr.errors import InputError, ScalesrError
from scalesr.images import create_image, open_image, pyramid_layout, remove_image, shard_regions

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Cube, Source
    from scalesr.images import Image, ImageLayout, ImageWriter

Mode: TypeAlias = Literal["create", "overwrite"]
"""What happens to an image that is there: ``create`` refuses, ``overwrite`` replaces it."""

_PREVIEW = 1024


@dataclass(frozen=True, kw_only=True, eq=False)
class Segmentation(Tabular):
    """An image that says which pixel belongs to which cluster of spectra."""

    labels: Image
    """One label for each pixel: 1 to k, and 0 where a pixel did not count."""
    counts: tuple[int, ...]
    """Pixels of each cluster, of label 1 first."""
    clusters: Clusters
    """What the pixels were labelled by."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Pixels that did not count, by reason. Those too far out for the components' sums have a label all the same."""

    @property
    def explained(self) -> tuple[float, ...]:
        """Share of the scaled variance that each component holds, of the image that the clusters were found in."""
        return tuple(map(float, self.clusters.components.explained))

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each cluster: its label, its pixels, its share, and where it lies."""
        total = max(sum(self.counts), 1)
        return [
            {
                "label": k + 1,
                "pixels": count,
                "share": count / total,
                **{f"axis {d + 1}": float(place) for d, place in enumerate(self.clusters.centres[k])},
            }
            for k, count in enumerate(self.counts)
        ]

    def plot(self, ax: Any) -> None:
        """Draw the labels into axes of matplotlib; of a large image, every n-th pixel."""
        step = max(1, max(self.labels.shape) // _PREVIEW)
        pixels = np.asarray(self.labels.array()[::step, ::step])
        colours = "tab10" if len(self.counts) <= 10 else "tab20"
        ax.imshow(
            np.ma.masked_equal(pixels, 0), cmap=colours, interpolation="nearest", vmin=1, vmax=max(len(self.counts), 2)
        )
        ax.set_axis_off()


def segment(
    cube: Source,
    out: str | os.PathLike[str],
    *,
    k: int,
    method: Method = "pca+kmeans",
    components: int = 10,
    scaling: Scaling = "standard",
    mask: Source | None = None,
    seed: int = 0,
    mode: Mode = "create",
    storage_options: Mapping[str, Any] | None = None,
) -> Segmentation:
    """Cluster the pixels of an image of any size by their spectra, and write which pixel is in which cluster.

    Four passes over the image: means, sums of products of bands, a sample of pixels, labels. All but the clustering of
    the sample is exact, and the sample depends on the seed and the image's shape alone, so the labels are the same
    for any chunks. Memory holds a stretch of the image, some numbers for each pair of bands, and the sample.

    Parameters
    ----------
    cube
        OME-Zarr image with bands.
    out
        Where the image of labels is written: OME-Zarr, integers, one level (means of labels have no meaning).
    k
        Number of clusters.
    method
        Where clusters are looked for, both by k-means.
    components
        How many; all bands where there are fewer.
    scaling
        What bands are divided by; see `Scaling`.
    mask
        Pixels that count are not zero in it, on the cube's grid or on one that divides its pixels. A ``mask`` beside
        the cube's levels always counts.
    seed
        Of the sample and of the starts of k-means.
    mode
        ``create`` refuses an image that is there, ``overwrite`` replaces it.
    storage_options
        Handed to fsspec, for all images.

    Raises
    ------
    InputError
        The images do not fit, or have too few pixels that count.
    OutputError
        The labels exist or cannot be written.
    PlanError
        scikit-learn, or umap-learn, is not installed.
    """
    check_packages(method)
    walk = Walk.open(cube, mask=mask, storage_options=storage_options)

    def find() -> Clusters:
        return Clusters.fit(walk, k=k, method=method, components=components, scaling=scaling, seed=seed)

    return _segmentation(walk, out, find, mode=mode, options=storage_options)


def assign(
    cube: Source,
    out: str | os.PathLike[str],
    *,
    clusters: Clusters,
    mask: Source | None = None,
    mode: Mode = "create",
    storage_options: Mapping[str, Any] | None = None,
) -> Segmentation:
    """Label the pixels of an image by the clusters of another, in one pass.

    With the clusters of the truth, a restored image is asked whether its pixels have the right spectra; `segment`
    asks whether it has the same structure by itself.

    Parameters
    ----------
    cube
        OME-Zarr image of the bands that the clusters were found in.
    out
        Where the image of labels is written.
    clusters
        `Segmentation.clusters` of the other image.
    mask, mode, storage_options
        As in `segment`.

    Raises
    ------
    InputError
        Another number of bands, or the images do not fit.
    OutputError
        The labels exist or cannot be written.
    """
    walk = Walk.open(cube, mask=mask, storage_options=storage_options)
    if walk.cube.bands != len(clusters.components.offset):
        raise InputError(
            f"{walk.cube.image.url} has {walk.cube.bands} bands, and the clusters were found in "
            f"{len(clusters.components.offset)}.",
            remedy="Give an image of the same bands.",
        )
    return _segmentation(walk, out, lambda: clusters, mode=mode, options=storage_options)


def _segmentation(
    walk: Walk,
    out: str | os.PathLike[str],
    find: Callable[[], Clusters],
    *,
    mode: Mode,
    options: Mapping[str, Any] | None,
) -> Segmentation:
    # The place is taken first: nobody shall wait for passes over an image to learn that it was taken.
    writer = create_image(out, _layout(walk.cube), mode=mode, storage_options=options)
    try:
        clusters = find()
        counts, left = _write(walk, writer, clusters)
        writer.publish()
    except BaseException:
        with contextlib.suppress(ScalesrError, OSError):
            remove_image(out, storage_options=options)
        raise
    return Segmentation(
        labels=open_image(out, storage_options=options),
        counts=tuple(counts[1:].tolist()),
        clusters=clusters,
        left_out=left,
    )


def _layout(cube: Cube) -> ImageLayout:
    level, shape = cube.image.levels[0], cube.shape
    # Whole cells to a chunk, so that each is computed once.
    chunks = tuple(min(edge, n) for edge, n in zip(cube.cell, shape, strict=True))
    return pyramid_layout(
        axes=tuple(cube.image.axes[axis] for axis in cube.space),
        shape=shape,
        dtype="uint8",
        scale=tuple(level.scale[axis] for axis in cube.space),
        translation=tuple(level.translation[axis] for axis in cube.space),
        chunks=chunks,
        smallest=max(shape),
        name=f"{cube.image.name} labels",
    )


def _write(walk: Walk, writer: ImageWriter, clusters: Clusters) -> tuple[NDArray[np.int64], dict[str, int]]:
    """Write the labels, shard by shard, and return the pixels of each, of label 0 first, and what was left out."""
    counts = np.zeros(clusters.k + 1, np.int64)
    walk.left_out.clear()
    for region in shard_regions(writer.layout.levels[0]):
        (top, bottom), (left, right) = ((part.start, part.stop) for part in region)
        labels = np.zeros((bottom - top, right - left), np.uint8)
        for rows, columns, pixels, used in walk.cells(rows=(top, bottom), columns=(left, right)):
            part = labels[rows[0] - top : rows[1] - top, columns[0] - left : columns[1] - left]
            part[used] = clusters.label(pixels[:, used])
        counts += np.bincount(labels.ravel(), minlength=len(counts))
        writer.write(0, region, labels)
    beyond = clusters.components.beyond
    return counts, walk.lost() | ({BEYOND: beyond} if beyond else {})
