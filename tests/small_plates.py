"""Small plates for tests."""

from __future__ import annotations

from shutil import rmtree
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.images import Axis, Channel, Plate, PlateLayout, create_image, create_plate, mark_plate, pyramid_layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from scalesr.images.image import Version

WELLS: dict[str, Sequence[str]] = {"A/1": ("0", "1"), "A/2": ("0",), "C/12": ("0", "1")}
LABELS = ("nuclei", "actin")


def pixels_of(number: int, shape: tuple[int, ...] = (2, 24, 20)) -> NDArray[np.uint16]:
    """Return a field without any symmetry; fields of higher numbers are brighter."""
    rng = np.random.default_rng(number)
    pixels: NDArray[np.uint16] = (rng.integers(100, 1000, size=shape) + 500 * number).astype(np.uint16)
    return pixels


def write_field(
    plate: Plate, path: str, pixels: NDArray[Any], *, labels: Sequence[str] = LABELS, version: Version = "0.5"
) -> None:
    """Write an image of axes c, y, x to the place of a field."""
    place = plate.location(path)
    if place.path is not None and place.path.exists():
        rmtree(place.path)
    layout = pyramid_layout(
        axes=(Axis("c", "channel"), Axis("y", "space", "micrometer"), Axis("x", "space", "micrometer")),
        shape=pixels.shape,
        dtype=pixels.dtype.name,
        scale=(1.0, 0.5, 0.5),
        translation=(0.0, 0.0, 0.0),
        chunks=(1, 16, 16),
        channels=tuple(Channel(label=label) for label in labels),
        name=path,
    )
    writer = create_image(place.url, layout, version=version)
    writer.array(0)[...] = pixels
    writer.publish()


def write_plate(
    folder: Path,
    wells: Mapping[str, Sequence[str]] = WELLS,
    *,
    version: Version = "0.5",
    shape: tuple[int, ...] = (2, 24, 20),
) -> Plate:
    """Write a plate with an image at every field."""
    plate = create_plate(folder, PlateLayout.of_wells("small", wells), version=version)
    for number, path in enumerate(plate.fields):
        write_field(plate, path, pixels_of(number, shape), version=version)
    return mark_plate(plate, state="done")


def voxels(plate: Plate, path: str) -> NDArray[Any]:
    """Return all voxels of a field at full resolution."""
    return np.asarray(plate.open_field(path).array(0)[...])
