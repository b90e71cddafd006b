"""HyReS on real cubes that no network was trained on: measured by an instrument, enlarged, compared with the truth.

usage: python -m benchmarks.restoring --data FOLDER [--model hyres-x4 ...] [--instrument binning matched]

Each cube is measured four times coarser by `scalesr.hyres`'s physics and enlarged again by `scalesr.run`: by cubic
interpolation, and by each model with the flux conserved (the default) and free. Bands are in units of the span between
the 0.1 and 99.9 percentiles of the truth, and zeros stay zeros; PSNR and SSIM take a data range of 1 and are means over
bands. `matched` is the preset of the instrument that took the cube. Of the Raman map with its 300 bands one eigenimage
goes through the network (`eigen:1`), and each band alone for comparison.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tifffile

import scalesr
from benchmarks.common import save
from scalesr.demo.storing import store
from scalesr.hyres.presets import read_instrument
from scalesr.hyres.validation import frc
from scalesr.images import Axis, open_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scalesr.images import Image
    from scalesr.metrics import Measurement

Flux = Literal["conserved", "free"]
BANDS = Axis("c", "channel")
MANY = 100
"""With more bands than that a cube is restored by its first eigenimage."""
METRICS = ("psnr", "ssim", "sam", "frc")


@dataclass(frozen=True, kw_only=True)
class Cube:
    """A spectral image whose truth is known."""

    name: str
    kind: Literal["spectral", "fluorescence"]
    """Cubes of a spectrometer, counted and noisy; or stains, each photographed alone."""
    matched: str
    """Preset of the instrument that took it."""
    pixels: NDArray[np.float32]
    """Shape (bands, y, x)."""

    @property
    def strategy(self) -> str:
        """How a network takes the bands: where there are hundreds, what they have in common goes through it."""
        return "eigen:1" if len(self.pixels) > MANY else "single"


def cubes(data: Path) -> Iterator[Cube]:
    """Yield the held-out cubes, bands without signal left out; where nothing was measured they are zero."""
    for path in sorted((data / "msi" / "imc_testdata").glob("*.tiff")):
        yield _cube(path.name.removesuffix(".ome.tiff").removeprefix("20210305_NE_"), "imc", tifffile.imread(path))
    with np.load(data / "msi" / "plaquepicker_mouse_brain" / "derived_ion_images_upper.npz") as file:
        yield _cube("PlaquePicker mouse brain", "maldi", file["ion_images"])
    with np.load(data / "hyperspectral" / "chondro_raman" / "derived_chondro_cube.npz") as file:
        yield _cube("chondro Raman map", "raman", file["cube"])
    fields = {
        "BBBC022 Cell Painting": "bbbc022_cell_painting/IXMtest_A02_s9.tif",
        "HeLa, three stains": "neubias_2d/xyc_16bit__hela-cells.tif",
    }
    for name, file_name in fields.items():
        pixels = tifffile.imread(data / "hcs" / file_name)
        stains_first = np.moveaxis(pixels, np.argmin(pixels.shape), 0)
        yield _cube(name, "camera", stains_first, kind="fluorescence")


def _cube(
    name: str, matched: str, pixels: NDArray[Any], *, kind: Literal["spectral", "fluorescence"] = "spectral"
) -> Cube:
    filled = np.nan_to_num(pixels.astype(np.float64))
    low, high = np.percentile(filled, (0.1, 99.9), axis=(1, 2))
    # Bands of a few single counts: the percentiles say nothing.
    span = np.where(high > low, high - low, filled.max((1, 2)) - filled.min((1, 2)))
    there = span > 0
    return Cube(
        name=name, kind=kind, matched=matched, pixels=(filled[there] / span[there, None, None]).astype(np.float32)
    )


def figures(found: Measurement) -> dict[str, float]:
    """Return the mean over bands of PSNR and SSIM, and the angle in degrees."""
    values: dict[str, list[float]] = {"psnr": [], "ssim": [], "sam": []}
    for each in found.measures:
        if each.value is None:
            continue
        if each.metric in ("psnr", "ssim") and each.band is not None:
            values[each.metric].append(each.value)
        elif each.metric == "sam" and each.unit == "degree":
            values["sam"].append(each.value)
    return {name: float(np.mean(some)) if some else float("nan") for name, some in values.items()}


def restored(
    measured: Image, truth: Image, folder: Path, *, model: str, scale: int, flux: Flux, strategy: str
) -> dict[str, float]:
    """Enlarge a measurement, and return the figures of what came out."""
    out = folder / "out.zarr"
    scalesr.run(
        measured, out, model=model, flux=flux, strategy=strategy, scheduler="serial", mode="overwrite", scale=scale
    )
    found = scalesr.measure(out, reference=truth, metrics=METRICS[:3], data_range=1.0, scheduler="serial")
    return figures(found) | {"frc": correlated(open_image(out), truth)}


def correlated(output: Image, truth: Image) -> float:
    """Return the mean over bands of the frequency, in cycles per pixel, at which the ring correlation meets 1/7."""
    planes = (np.asarray(image.read(tuple(slice(0, n) for n in image.shape)), np.float32) for image in (output, truth))
    return float(np.mean([frc(x, y) for x, y in zip(*planes, strict=True)]))


def main() -> None:
    """Print a table, and save it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("SCALESR_DATA"), help="folder of the real images")
    parser.add_argument("--model", nargs="+", default=["hyres-x4"])
    parser.add_argument("--instrument", nargs="+", default=["binning", "matched"])
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--name", default="restoring")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder of the real images with --data or SCALESR_DATA")
    rows = []
    fluxes: tuple[Flux, ...] = ("free", "conserved")
    ways = [(model, flux) for model in ("cubic", *options.model) for flux in fluxes]
    for which in options.instrument:
        for cube in cubes(Path(options.data)):
            instrument = read_instrument(cube.matched if which == "matched" else which).at(options.scale)
            y, x = (n - n % options.scale for n in cube.pixels.shape[1:])
            with tempfile.TemporaryDirectory() as place:
                folder = Path(place)
                truth = store(cube.pixels[:, :y, :x], folder / "truth.zarr", pixel=1.0, first=BANDS, levels="one")
                seen = instrument.measure(cube.pixels[:, :y, :x], seed=1)
                values = np.where(seen.dead, np.float32(0.0), seen.values)
                measured = store(
                    values, folder / "measured.zarr", pixel=float(options.scale), first=BANDS, levels="one"
                )
                enlarge = partial(restored, measured, truth, folder, scale=options.scale)
                scores = {}
                for model, flux in ways:
                    strategy = "single" if model == "cubic" else cube.strategy
                    scores[f"{_name(model)}, {flux}"] = enlarge(model=model, flux=flux, strategy=strategy)
                    if strategy != "single":
                        scores[f"{_name(model)}, {flux}, single"] = enlarge(model=model, flux=flux, strategy="single")
            rows.append(
                {
                    "cube": cube.name,
                    "kind": cube.kind,
                    "instrument": which,
                    "shape": [len(cube.pixels), y, x],
                    "scores": scores,
                }
            )
            told = "  ".join(
                f"{name}: {s['psnr']:.2f} dB {s['ssim']:.4f} {s['sam']:.2f} deg {s['frc']:.3f}"
                for name, s in scores.items()
            )
            print(f"{which:8s} {cube.name:26s} {told}", flush=True)
    save(options.name, {"scale": options.scale, "cubes": rows, "summary": summary(rows)})


