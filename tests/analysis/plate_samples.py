"""A small plate of two conditions of which everything is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from images.test_plates import make_plate

from scalesr.images import Axis, Channel, create_image, pyramid_layout

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

WELLS = {"A/1": ("0", "1"), "A/2": ("0", "1"), "B/1": ("0", "1"), "B/2": ("0", "1")}
"""Wells of row A are controls, those of row B are treated."""
EMPTY, TURNED = "A/2/1", "B/1/0"
"""A field without cells, and one whose channels are in another order."""
EDGE, PITCH, NUCLEUS, CELL = 160, 32, 6, 13
RATIO = {"A": 1.5, "B": 2.0}
"""Mean concentration of a protein in the nuclei over that in the cytoplasm, by row; the deviation is 0.2."""


def ratios(path: str) -> NDArray[np.float64]:
    """The true ratio of each cell of a field, in the order of a lattice of five rows of five."""
    rng = np.random.default_rng([ord(letter) for letter in path])
    return rng.normal(RATIO[path[0]], 0.2, 25)


def cell_field(path: str, *, noise: float = 4.0) -> NDArray[np.uint16]:
    """A field of 25 cells: DNA in the nucleus, protein in all of the cell. Shape (2, y, x)."""
    rng = np.random.default_rng([1, *(ord(letter) for letter in path)])
    pixels = rng.normal(100, noise, (2, EDGE, EDGE))
    if path != EMPTY:
        y, x = np.mgrid[:EDGE, :EDGE]
        for k, ratio in enumerate(ratios(path)):
            centre = np.array([k // 5, k % 5]) * PITCH + PITCH // 2 + rng.integers(-1, 2, 2)
            away = np.hypot(y - centre[0], x - centre[1])
            pixels[0] += 800 * (away < NUCLEUS)
            pixels[1] += 200 * np.where(away < NUCLEUS, ratio, away < CELL)
    return np.maximum(pixels, 0).astype(np.uint16)


def write_field(target: Path, pixels: NDArray[np.uint16], *, labels: tuple[str, ...] = ("DNA", "protein")) -> None:
    """Write (c, y, x) with the names of its channels."""
    layout = pyramid_layout(
        axes=(Axis("c", "channel"), Axis("y", "space", "micrometer"), Axis("x", "space", "micrometer")),
        shape=pixels.shape,
        dtype=pixels.dtype.name,
        scale=(1.0, 0.5, 0.5),
        translation=(0.0, 0.25, 0.25),
        channels=tuple(Channel(label=label) for label in labels),
        smallest=max(pixels.shape),
    )
    writer = create_image(target, layout, mode="overwrite")
    writer.write(0, tuple(slice(0, n) for n in pixels.shape), pixels)
    writer.publish()


def screen_plate(folder: Path, *, noise: float = 4.0) -> Path:
    """Write the plate."""
    make_plate(folder, WELLS)
    for well, fields in WELLS.items():
        for field in fields:
            path = f"{well}/{field}"
            pixels = cell_field(path, noise=noise)
            turned = path == TURNED
            names = ("protein", "DNA") if turned else ("DNA", "protein")
            write_field(folder / path, pixels[::-1].copy() if turned else pixels, labels=names)
    return folder
