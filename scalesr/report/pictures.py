"""Pixels as PNG inside a page: grey, in the colours of channels, or as a map with a scale of colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scalesr.images.colours import rgb
from scalesr.images.png import png_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Span = tuple[float, float]
"""Intensities that are shown as black and at full brightness."""
Scale = Literal["signed", "size", "spread"]
"""Colours of a map: ``signed``, blue below zero and red above; ``size``, of errors; ``spread``, of deviations."""
SCALES: dict[Scale, str] = {"signed": "RdBu_r", "size": "magma", "spread": "viridis"}
ABSENT = 255
"""Entry of a map's palette for pixels without a value."""
ABSENT_GREY = 128


def grey(pixels: NDArray[Any], span: Span) -> str:
    """Return a plane in shades of grey, as a ``data:`` address; what is not finite is black."""
    return png_address(np.rint(255 * _unit(pixels, span)).astype(np.uint8))


def coloured(bands: NDArray[Any], spans: Sequence[Span], colours: Sequence[str]) -> str:
    """Return some bands added up in their colours (RRGGBB), as a ``data:`` address."""
    total = np.zeros((*bands.shape[1:], 3))
    for plane, span, colour in zip(bands, spans, colours, strict=True):
        total += _unit(plane, span)[..., None] * rgb(colour)
    return png_address(np.rint(255 * np.clip(total, 0, 1)).astype(np.uint8))


def mapped(values: NDArray[Any], span: Span, scale: Scale) -> str:
    """Return a plane in a scale of colours, as a ``data:`` address; what is not finite is medium grey."""
    places = np.rint((ABSENT - 1) * _unit(values, span)).astype(np.uint8)
    places[~np.isfinite(values)] = ABSENT
    return png_address(places, palette=_palette(scale))


def legend(scale: Scale) -> str:
    """Return the colours of a scale from left to right, as a ``data:`` address."""
    return png_address(np.arange(ABSENT, dtype=np.uint8)[None], palette=_palette(scale))


def _palette(scale: Scale) -> list[int]:
    from matplotlib import colormaps  # noqa: PLC0415 it takes half a second

    colours = colormaps[SCALES[scale]](np.linspace(0, 1, ABSENT), bytes=True)[:, :3]
    return [*map(int, colours.ravel()), ABSENT_GREY, ABSENT_GREY, ABSENT_GREY]


def _unit(pixels: NDArray[Any], span: Span) -> NDArray[np.float64]:
    low, high = span
    values = (np.asarray(pixels, np.float64) - low) / ((high - low) or 1.0)
    return np.clip(np.nan_to_num(values, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
