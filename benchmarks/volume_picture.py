"""Draw `docs/images/msdsr.png`: XZ sections of the test blocks, restored from every fourth plane, beside the truth.

usage: python -m benchmarks.volume_picture OUT.png --data FOLDER
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import torch

from benchmarks.volumes import blocks, cropped
from scalesr.models import load, resolve

mpl.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDGE, SPACING = 61, 4
NAMES = ("linear", "msdsr-fast", "msdsr", "truth")


def restored(name: str, planes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what a model makes of planes (z, y, x) as one tile."""
    points: dict[str, Any] = {"axes": "zyx", "sampling": "point"} if name == "linear" else {}
    ref = resolve(name, scale=(SPACING, 1, 1), image_channels=None, image_axes="zyx", **points)
    tile, origin = torch.from_numpy(planes)[None, None], torch.zeros(1, 3, dtype=torch.int64)
    made: NDArray[np.float32] = load(ref)(tile, origin)[0, 0].numpy()
    return made


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=os.environ.get("SCALESR_DATA"), help="folder of the real images")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder of the real images with --data or SCALESR_DATA")
    found = {name: cropped(block, EDGE) for name, block in blocks("test", data=options.data).items()}
    figure, panels = plt.subplots(len(found), len(NAMES), figsize=(12, 9), layout="constrained")
    for row, (specimen, truth) in zip(panels, found.items(), strict=True):
        planes = np.ascontiguousarray(truth[::SPACING])
        for panel, name in zip(row, NAMES, strict=True):
            volume = truth if name == "truth" else restored(name, planes)
            panel.imshow(volume[: len(truth), EDGE // 2], cmap="gray", vmin=truth.min(), vmax=truth.max())
            panel.set_title(f"{specimen}: {name}")
            panel.set_axis_off()
    figure.savefig(options.out, dpi=70)


if __name__ == "__main__":
    main()
