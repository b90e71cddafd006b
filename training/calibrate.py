"""Fit what makes a standard deviation of the spread between samples, on blocks that were not trained on.

Of each validation block of `volumes` every r-th plane is kept and the volume drawn with n samples; the calibration of
all voxels that were not measured goes into the file of weights. The test blocks, which nothing was fitted on, show how
often the truth lies within one and two standard deviations, before and after.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from volumes import blocks

from scalesr.models import row_of
from scalesr.msdsr.calibration import Calibration, coverage, fit, store
from scalesr.msdsr.model import SliceDiffusion
from scalesr.msdsr.network import load_denoiser
from scalesr.msdsr.sampling import Sampling

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from samples import Part


def main() -> None:
    """Fit, store and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("SCALESR_DATA"), help="folder of the real images")
    parser.add_argument("--weights", type=Path, required=True, help="file of weights, which is changed")
    parser.add_argument("--scale", type=int, nargs="+", default=[4])
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--crop", type=int, default=64, help="pixels along y and x; planes are cut alike")
    parser.add_argument("--out", type=Path, help="file for the figures, JSON")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder of the real images with --data or SCALESR_DATA")
    torch.set_num_threads(1)
    found = {}
    for scale in options.scale:
        sampling = Sampling(samples=options.samples)
        seen = drawn("validation", options, scale, sampling)
        calibration = fit(*_pooled(seen, alike=True))
        store(options.weights, calibration, sampling=sampling, scale=Fraction(scale))
        judged = drawn("test", options, scale, sampling)
        told = {name: covered(*pair, calibration) for name, pair in {**judged, "all": _pooled(judged)}.items()}
        found[f"{scale}x"] = {"calibration": asdict(calibration), "test": told}
        print(json.dumps(found[f"{scale}x"], indent=1), flush=True)
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def covered(error: NDArray[Any], spread: NDArray[Any], calibration: Calibration) -> dict[str, Any]:
    """Return which shares of voxels lie within one and two deviations, before and after the calibration."""
    after = calibration(torch.from_numpy(spread)).numpy()
    return {"before": coverage(error, spread), "after": coverage(error, after), "voxels": error.size}


def drawn(
    part: Part, options: argparse.Namespace, scale: int, sampling: Sampling
) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Return error and raw spread of the voxels that were not measured, for each block of a part."""
    model = SliceDiffusion(load_denoiser(options.weights), scale=Fraction(scale), sampling=sampling)
    model = model.to(device="cpu", precision="bf16")
    found = {}
    for name, block in blocks(part, data=options.data).items():
        # The middle: corners of a specimen are empty.
        starts = [max(0, (size - options.crop) // 2) for size in block.shape]
        whole = block[tuple(slice(start, start + options.crop) for start in starts)]
        kept = np.ascontiguousarray(whole[::scale])
        made = model(torch.from_numpy(kept)[None, None], torch.zeros(1, 3, dtype=torch.int64))[0].numpy()
        # Between the first and the last plane; what lies beyond is extrapolated.
        last = row_of(len(kept) - 1, Fraction(scale))
        between = [row for row in range(last) if row % scale]
        found[name] = ((made[0, between] - whole[between]).ravel(), made[1, between].ravel())
        print(f"{part} {name} {scale}x: {found[name][0].size} voxels", flush=True)
    return found


def _pooled(
    seen: dict[str, tuple[NDArray[Any], NDArray[Any]]], *, alike: bool = False
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the voxels of all blocks together; of each as many as the smallest has, where they count alike."""
    pairs, random = list(seen.values()), np.random.default_rng(0)
    if alike:
        least = min(len(error) for error, _ in pairs)
        chosen = [random.permutation(len(error))[:least] for error, _ in pairs]
        pairs = [(error[part], spread[part]) for (error, spread), part in zip(pairs, chosen, strict=True)]
    return np.concatenate([error for error, _ in pairs]), np.concatenate([spread for _, spread in pairs])


if __name__ == "__main__":
    main()
