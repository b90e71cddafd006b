"""What restored objects are judged by: pixels, distributions, and features of nuclei and of a protein around them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage
from skimage.metrics import structural_similarity

from scalesr.analysis.objects import count_spots, measure_objects, translocation
from scalesr.demo.storing import store
from scalesr.images import Axis
from scalesr.rls.likeness import distances, features_of

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from scalesr.analysis.tables.object_table import ObjectTable
    from scalesr.rls.degradation import Degradation

COLUMNS = 16
"""Objects beside one another in the field that they are measured in."""
SMOOTH, RIM = 1.0, 4
"""Deviation in pixels of the smoothing that nuclei are found in; and pixels at the edge of an object's image that no
spot is looked for in, so that neighbours do not touch."""
TOLERANCE, SPOT = 0.06, 0.7
"""How far a spot must stand out, and the smoothing before; both chosen on true controls of the training."""
SHAPES = ("area", "eccentricity", "intensity_mean-0", "intensity_std-0")
"""Features of nuclei."""


def pixels(made: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
    """Return means over objects of PSNR in dB and SSIM (Gaussian of 1.5 px) for intensities of 0..1, clipped to it."""
    a, b = (each.clamp(0, 1).numpy().astype(np.float64) for each in (made, truth))
    errors = ((a - b) ** 2).mean(axis=(1, 2, 3))
    likeness = [
        structural_similarity(one, other, data_range=1.0, channel_axis=0, gaussian_weights=True, sigma=1.5)
        for one, other in zip(a, b, strict=True)
    ]
    return {"psnr": float(np.mean(-10 * np.log10(errors))), "ssim": float(np.mean(likeness))}


def judged(
    made: torch.Tensor, truth: torch.Tensor, measured: torch.Tensor, degradation: Degradation
) -> dict[str, float]:
    """Return all figures of restored objects: beside the truth, as a set, and beside what was measured.

    ``frechet`` is the Frechet distance of the built-in features: it compares methods on one set of objects and nothing
    else. ``consistency`` is the mean magnitude of the degraded image less the measurement, in grey levels of 255.
    """
    apart = distances(features_of(made), features_of(truth))
    gap = (degradation(made) - measured).abs().mean()
    return {**pixels(made, truth), "frechet": apart["frechet loss"], "consistency": 255 * float(gap)}


def tabled(images: torch.Tensor, folder: Path, *, conditions: NDArray[Any] | None = None) -> ObjectTable:
    """Return the features of objects, each found anew in its own image: a figure is that of a user without the truth.

    The nucleus is what lies above the middle between ground and the brightest half per cent of channel 0, the part that
    is nearest to the middle of the image. Of two channels the second is a protein: its ratio between nucleus and
    cytoplasm, and its spots. Objects are numbered from 1 in their order.
    """
    values = np.ascontiguousarray(images.numpy(), np.float32)
    field, labels, inner = _fields(values)
    space: dict[str, Any] = {"pixel": 1.0, "levels": "one"}
    image = store(field, folder / "field.ome.zarr", first=Axis("c", "channel"), **space)
    nuclei = store(labels, folder / "nuclei.ome.zarr", **space)
    table = measure_objects(nuclei, image)
    if values.shape[1] == 2:
        table = table.joined(translocation(nuclei, image, channel=1))
        around = store(inner, folder / "inner.ome.zarr", **space)
        table = table.joined(count_spots(around, image, channel=1, sigma=SPOT, tolerance=TOLERANCE))
    if conditions is not None:
        table = table.with_columns({"condition": np.asarray(conditions)[table.labels - 1]})
    return table


def nucleus(dna: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where the nucleus in the middle of an image is."""
    smooth = ndimage.gaussian_filter(dna, SMOOTH)
    low, high = np.percentile(smooth, (10, 99.5))
    parts, count = ndimage.label(smooth > (low + high) / 2)
    middle = (np.array(dna.shape) - 1) / 2
    away = [
        np.hypot(*(np.argwhere(parts == number) - middle).T).min() if number else np.inf for number in range(count + 1)
    ]
    found: NDArray[np.bool_] = ndimage.binary_fill_holes(parts == int(np.argmin(away)))
    return found


def _fields(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.uint32]]:
    """Return objects beside one another in one field (c, y, x), their nuclei, and their images without the rims."""
    count, channels, edge, _ = values.shape
    rows = -(-count // COLUMNS)
    field = np.zeros((channels, rows * edge, COLUMNS * edge), np.float32)
    labels, inner = (np.zeros(field.shape[1:], np.uint32) for _ in range(2))
    for number, object_ in enumerate(values):
        y, x = (edge * place for place in divmod(number, COLUMNS))
        part = slice(y, y + edge), slice(x, x + edge)
        field[:, *part] = object_
        labels[part] = np.where(nucleus(object_[0]), number + 1, 0)
        inner[y + RIM : y + edge - RIM, x + RIM : x + edge - RIM] = number + 1
    return field, labels, inner
