"""Score weights against interpolation on images that training has never seen: PSNR and SSIM, image by image.

Each held-out image is normalised as a whole (0.1 and 99.9 percentiles to 0 and 1, not clipped), shrunk to the means of
4 x 4 pixels, and enlarged again. PSNR and SSIM take a data range of 1, the span between the percentiles; SSIM is that
of scikit-image with its default window of 7 x 7 pixels.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from enlarging import KINDS, Image, fitting, interpolate, restore, shrink
from samples import Part, phantom_planes, planes
from skimage.metrics import structural_similarity

from scalesr.hyres import load_generator

WEIGHTS = Path(__file__).parents[1] / "scalesr" / "models" / "weights" / "rrdb-x4.safetensors"
HALO = 20
"""Input pixels of reflection around an image, one more than the network reaches."""
METHODS = (*KINDS, "network")


def main() -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("SCALESR_DATA"), help="folder of the real images")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--part", choices=("validation", "test"), default="test")
    parser.add_argument("--noise", type=float, default=0.0, help="standard deviation added to the small image")
    parser.add_argument("--json", type=Path, help="where to write the scores")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder of the real images with --data or SCALESR_DATA")
    torch.set_num_threads(1)
    network = load_generator(options.weights).eval()
    part: Part = options.part
    rows = []
    for number, plane in enumerate(planes(part, data=options.data) + phantom_planes(part)):
        high = fitting(plane.pixels)
        low = shrink(high)
        low = (low + options.noise * np.random.default_rng(number).standard_normal(low.shape)).astype(np.float32)
        enlarged = {kind: interpolate(low, kind) for kind in KINDS} | {"network": restore(network, low, halo=HALO)}
        scores = {name: compare(image, high) for name, image in enlarged.items()}
        rows.append({"image": plane.name, "modality": plane.modality, "shape": list(high.shape), **scores})
    show(rows)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def compare(image: Image, truth: Image) -> dict[str, float]:
    """Return PSNR in dB and SSIM, both for a data range of 1."""
    error = float(np.mean((image - truth) ** 2, dtype=np.float64))
    likeness = structural_similarity(image, truth, data_range=1.0)  # type: ignore[no-untyped-call]
    return {"psnr": -10 * float(np.log10(error)), "ssim": float(likeness)}


def show(rows: list[dict[str, Any]]) -> None:
    """Print each image, the mean of each modality, and the mean over the real images."""
    print("| image | " + " | ".join(f"{name} PSNR / SSIM" for name in METHODS) + " |")
    print("|---" * (len(METHODS) + 1) + "|")
    for row in rows:
        _line(row["image"], [row])
    real = [row for row in rows if row["modality"] != "phantom"]
    for modality in dict.fromkeys(row["modality"] for row in rows):
        _line(f"**{modality}**", [row for row in rows if row["modality"] == modality])
    _line("**all real images**", real)
    for measure in ("psnr", "ssim"):
        worse = [row["image"] for row in rows if row["network"][measure] <= row["cubic"][measure]]
        print(
            f"\nnot better than cubic in {measure.upper()}: {len(worse)} of {len(rows)}: {', '.join(worse) or 'none'}"
        )


def _line(name: str, rows: list[dict[str, Any]]) -> None:
    cells = [
        f"{np.mean([row[m]['psnr'] for row in rows]):.2f} / {np.mean([row[m]['ssim'] for row in rows]):.4f}"
        for m in METHODS
    ]
    print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