def _name(model: str) -> str:
    """Return the name of a model, or of the folder of its training."""
    return Path(model).parent.name if model.endswith(".safetensors") else model


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return, for each instrument, kind of cube and way, means, the gain over cubic, and the cubes not better."""
    found: dict[str, Any] = {}
    for which in dict.fromkeys(row["instrument"] for row in rows):
        for kinds in (("spectral",), ("fluorescence",), ("spectral", "fluorescence")):
            some = [row for row in rows if row["instrument"] == which and row["kind"] in kinds]
            for way in some[0]["scores"] if some else ():
                found[f"{which}: {' and '.join(kinds)}: {way}"] = _means(some, way)
    return found


def _means(rows: list[dict[str, Any]], way: str) -> dict[str, Any]:
    own, base = ([row["scores"][name] for row in rows] for name in (way, "cubic, free"))
    worse = {
        name: [
            row["cube"]
            for row, s, b in zip(rows, own, base, strict=True)
            if not (s[name] < b[name] if name == "sam" else s[name] > b[name])
        ]
        for name in METRICS
    }
    means = {name: float(np.mean([s[name] for s in own])) for name in METRICS}
    over = means["psnr"] - float(np.mean([s["psnr"] for s in base]))
    return means | {"cubes": len(rows), "psnr over cubic": over, "not better": worse}


if __name__ == "__main__":
    main()
