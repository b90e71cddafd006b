"""What each part of MSDSR is worth: one thing at a time changed, on the middle of the test blocks, at a spacing of 4.

usage: python -m benchmarks.volume_ablation --data FOLDER [--trainings FOLDER] [--only NAME ...]

Every row is the default of the package but for what its name says. The networks that are told of measured rows in other
ways (`training/msdsr.py --kind guide|mask|rows --steps 1500`, and `--kind rows --released`) are compared among each
other, as they were trained equally long and far shorter than the default. Fractions and thick planes have stacks of
their own, with linear interpolation beside them. Figures are those of `benchmarks.volumes`.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common import save
from benchmarks.volumes import Method, blocks, cropped, judged, restored, summary
from scalesr.models import row_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPACING, FRACTION, THICK = Fraction(4), Fraction(48, 13), 3
"""Rows for each plane, likewise a fraction that real stacks have, and the rows that a thick plane is the mean of."""
_APART: tuple[tuple[str, str | float | int | bool], ...] = (("fuse", "end"), ("noise", "independent"))
CHANGES: tuple[tuple[str, tuple[tuple[str, str | float | int | bool], ...]], ...] = (
    ("default", ()),
    ("4 steps", (("steps", 4),)),
    ("20 steps", (("steps", 20),)),
    ("DDIM, 10 steps", (("sampler", "ddim"),)),
    ("DDIM, 20 steps", (("sampler", "ddim"), ("steps", 20))),
    ("DDIM, 20 steps, eta 1", (("sampler", "ddim"), ("steps", 20), ("eta", 1.0))),
    ("start at half, 5 steps", (("start", 0.5), ("steps", 5))),
    ("start at a quarter, 5 steps", (("start", 0.25), ("steps", 5))),
    ("fused at the end, same noise", (("fuse", "end"),)),
    ("fused at the end, own noise", _APART),
    ("noise alike over 4 slices", (("fuse", "end"), ("correlation", 4))),
    ("XZ slices alone", (("orientations", "xz"),)),
    ("YZ slices alone", (("orientations", "yz"),)),
    ("planes as sampled", (("returned", "sampled"),)),
    ("without bounds", (("bounds", "none"),)),
    ("blurred", (("blur", "gaussian"),)),
)
KINDS = ("guide", "mask", "rows", "released")


def rows_of(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the figures of everything that was asked for."""
    found = []
    for name, block in blocks("test", data=options.data).items():
        truth = cropped(block, options.crop)
        stacks = {
            "points": (SPACING, _points(truth, SPACING)),
            "fraction": (FRACTION, _points(truth, FRACTION)),
            "thick": (SPACING, _thick(truth)),
        }
        for stack, method in _cases(options):
            if options.only and method.name not in options.only:
                continue
            scale, planes = stacks[stack]
            # Rows beyond the last plane are extrapolated.
            true = truth[: row_of(len(planes) - 1, scale) + 1]
            with tempfile.TemporaryDirectory() as folder:
                made, seconds = restored(planes, method, spacing=f"{scale}", folder=Path(folder), depth=float(scale))
                figures = judged(made[: len(true)], true, Path(folder), distances=("slice_fid",))
            found.append(
                {"block": name, "spacing": f"{stack} {scale}", "method": method.name, "seconds": seconds} | figures
            )
            told = "  ".join(f"{key} {value:.4g}" for key, value in figures.items())
            print(f"{name:8s} {stack:8s} {method.name:30s} {seconds:6.1f} s  {told}", flush=True)
    return found


def _cases(options: argparse.Namespace) -> list[tuple[str, Method]]:
    linear = Method(name="linear", model="linear", precision="fp32")
    found = [("points", linear), *(("points", Method(name=n, model="msdsr", options=o)) for n, o in CHANGES)]
    found += [("fraction", linear), ("fraction", Method(name="default", model="msdsr"))]
    boxed = Method(name="psf box", model="msdsr", options=(("psf", f"box:{THICK / SPACING.numerator}"),))
    found += [("thick", linear), ("thick", Method(name="taken for points", model="msdsr")), ("thick", boxed)]
    if options.trainings is not None:
        paths = {kind: options.trainings / kind / "weights.safetensors" for kind in KINDS}
        found += [
            ("points", Method(name=f"network: {kind}", model=str(path)))
            for kind, path in paths.items()
            if path.exists()
        ]
    return found


def _points(truth: NDArray[np.float32], scale: Fraction) -> NDArray[np.float32]:
    rows = [row_of(plane, scale) for plane in range(len(truth))]
    return truth[[row for row in rows if row < len(truth)]]


def _thick(truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return planes that are each the mean of some rows; the outermost repeat the edge."""
    side = THICK // 2
    padded = np.pad(truth, ((side, side), (0, 0), (0, 0)), mode="edge")
    centres = range(0, len(truth), SPACING.numerator)
    return np.stack([padded[row : row + THICK].mean(axis=0) for row in centres])


def main() -> None:
    """Run it, and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("SCALESR_DATA"), help="folder of the real images")
    parser.add_argument("--trainings", type=Path, help="folder with networks of other conditionings: guide, mask, rows")
    parser.add_argument("--only", nargs="+", help="names of what to change")
    parser.add_argument("--crop", type=int, default=61, help="use at most so many voxels along each axis")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder of the real images with --data or SCALESR_DATA")
    found = rows_of(options)
    save("volume-ablation", {"rows": found, "summary": summary(found)})


if __name__ == "__main__":
    main()
