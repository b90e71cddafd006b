"""Fit what makes a standard deviation of the spread between samples, on blocks that were not trained on.

Of each validation block of `volumes` every r-th plane is kept and the volume drawn with n samples; the calibration of
all voxels that were not measured goes into the file of weights. The test blocks, which nothing was fitted on, show how
often the truth lies within one and two standard deviations, before and after. Voxels whose samples are all the same are
counted by themselves, with how many of them are within half a grey level of the truth.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from volumes import blocks

from scalesr.msdsr.calibration import Calibration, coverage, fit, store
from scalesr.msdsr.change import change
from scalesr.msdsr.model import SliceDiffusion
from scalesr.msdsr.network import load_denoiser
from scalesr.msdsr.sampling import Sampling
from scalesr.msdsr.slicing import canvas

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from samples import Part


HALF = 0.5 / 255
"""Half a grey level of the files."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """Voxels that were drawn, and whose truth is known; all of one shape, in intensities of 0..1."""

    error: NDArray[Any]
    """Mean of the samples minus truth."""
    spread: NDArray[Any]
    """Standard deviation of the samples."""
    change: NDArray[Any]
    """How much the planes around differ."""

    @classmethod
    def of(cls, made: NDArray[Any], whole: NDArray[Any], changed: NDArray[Any], *, scale: int) -> Drawn:
        """Return the voxels between the first and the last plane; what lies beyond is extrapolated."""
        last = (len(whole) - 1) // scale * scale
        between = [row for row in range(last) if row % scale]
        error = made[0, between] - whole[between]
        return cls(error=error.ravel(), spread=made[1, between].ravel(), change=changed[between].ravel())

    def at(self, some: NDArray[Any]) -> Drawn:
        """Return some of the voxels."""
        return Drawn(error=self.error[some], spread=self.spread[some], change=self.change[some])


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
        every = pooled(seen, alike=True)
        calibration = fit(every.error, every.spread, every.change)
        store(options.weights, calibration, sampling=sampling, scale=Fraction(scale))
        judged = drawn("test", options, scale, sampling)
        told = {name: covered(block, calibration) for name, block in {**judged, "all": pooled(judged)}.items()}
        found[f"{scale}x"] = {"calibration": asdict(calibration), "test": told}
        print(json.dumps(found[f"{scale}x"], indent=1), flush=True)
    if options.out is not None:
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def covered(block: Drawn, calibration: Calibration) -> dict[str, Any]:
    """Return which shares of voxels lie within one and two deviations, before and after the calibration."""
    settled = block.spread == 0
    error, spread, changed = (values[~settled] for values in (block.error, block.spread, block.change))
    after = calibration(torch.from_numpy(spread), torch.from_numpy(changed)).numpy()
    return {
        "before": coverage(error, spread),
        "after": coverage(error, after),
        "voxels": int(error.size),
        "settled": int(settled.sum()),
        "settled and right": int((np.abs(block.error[settled]) <= HALF).sum()),
    }


def drawn(part: Part, options: argparse.Namespace, scale: int, sampling: Sampling) -> dict[str, Drawn]:
    """Return what was drawn of the voxels that were not measured, for each block of a part."""
    model = SliceDiffusion(load_denoiser(options.weights), scale=Fraction(scale), sampling=sampling)
    model = model.to(device="cpu", precision="bf16")
    found = {}
    for name, block in blocks(part, data=options.data).items():
        # The middle: corners of a specimen are empty.
        starts = [max(0, (size - options.crop) // 2) for size in block.shape]
        whole = block[tuple(slice(start, start + options.crop) for start in starts)]
        kept = torch.from_numpy(np.ascontiguousarray(whole[::scale]))[None, None]
        made = model(kept, torch.zeros(1, 3, dtype=torch.int64))[0].numpy()
        found[name] = Drawn.of(made, whole, change(canvas(kept, scale=Fraction(scale)))[0, 0].numpy(), scale=scale)
        print(f"{part} {name} {scale}x: {found[name].error.size} voxels", flush=True)
    return found


def pooled(blocks_drawn: dict[str, Drawn], *, alike: bool = False) -> Drawn:
    """Return the voxels of all blocks together; with `alike` of each as many with a spread as the least has."""
    several, random = list(blocks_drawn.values()), np.random.default_rng(0)
    if alike:
        there = [np.flatnonzero(each.spread) for each in several]
        least = min(map(len, there))
        several = [each.at(random.permutation(some)[:least]) for each, some in zip(several, there, strict=True)]
    whole = {each.name: np.concatenate([getattr(one, each.name) for one in several]) for each in fields(Drawn)}
    return Drawn(**whole)


if __name__ == "__main__":
    main()
