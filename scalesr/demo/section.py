"""A tissue section with known regions, measured four times coarser, interpolated and restored, for notebooks.

The section never was: it is a phantom. So all that an analysis finds can be held against what is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.demo.storing import store
from scalesr.engine import run
from scalesr.errors import InputError
from scalesr.hyres import read_instrument
from scalesr.images import Axis
from scalesr.metrics.resampling import enlarge
from scalesr.phantoms import spectral_cube

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from scalesr.engine.options import FluxOption
    from scalesr.images import Image

PIXEL = 25.0
"""Edge of a pixel of the truth in micrometres: a laser at 100 um, four times finer."""
STAIN_RATIO = Fraction(5, 2)
"""Pixels of the stained image for each one of the truth: 10 um wide, which divides no pixel of the spectral images."""
INSTRUMENT = "maldi,gain=0.1,dead=0"
"""The preset with crystals that differ by a tenth, and without failed shots."""
TISSUES = ("A", "B", "C", "D")
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#000000")
"""Of tissues and deposits; most people who confuse red and green tell these apart (Okabe and Ito 2008)."""
PIECE = 1000.0
"""Mean size of a piece of tissue in micrometres."""
SEED = 8


@dataclass(frozen=True, kw_only=True)
class Section:
    """Images of one section in storage, all on the same ground, in micrometres."""

    truth: Image
    """What is there, (bands, y, x): expected intensities without noise, at most 1."""
    measured: Image
    """What the instrument sees of it: pixels four times wider along y and x, with the noise of counts and gain."""
    cubic: Image
    """The measurement interpolated to the pixels of the truth."""
    restored: Image
    """The measurement through a network, at the pixels of the truth."""
    regions: Image
    """Which region is the largest part of each pixel of the truth, from 1; see `names`."""
    stain: Image
    """A second modality: grey values of a stain, at pixels of 10 um, which has nothing to do with the bands but that
    the tissues differ in it."""
    names: tuple[str, ...]
    """Of the regions, that of label 1 first."""
    colours: tuple[str, ...]
    """To show the regions in, one for each name."""
    instrument: str
    """Setting of the instrument."""

    @property
    def images(self) -> dict[str, Image]:
        """The spectral images by name: truth, measured, cubic, restored."""
        return {name: getattr(self, name) for name in ("truth", "measured", "cubic", "restored")}

    @property
    def band(self) -> int:
        """Which band to look at: the one with the most contrast."""
        pixels = np.asarray(self.truth.array()[...])
        return int(np.argmax(pixels.std(axis=(1, 2))))

    def show(self, ax: Any, name: str, *, band: int | None = None) -> None:
        """Draw a band of an image into axes of matplotlib, in the intensities of the truth; lengths are millimetres.

        Parameters
        ----------
        ax
            Axes of matplotlib.
        name
            Which of `images`.
        band
            Which band; `band` when not given.
        """
        band = self.band if band is None else band
        top = float(np.asarray(self.truth.array()[band]).max())
        pixels = np.asarray(self.images[name].array()[band])
        ax.imshow(pixels, vmin=0, vmax=top, cmap="viridis", interpolation="nearest", extent=self._extent)
        ax.set(title=name, xlabel="x (mm)")

    def show_labels(self, ax: Any, labels: NDArray[Any]) -> None:
        """Draw labels, shape (y, x), into axes of matplotlib, in the colours of the regions; 0 is left white."""
        from matplotlib.colors import ListedColormap  # noqa: PLC0415 matplotlib is an extra

        shown = np.ma.masked_equal(labels, 0)
        colours = ListedColormap(list(self.colours))
        ax.imshow(
            shown, vmin=0.5, vmax=len(self.names) + 0.5, cmap=colours, interpolation="nearest", extent=self._extent
        )
        ax.set_xlabel("x (mm)")

    @property
    def _extent(self) -> tuple[float, float, float, float]:
        height, width = (n * PIXEL / 1000 for n in self.regions.shape)
        return (0.0, width, height, 0.0)


def make_section(
    folder: str | os.PathLike[str],
    *,
    model: str = "hyres-x4",
    instrument: str = INSTRUMENT,
    flux: FluxOption = "auto",
    bands: int = 24,
    edge: int = 256,
) -> Section:
    """Make a section, measure it, restore it, and store all images in a folder, in place of those of an earlier call.

    There are four tissues, of which every second one has sharp borders, and small deposits. The same call gives the
    same images.

    Parameters
    ----------
    folder
        Where the images go; made if it is not there.
    model
        What restores: any model of scale 4 in y and x that takes bands one by one.
    instrument
        What measures, see `scalesr.hyres.read_instrument`; it takes 4 x 4 pixels together.
    flux
        As in `scalesr.run`, for the model.
    bands
        Bands of the spectral images.
    edge
        Pixels of the truth along y and x, a multiple of 8.

    Raises
    ------
    InputError
        An edge or an instrument that does not fit.
    ScalesrError
        As `scalesr.run`.
    """
    scanner = read_instrument(instrument)
    if edge < 64 or edge % 8 or scanner.factor != 4:
        raise InputError(
            f"A section of {edge} pixels cannot be measured by {scanner}.",
            remedy="Give an edge of 64 or more that is a multiple of 8, and an instrument of factor=4.",
        )
    place = Path(folder).expanduser().absolute()
    phantom = spectral_cube((bands, edge, edge), seed=SEED, tissues=len(TISSUES), counts=1.0, pitch=PIECE / PIXEL)
    plane = [slice(0, edge)] * 2
    pixels = phantom.region([slice(0, bands), *plane])
    channel = Axis("c", "channel")
    truth = store(pixels, place / "truth.ome.zarr", pixel=PIXEL, first=channel)
    measured = store(
        scanner.measure(pixels, seed=SEED).values,
        place / "measured.ome.zarr",
        pixel=PIXEL * scanner.factor,
        first=channel,
    )
    # Labels from 1: 0 would mean that a pixel belongs to no region.
    regions = (phantom.labels(plane) + 1).astype(np.uint8)
    amounts = phantom.amounts(plane)
    # White glass; the first tissue takes the stain, the third some of it.
    grey = enlarge(255 - 110 * amounts[0] - 60 * amounts[2], (STAIN_RATIO, STAIN_RATIO))
    return Section(
        truth=truth,
        measured=measured,
        cubic=run(measured, place / "cubic.ome.zarr", model="cubic", scale=scanner.factor, mode="overwrite").image,
        restored=run(
            measured, place / "restored.ome.zarr", model=model, scale=scanner.factor, flux=flux, mode="overwrite"
        ).image,
        regions=store(regions, place / "regions.ome.zarr", pixel=PIXEL, levels="one"),
        stain=store(grey.astype(np.float32), place / "stain.ome.zarr", pixel=float(PIXEL / STAIN_RATIO)),
        names=(*(f"tissue {name}" for name in TISSUES), "deposits"),
        colours=COLOURS,
        instrument=str(scanner),
    )
