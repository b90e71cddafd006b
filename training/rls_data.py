"""The objects that generators learn: crops around real nuclei, split by image, and phantoms of two conditions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image
from samples import LUMA, normalise
from scipy import ndimage
from skimage import filters, transform

from scalesr.phantoms import screen_cells
from scalesr.phantoms.screen import Condition

Part = Literal["train", "validation", "test"]
Pixels = np.ndarray[Any, np.dtype[np.float32]]
SPLIT = Path(__file__).with_name("rls-split.json")
EDGE = 64
"""Edge of a crop in pixels."""
DIAMETER = 28.0
"""What the median diameter of the nuclei of an image is brought to, in pixels: magnifications are not known."""
LEAST, MOST = 0.35, 2.5
"""Areas of the nuclei that are taken, relative to the median of their image: no debris, no clumps."""
SMOOTH = 1.0
"""Deviation of the Gaussian before the threshold, in pixels of the file."""
SEEDS: dict[Part, int] = {"train": 0, "validation": 1, "test": 2}
"""Seeds of the phantoms."""


def nuclei(part: Part, *, data: Path) -> Pixels:
    """Return crops around the nuclei of one part of the split, shape (n, 1, 64, 64), always in the same order.

    An image has its 0.1 and 99.9 percentiles at 0 and 1; crops that would reach over its edge are left out.
    """
    found = [crops(read(data / name)) for name in json.loads(SPLIT.read_text(encoding="utf-8"))[part]]
    return np.concatenate(found)[:, None]


def phantoms(part: Part, *, count: int) -> tuple[Pixels, np.ndarray[Any, np.dtype[np.int64]]]:
    """Return as many phantoms of both conditions in turn, shape (n, 2, 64, 64), and which each is: 1 for treated."""
    both = [screen_cells(count // 2, condition=name, seed=SEEDS[part]).images for name in get_args(Condition)]
    return np.stack(both, axis=1).reshape(-1, *both[0].shape[1:]), np.tile([0, 1], count // 2)


def read(path: Path) -> Pixels:
    """Return a picture in grey."""
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) @ np.asarray(LUMA, np.float32)


def crops(image: Pixels) -> Pixels:
    """Return crops centred on the nuclei of an image that is first brought to the common magnification."""
    smooth = ndimage.gaussian_filter(image, SMOOTH)
    threshold = filters.threshold_otsu(smooth)  # type: ignore[no-untyped-call]
    labels, count = ndimage.label(ndimage.binary_fill_holes(smooth > threshold))
    if not count:
        return np.zeros((0, EDGE, EDGE), np.float32)
    numbers = np.arange(1, count + 1)
    areas = ndimage.sum_labels(np.ones(labels.shape), labels, numbers)
    median = float(np.median(areas[areas > 30]))
    finer = DIAMETER / np.sqrt(4 * median / np.pi)
    pixels = normalise(transform.rescale(image, finer, order=3, anti_aliasing=finer < 1, preserve_range=True))
    centres = np.array(ndimage.center_of_mass(np.ones(labels.shape), labels, numbers))
    taken = centres[(areas > LEAST * median) & (areas < MOST * median)]
    corners = np.round((taken + 0.5) * finer - EDGE / 2).astype(int)
    inside = ((corners >= 0) & (corners + EDGE <= pixels.shape)).all(axis=1)
    return np.array([pixels[y : y + EDGE, x : x + EDGE] for y, x in corners[inside]]).reshape(-1, EDGE, EDGE)
