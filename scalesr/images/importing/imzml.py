"""Mass spectrometry images as cubes: for each m/z of a list, the intensity around it in every pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scalesr.errors import InputError
from scalesr.images.axes import Channel
from scalesr.images.importing.imzml_file import open_imzml
from scalesr.images.importing.imzml_spectra import FAULTS, read_batches
from scalesr.images.importing.peaks import MeanSpectrum, given_peaks
from scalesr.images.importing.source import Facts
from scalesr.images.spectral import SpectralAxis

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from scalesr.images.importing.imzml_spectra import Batch

PPM = 10.0
"""Half the width of the window around each m/z, where the user gives none."""
MOST = 200
"""Peaks of the mean spectrum that become bands, where the user gives none."""
LABELLED = 1000
"""Beyond it, labels of channels are a document longer than anybody reads; m/z lie beside the image in any case."""

_WINDOWS = 1 << 17  # of all spectra of a batch


class ImzMLSource:
    """Bands of an imzML file, continuous or processed, as an image of (c, y, x), or (c, z, y, x) if it has depth.

    A band is the sum of the intensities from m (1 - ppm) to m (1 + ppm), both included, in float64, as measured:
    nothing is normalised. Pixels without a spectrum are zero; `companion` tells them from those that measured nothing.
    Points whose m/z or intensity is not finite are left out, spectra that do not ascend are sorted, negative
    intensities are kept; all three are counted in the attributes of the spectral axis.

    Memory is that of one region, and some 70 bytes for each spectrum. Regions read their own spectra only.

    Parameters
    ----------
    path
        The ``.imzML``; the ``.ibd`` lies beside it.
    peaks
        m/z, or a file of them as `given_peaks` reads it. ``None`` reads all spectra once before, and takes the highest
        peaks of their mean, as `MeanSpectrum.highest` finds them.
    ppm
        Half the width of the window.
    most
        How many peaks are taken of the mean spectrum.
    pixel_size
        ``given``: the user says how large pixels are.

    Raises
    ------
    InputError
        The file cannot be used; see `open_imzml` and `given_peaks`.
    """

    def __init__(
        self,
        path: Path,
        *,
        peaks: str | os.PathLike[str] | Sequence[float] | None = None,
        ppm: float = PPM,
        most: int = MOST,
        pixel_size: Literal["file", "given"] = "file",
    ) -> None:
        if not 0 < ppm < 1e6:
            raise InputError(f"a window of {ppm:g} ppm is none.", remedy="Give a positive number, such as 10.")
        listed = None if peaks is None else given_peaks(peaks)
        self._file = open_imzml(path, pixel_size=pixel_size)
        count = self._file.pixels.size
        self._ppm = ppm
        self._totals = np.zeros(count)
        self._counts = {name: np.zeros(count, np.int64) for name in FAULTS}
        self._peaks = self._highest(most) if listed is None else listed
        self._points = np.zeros(self._peaks.size, np.int64)
        self._deep = self._file.size[0] > 1
        self._picked = "mean spectrum" if listed is None else "list"

    @property
    def facts(self) -> Facts:
        """What the source says of itself; attributes of the spectral axis count what was read so far."""
        file, bands = self._file, self._peaks.size
        labels = tuple(Channel(label=f"m/z {mz:.4f}") for mz in self._peaks) if bands <= LABELLED else ()
        units = {} if file.unit is None else dict.fromkeys(file.sizes, file.unit)
        return Facts(
            where=str(file.path),
            name=file.path.stem,
            letters=("c", "z", "y", "x") if self._deep else ("c", "y", "x"),
            shape=(bands, *(file.size if self._deep else file.size[1:])),
            dtype=np.dtype(np.float32),
            sizes=file.sizes,
            units=units,
            channels=labels,
            colours="together",
            spectral=SpectralAxis(values=self._peaks, quantity="m/z", attributes=self._attributes()),
        )

    def read(self, region: tuple[slice, ...]) -> NDArray[np.float32]:
        """Return the bands of a region."""
        bands, *rest = region
        z, y, x = rest if self._deep else (slice(0, 1), *rest)
        peaks = self._peaks[bands]
        edges = np.stack([peaks * (1 - self._ppm * 1e-6), peaks * (1 + self._ppm * 1e-6)], axis=1)
        shape = (z.stop - z.start, y.stop - y.start, x.stop - x.start)
        out = np.zeros((*shape, peaks.size), np.float32)
        flat = out.reshape(-1, peaks.size)
        chosen, places = self._within((z, y, x))
        done = 0
        for batch in self._batches(chosen, most=max(1, _WINDOWS // peaks.size)):
            sums, hits = batch.windows(edges)
            flat[places[done : done + batch.numbers.size]] = sums
            done += batch.numbers.size
            self._totals[batch.numbers] = batch.totals()
            self._points[bands] += hits
        whole = np.moveaxis(out, -1, 0)
        return whole if self._deep else whole[:, 0]

    def companions(self) -> dict[str, np.dtype[Any]]:
        """Return what is known of each pixel beside its bands, once all are read.

        ``tic`` is the sum of the whole spectrum, not only of the bands, and ``mask`` is 1 where there is a spectrum.

        Raises
        ------
        InputError
            No spectrum has a point in any of the windows.
        """
        if not self._points.any():
            raise InputError(
                f"{self._file.path} has no point within {self._ppm:g} ppm of any of the {self._peaks.size} m/z, such "
                f"as {self._peaks[0]:.4f}.",
                remedy="Check the list, or widen the window: --ppm.",
            )
        return {"tic": np.dtype(np.float64), "mask": np.dtype(np.uint8)}

    def companion(self, name: str, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return one of the companions in a spatial region, (y, x) or (z, y, x)."""
        z, y, x = region if self._deep else (slice(0, 1), *region)
        chosen, places = self._within((z, y, x))
        out = np.zeros((z.stop - z.start, y.stop - y.start, x.stop - x.start), self.companions()[name])
        out.reshape(-1)[places] = self._totals[chosen] if name == "tic" else 1
        return out if self._deep else out[0]

    def close(self) -> None:
        """Release nothing: each region opens the file for itself, so that threads cannot meet in one handle."""

    def _attributes(self) -> dict[str, Any]:
        file = self._file
        found: dict[str, Any] = {"ppm": self._ppm, "peaks": self._picked, **file.attributes}
        found["first_position"] = dict(zip("zyx", file.origin, strict=True))
        found |= {name: int(counts.sum()) for name, counts in self._counts.items()}
        # A peak outside the range of the spectra is a band of zeros; these bands are named, so that none is taken
        # for one that was measured and found dark.
        found["bands_without_points"] = np.flatnonzero(self._points == 0).tolist()
        return found

    def _batches(self, chosen: NDArray[np.int64], *, most: int) -> Iterator[Batch]:
        for batch in read_batches(self._file, chosen, most=most):
            for name, counts in batch.faults.items():
                self._counts[name][batch.numbers] = counts
            yield batch

    def _highest(self, most: int) -> NDArray[np.float64]:
        profile = self._file.attributes.get("representation") == "profile"
        mean = MeanSpectrum(ppm=self._ppm, points="profile" if profile else "centroid")
        for batch in self._batches(np.arange(self._file.pixels.size), most=_WINDOWS):
            mean.add(batch.mz, batch.intensities)
        peaks = mean.highest(most)
        if peaks.size == 0:
            raise InputError(
                f"{self._file.path} has no positive intensity from which peaks could be found.",
                remedy="Check the file, or name the m/z with --peaks.",
            )
        return peaks

    def _within(self, region: tuple[slice, slice, slice]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the spectra of a region and their flat places in it; rows are found by halving."""
        z, y, x = region
        _, height, width = self._file.size
        wide = x.stop - x.start
        chosen, places = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for row, (plane, line) in enumerate((a, b) for a in range(z.start, z.stop) for b in range(y.start, y.stop)):
            base = (plane * height + line) * width
            first, last = np.searchsorted(self._file.pixels, [base + x.start, base + x.stop])
            chosen.append(np.arange(first, last))
            places.append(self._file.pixels[first:last] - (base + x.start) + row * wide)
        return np.concatenate(chosen), np.concatenate(places)
