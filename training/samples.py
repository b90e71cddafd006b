"""The real images: which file is on which side of the split, and how each becomes normalised two-dimensional planes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import h5py
import numpy as np
import tifffile
from PIL import Image

from scalesr.phantoms import Phantom, cells, spectral_cube, volume
from scalesr.phantoms.nuclei import Stain

Part = Literal["train", "validation", "test"]
SPLIT = Path(__file__).with_name("split.json")
PHANTOM_WEIGHT = 3.0
"""Share of the training patches that phantoms make, in the units of the weights in the split."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the grey that stained tissue is turned into (ITU-R BT.601)."""


@dataclass(frozen=True, kw_only=True)
class Plane:
    """One normalised two-dimensional image."""

    name: str
    modality: str
    weight: float
    """Share of the training patches, relative to those of the other planes."""
    pixels: np.ndarray[Any, np.dtype[np.float32]]


def planes(part: Part, *, data: Path) -> list[Plane]:
    """Return every plane of one part of the split, always in the same order.

    The split is made of whole specimens: no file, field, volume or section has planes in two parts.
    """
    found: list[Plane] = []
    for source in json.loads(SPLIT.read_text(encoding="utf-8"))[part]:
        paths = sorted(data.glob(source["glob"]))
        if not paths:
            raise FileNotFoundError(f"{source['glob']} matches no file in {data}")
        if source.get("stack"):
            volumes = [
                (source["glob"].rsplit("/", 2)[0] + "/stack", np.stack([_read(path)[0] for path in paths])[None])
            ]
        else:
            volumes = [(str(path.relative_to(data)), _read(path)) for path in paths]
        cut = [pair for name, volume in volumes for pair in _cut(name, volume, isotropic=bool(source.get("isotropic")))]
        take = int(source.get("take", len(cut)))
        chosen = [cut[round(i)] for i in np.linspace(0, len(cut) - 1, min(take, len(cut)))]
        weight = float(source.get("weight", 1.0)) / len(chosen)
        found += [Plane(name=n, modality=source["modality"], weight=weight, pixels=p) for n, p in chosen]
    return found


def phantom_planes(part: Part) -> list[Plane]:
    """Return planes of phantoms of all three kinds and of several sizes of structure; each part has its own seeds."""
    seeds = {"train": range(12), "validation": range(100, 101), "test": range(200, 201)}[part]
    found: list[tuple[str, Phantom]] = []
    for seed in seeds:
        pitch = 24.0 * 1.1 ** (seed % 12)
        found += [
            (f"cells:{stain}:{seed}", cells((256, 256), seed=seed, pitch=pitch, stain=stain))
            for stain in get_args(Stain)
        ]
        found.append((f"spectral_cube:{seed}", spectral_cube((24, 256, 256), seed=seed, pitch=2 * pitch)))
        found.append((f"volume:{seed}", volume((256, 256, 256), seed=seed, pitch=0.8 * pitch)))
    planes = []
    for name, phantom in found:
        for position in (0,) if len(phantom.shape) == 2 else (3, 11, 19):
            first = () if len(phantom.shape) == 2 else (slice(position, position + 1),)
            pixels = phantom.region((*first, slice(0, 256), slice(0, 256))).reshape(256, 256)
            weight = PHANTOM_WEIGHT / (9 * len(seeds))
            planes.append(Plane(name=f"{name}#{position}", modality="phantom", weight=weight, pixels=normalise(pixels)))
    return planes


def normalise(image: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Map the 0.1 and 99.9 percentiles to 0 and 1, without clipping; NaN (no specimen) becomes the low one."""
    low, high = np.nanpercentile(image, (0.1, 99.9))
    filled = np.nan_to_num(image.astype(np.float32), nan=float(low))
    return np.ascontiguousarray((filled - low) / max(high - low, 1e-12), dtype=np.float32)


def _cut(
    name: str, volume: np.ndarray[Any, Any], *, isotropic: bool
) -> list[tuple[str, np.ndarray[Any, np.dtype[np.float32]]]]:
    """Cut (c, y, x) or (c, z, y, x) into planes; each channel is normalised as a whole. Flat planes are left out."""
    out = []
    for c, channel in enumerate(volume):
        if np.nanpercentile(channel, 99.9) <= np.nanpercentile(channel, 0.1):
            continue
        scaled = normalise(channel)
        if scaled.ndim == 2:
            out.append((f"{name}#c{c}", scaled))
            continue
        out += [(f"{name}#c{c}z{z}", plane) for z, plane in enumerate(scaled)]
        if isotropic:
            out += [(f"{name}#c{c}y{y}", np.ascontiguousarray(scaled[:, y])) for y in range(0, scaled.shape[1], 2)]
    return [(label, plane) for label, plane in out if float(plane.std()) > 0.01]


def _read(path: Path) -> np.ndarray[Any, Any]:
    """Read a file as (c, y, x) or (c, z, y, x)."""
    match path.suffix.lower():
        case ".png":
            pixels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32)
            return np.asarray((pixels @ np.asarray(LUMA, np.float32))[None])
        case ".h5":
            with h5py.File(path) as file:
                return np.asarray(file["raw"])[None]
        case ".npz":
            with np.load(path) as file:
                return np.asarray(file[next(name for name in ("ion_images", "cube") if name in file)])
        case _:
            return _read_tiff(path)


def _read_tiff(path: Path) -> np.ndarray[Any, Any]:
    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        pixels = np.asarray(series.asarray())
        axes = series.axes
    if axes.endswith("YXS"):
        return np.moveaxis(pixels, -1, 0)
    if "C" in axes and axes.index("C") == 1:
        return np.moveaxis(pixels, 1, 0)
    if pixels.ndim == 4:  # channels of a file that names its axes Q
        return np.moveaxis(pixels, 1, 0)
    return pixels if axes.startswith("C") else pixels[None]
