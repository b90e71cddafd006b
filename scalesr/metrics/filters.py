"""The built-in features of patches: how much there is of which size and direction. No weights, no download.

A pyramid of four octaves; in each, the first and second differences along four directions, as in a steerable pyramid
(Simoncelli and Freeman, ICIP 1995) of the shortest filters there are. Their mean magnitude and their root mean square
are kept, and how the two differ tells lines from noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

OCTAVES = 4
FLOOR = 1 / 255
"""Contrast at which a feature turns from linear to logarithmic: one grey level of eight bits."""
_FULL = np.log1p(1 / FLOOR)
_SIDE = {
    "left": np.s_[:, 1:-1, :-2],
    "right": np.s_[:, 1:-1, 2:],
    "up": np.s_[:, :-2, 1:-1],
    "down": np.s_[:, 2:, 1:-1],
}
_CORNER = {"ul": np.s_[:, :-2, :-2], "dr": np.s_[:, 2:, 2:], "ur": np.s_[:, :-2, 2:], "dl": np.s_[:, 2:, :-2]}


class FilterBank:
    """Features of patches by a fixed bank of filters, named ``small``.

    73 features: for each of four octaves the deviation of the intensity and, for each of four directions, the mean
    magnitude and the root mean square of its first and of its second differences; the mean intensity; mean and
    deviation of two differences of colours, which are zero for grey patches. All but the means are log(1 + x / FLOOR),
    divided by its value for full contrast, x = 1.

    Distances between these features are comparable with each other only: they are no FID and no KID as published.
    """

    name = "small"
    colour: Literal["rgb", "grey"] = "rgb"
    dimension = OCTAVES * 17 + 5

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the features of patches of shape (n, 1 or 3, h, w), as (n, 73)."""
        images = patches.astype(np.float64)
        if images.shape[1] == 1:
            image = images[:, 0]
            tints = [np.zeros((len(images), 1, 1))] * 2
        else:
            red, green, blue = images[:, 0], images[:, 1], images[:, 2]
            image = (red + green + blue) / 3
            tints = [(red - green) / np.sqrt(2), (red + green - 2 * blue) / np.sqrt(6)]
        means = [_mean(image), *map(_mean, tints)]
        contrasts = [_deviation(tint) for tint in tints]
        for octave in range(OCTAVES):
            contrasts.append(_deviation(image))
            for response in _differences(image):
                contrasts += [_mean(np.abs(response)), np.sqrt(_mean(response * response))]
            if octave < OCTAVES - 1:
                image = _halved(image)
        return np.concatenate([np.stack(means, 1), np.log1p(np.stack(contrasts, 1) / FLOOR) / _FULL], 1)


def _mean(images: NDArray[np.float64]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = images.mean(axis=(1, 2))
    return mean


def _deviation(images: NDArray[np.float64]) -> NDArray[np.float64]:
    deviation: NDArray[np.float64] = images.std(axis=(1, 2))
    return deviation


def _differences(images: NDArray[np.float64]) -> list[NDArray[Any]]:
    """Return first and second differences along rows, columns and both diagonals, each for a distance of one pixel."""
    wide = np.pad(images, ((0, 0), (1, 1), (1, 1)), mode="symmetric")
    side, corner = ({key: wide[part] for key, part in parts.items()} for parts in (_SIDE, _CORNER))
    twice = 2 * images
    return [
        (side["right"] - side["left"]) / 2,
        (side["down"] - side["up"]) / 2,
        (corner["dr"] - corner["ul"]) / np.sqrt(8),
        (corner["ur"] - corner["dl"]) / np.sqrt(8),
        side["right"] - twice + side["left"],
        side["down"] - twice + side["up"],
        (corner["dr"] - twice + corner["ul"]) / 2,
        (corner["ur"] - twice + corner["dl"]) / 2,
    ]


def _halved(images: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth with (1, 4, 6, 4, 1) / 16 along both axes and keep every second pixel (Burt and Adelson 1983)."""
    for axis in (1, 2):
        pad = [(0, 0)] * 3
        pad[axis] = (2, 2)
        wide = np.moveaxis(np.pad(images, pad, mode="symmetric"), axis, 1)
        a, b, c, d, e = (wide[:, k : wide.shape[1] - 4 + k : 2] for k in range(5))
        images = np.moveaxis((a + 4 * b + 6 * c + 4 * d + e) / 16, 1, axis)
    return np.ascontiguousarray(images)
