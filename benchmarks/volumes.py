"""MSDSR on real volumes of which planes were removed: the paper's comparison, with the true volume known.

usage: python -m benchmarks.volumes compare|paired --data FOLDER [--spacing 2 4 8] [--specimen NAME] [--method NAME ...]

`compare`: of each test block of `training/volumes.py`, which no network has seen, every 2nd, 4th or 8th plane is kept
and the volume restored by `scalesr.run`; figures are of the rows from the first to the last plane that was kept.
SliceFID takes patches of 32 px (40 and 48 as released) and the built-in features, as no weights of Inception are at
hand: its numbers compare methods here, and not with other publications. `paired`: the XY slices of the block, of which
rows were removed, restored as planes along y by XZ slices alone, and compared with the true slices.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

import scalesr
from benchmarks.common import save
from scalesr.demo.storing import store
from scalesr.images import Axis, open_image

sys.path.append(str(Path(__file__).parents[1] / "training"))
from volumes import blocks

__all__ = ["blocks", "cropped"]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scalesr.metrics import Measurement

Z = Axis("z", "space", "micrometer")
PATCH, RELEASED = 32, 40
METRICS = ("psnr", "ssim", "mae")
RUN: dict[str, Any] = {"scheduler": "threads", "mode": "overwrite", "normalise": "dtype"}
"""Stacks are bytes, and volumes as well, as a user would have them."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A way to fill a stack."""

    name: str
    model: str
    options: tuple[tuple[str, str | float | int | bool], ...] = ()
    precision: str = "bf16"
    only: tuple[int, ...] = ()
    """Spacings it is made for; any where empty."""


METHODS = (
    # What a perfect restoration has: a specimen may look different from the side.
    Method(name="truth", model="truth"),
    Method(name="nearest", model="nearest", precision="fp32"),
    Method(name="linear", model="linear", precision="fp32"),
    Method(name="cubic", model="cubic", precision="fp32"),
    Method(name="E2E U-Net", model="{folder}/e2e/weights.safetensors"),
    Method(name="CARE style U-Net", model="{folder}/care/weights.safetensors"),
    Method(name="msdsr", model="msdsr"),
    *(Method(name=f"msdsr, {steps} steps", model="msdsr", options=(("steps", steps),)) for steps in (4, 6, 8, 10, 20)),
    Method(
        name="msdsr, 200 steps",
        model="msdsr",
        options=(("steps", 200), ("sampler", "ddim"), ("eta", 1.0), ("fuse", "end"), ("noise", "independent")),
    ),
    Method(name="msdsr-fast", model="msdsr-fast", only=(4,)),
)


