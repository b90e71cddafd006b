"""What is measured, before a pixel of it is read: the geometry of the images and the choices of the user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from fractions import Fraction

Threshold = str
"""Where a Fourier ring correlation counts as lost: ``1/7``, ``0.5``, ``half-bit``, ``one-bit``, ``three-sigma``, or
``snr:X`` where a ring's signal is X times its noise."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The images of a measurement, as every statistic sees them: bands first, then two or three axes of space.

    All that an image has beside these, such as time points, is a *plane*: measured on its own, then merged.
    """

    bands: int
    """Channels, at least 1."""
    band_names: tuple[str, ...]
    """One for each band: its label, or its number."""
    shape: tuple[int, ...]
    """Pixels of the output along y, x or z, y, x."""
    pixel_size: tuple[float, ...]
    """Size of a pixel of the output along each of these."""
    unit: str | None
    """Unit of the pixel sizes, one for all; `None` where the image names none."""
    dtype: str
    """Number format of the output."""
    cell: tuple[int, ...]
    """Pixels of the output that one update sees, beside its context: fixed by the image and not by how it is stored."""
    has_reference: bool
    """Whether there is an image of the same grid to compare with."""
    has_measured: bool
    """Whether there is the measurement that the output was made from."""
    ratio: tuple[Fraction, ...]
    """Pixels of the output for each pixel of the measurement along each axis; ones where there is none."""

    @property
    def ndim(self) -> int:
        """Axes of space: 2 or 3."""
        return len(self.shape)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the user chose. A metric takes from it what it knows, and says in its figures what it took."""

    data_range: float | None = None
    """Largest minus smallest possible intensity; that of the number format for integers when not given."""
    ergas_ratio: float | None = None
    """Pixels of the output for one of the measurement along one axis, for ERGAS; from the two images when not given."""
    tile: int | None = None
    """Edge of the tiles of Fourier statistics in pixels of the output; 256, or the cell's edge where that is less, when
    not given. Where it is given a cell holds a whole number of tiles."""
    threshold: Threshold = "1/7"
    """Where a Fourier ring correlation counts as lost."""
    window: Literal["tukey", "hann"] = "hann"
    """How tiles are faded out for Fourier ring correlations: ``hann``, which finds sharp cut-offs more exactly, or
    ``tukey``, which uses more of the tile: flat but for an eighth of the edge at both ends."""
    features: str = "small"
    """Features of the distances between distributions: ``small``, ``package.module:factory``, ``export:FILE.pt2`` or
    ``jit:FILE.pt``; see `scalesr.metrics.features`."""
    patch: int = 64
    """Edge of the patches whose features are taken, in pixels."""
    seam_period: tuple[int, ...] | None = None
    """Pixels from one border of tiles to the next, for the seam score; from the output's ledger when not given."""
    seam_offset: tuple[int, ...] | None = None
    """Pixel after the first border of tiles; zeros when not given."""
    degradation: str = "area"
    """What the instrument did to the truth: ``area``, ``rows``, or blurs such as ``gaussian:1.5+washout:0.5``; see
    `scalesr.metrics.degradation.read_degradation`."""