def restored(
    stack: NDArray[np.float32], method: Method, *, spacing: float | str, folder: Path, depth: float
) -> tuple[NDArray[np.float32], float]:
    """Return the volume that a method makes of measured planes, and the seconds it took."""
    planes = np.rint(255 * stack).astype(np.uint8)
    source = store(planes, folder / "stack.ome.zarr", pixel=1.0, first=Z, depth=depth, levels="one")
    interpolation = method.model in ("nearest", "linear", "cubic")
    # Blocks are small enough to be one tile, which takes a third of the time that tiles with context take.
    unit = Fraction(spacing).denominator
    cell = (-(-len(stack) // unit) * unit, *stack.shape[1:])
    whole: dict[str, Any] = {} if interpolation or "fast" in method.model else {"cell": cell, "halo": 0, "blend": 0}
    began = perf_counter()
    scalesr.run(
        source,
        folder / "out.ome.zarr",
        model=method.model,
        scale=(spacing, 1, 1),
        sampling="point" if interpolation else "auto",
        axes="zyx" if interpolation else None,
        model_options=method.options,
        precision=method.precision,
        **whole,
        **RUN,
    )
    seconds = perf_counter() - began
    image = open_image(folder / "out.ome.zarr")
    pixels = image.read(tuple(slice(0, n) for n in image.shape))
    return pixels.astype(np.float32) / np.float32(255), seconds


def judged(
    volume: NDArray[np.float32], truth: NDArray[np.float32], folder: Path, *, distances: Sequence[str]
) -> dict[str, float]:
    """Return the figures of a volume beside the truth, both (z, y, x) on 0..1."""
    out = store(volume, folder / "volume.ome.zarr", pixel=1.0, first=Z, levels="one")
    true = store(truth, folder / "truth.ome.zarr", pixel=1.0, first=Z, levels="one")
    usual: dict[str, Any] = {"reference": true, "data_range": 1.0, "scheduler": "serial"}
    found = figures(scalesr.measure(out, metrics=METRICS, **usual))
    for distance in distances:
        patch = RELEASED if distance.endswith("released") else PATCH
        measured = scalesr.measure(out, metrics=[distance], patch=patch, **usual)
        found |= {
            f"{distance} {each.kind.split(',')[1].strip()}": each.value
            for each in measured.measures
            if each.value is not None and each.kind.startswith("Frechet")
        }
    # Against the same plane of the truth: the bar for a specimen that looks different from the side.
    for plane, order in (("xz", (1, 0, 2)), ("yz", (2, 0, 1))):
        sides = [np.ascontiguousarray(each.transpose(order)) for each in (volume, truth)]
        found[f"own fid {plane}"] = judged_slices(sides[0], sides[1], folder)["fid"]
    return {name: value for name, value in found.items() if np.isfinite(value)}


def figures(found: Measurement) -> dict[str, float]:
    """Return the figures of pixels and structure by name."""
    return {each.metric: each.value for each in found.measures if each.value is not None and each.metric in METRICS}


def methods(names: Sequence[str] | None, *, folder: Path | None) -> list[Method]:
    """Return the methods of these names, all where none are given, with their weights in a folder of trainings."""
    chosen = [each for each in METHODS if names is None or each.name in names]
    return [
        Method(**{**vars(each), "model": each.model.format(folder=folder)})
        for each in chosen
        if folder is not None or "{folder}" not in each.model
    ]


def cropped(block: NDArray[np.float32], most: int | None) -> NDArray[np.float32]:
    """Return at most so many voxels along each axis from the middle of a block."""
    if most is None:
        return block
    starts = [max(0, (size - most) // 2) for size in block.shape]
    return block[tuple(slice(start, start + most) for start in starts)]


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of all methods on all blocks at all spacings."""
    rows = []
    for name, truth in blocks("test", data=options.data).items():
        if options.specimen and name not in options.specimen:
            continue
        whole = cropped(truth, options.crop)
        for spacing in options.spacing:
            rows_kept = (len(whole) - 1) // spacing * spacing + 1
            true = whole[:rows_kept]
            for method in methods(options.method, folder=options.trainings):
                if method.only and spacing not in method.only:
                    continue
                with tempfile.TemporaryDirectory() as place:
                    made, seconds = true, 0.0
                    if method.model != "truth":
                        made, seconds = restored(
                            true[::spacing], method, spacing=spacing, folder=Path(place), depth=float(spacing)
                        )
                    found = judged(made[:rows_kept], true, Path(place), distances=("slice_fid", "slice_fid_released"))
                rows.append(
                    {
                        "block": name,
                        "shape": true.shape,
                        "spacing": spacing,
                        "method": method.name,
                        "seconds": seconds,
                        **found,
                    }
                )
                print(
                    f"{name:8s} {spacing}x {method.name:18s} {seconds:7.1f} s  "
                    + "  ".join(f"{key} {value:.4g}" for key, value in found.items()),
                    flush=True,
                )
    return {"rows": rows, "summary": summary(rows)}


def paired(options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of slices restored from their own rows."""
    rows = []
    for name, truth in blocks("test", data=options.data).items():
        if options.specimen and name not in options.specimen:
            continue
        slices = cropped(truth, options.crop)[::4].transpose(1, 0, 2)  # rows first, then the slices
        for spacing in options.spacing:
            kept = (len(slices) - 1) // spacing * spacing + 1
            true = slices[:kept]
            for method in methods(options.method, folder=options.trainings):
                if method.model in ("msdsr-fast", "truth"):
                    continue
                own = method.options
                if method.model == "msdsr" or "{folder}" in method.model or method.model.endswith(".safetensors"):
                    own = (*own, ("orientations", "xz"))
                with tempfile.TemporaryDirectory() as place:
                    made, seconds = restored(
                        true[::spacing],
                        Method(**{**vars(method), "options": own}),
                        spacing=spacing,
                        folder=Path(place),
                        depth=float(spacing),
                    )
                    # Back to slices of rows and columns.
                    back = [np.ascontiguousarray(each[:kept].transpose(1, 0, 2)) for each in (made, true)]
                    found = judged_slices(back[0], back[1], Path(place))
                rows.append({"block": name, "spacing": spacing, "method": method.name, "seconds": seconds, **found})
                print(
                    f"{name:8s} {spacing}x {method.name:18s} {seconds:7.1f} s  "
                    + "  ".join(f"{key} {value:.4g}" for key, value in found.items()),
                    flush=True,
                )
    return {"rows": rows, "summary": summary(rows)}


def judged_slices(made: NDArray[np.float32], truth: NDArray[np.float32], folder: Path) -> dict[str, float]:
    """Return the figures of slices (n, y, x) beside the true ones."""
    lead = Axis("t", "time")
    out, true = (
        store(values, folder / f"{name}.ome.zarr", pixel=1.0, first=lead, levels="one")
        for name, values in (("volume", made), ("truth", truth))
    )
    usual: dict[str, Any] = {"reference": true, "data_range": 1.0, "scheduler": "serial", "patch": PATCH}
    found = scalesr.measure(out, metrics=(*METRICS, "fid"), **usual)
    return figures(found) | {"fid": next(e.value for e in found.measures if e.metric == "fid" and e.value is not None)}


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return means over the blocks for each spacing and method."""
    found: dict[str, dict[str, float]] = {}
    for key in dict.fromkeys((row["spacing"], row["method"]) for row in rows):
        some = [row for row in rows if (row["spacing"], row["method"]) == key]
        names = [name for name, value in some[0].items() if isinstance(value, float)]
        found[f"{key[0]}x {key[1]}"] = {
            name: float(np.mean([row[name] for row in some])) for name in names if all(name in row for row in some)
        }
    return found


def main() -> None:
    """Run one of them, and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("compare", "paired"))
    parser.add_argument("--data", type=Path, default=os.environ.get("SCALESR_DATA"), help="folder of the real images")
    parser.add_argument("--spacing", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--specimen", nargs="+")
    parser.add_argument("--method", nargs="+")
    parser.add_argument("--crop", type=int, help="use at most so many voxels along each axis")
    parser.add_argument("--trainings", type=Path, help="folder with those of the U-Nets: e2e and care")
    parser.add_argument("--name", help="name of the file of results")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder of the real images with --data or SCALESR_DATA")
    found = {"compare": compare, "paired": paired}[options.what](options)
    save(options.name or f"volumes-{options.what}", found)


if __name__ == "__main__":
    main()
