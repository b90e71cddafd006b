"""CAREamics' tiled prediction from Zarr to Zarr, tile by tile, with a network that is not its own.

Run as ``python -m benchmarks.peers.careamics_tiles JOB.json``.
See https://careamics.github.io/0.3/guides/ : `CAREamist.predict_to_disk`
with ``tile_size`` and ``tile_overlap``. CAREamics runs networks that keep the size of the image; in place of its own
U-Net stands the network of the job, which a checkpoint brings in as usual. Tiles are cropped at half of the overlap,
the last one is moved back to the end of the image, and nothing is padded.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import types
import warnings
from itertools import pairwise
from pathlib import Path

import torch
import zarr

from benchmarks.peers.job import Job, Stopwatch, answer, network_of


def _without_torchvision() -> None:
    """Let CAREamics be imported without torchvision, whose wheels each fit one build of torch.

    Its Ladder VAE crops images with it; nothing that runs here does.
    """
    if importlib.util.find_spec("torchvision") is not None:
        return
    # These look for it themselves, and do without it: not to be misled, they come before the stand-in.
    importlib.import_module("lightning.pytorch")
    importlib.import_module("torchmetrics")
    names = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
    modules = [types.ModuleType(name) for name in names]
    modules[0].__dict__["__version__"] = "0"
    for parent, child in pairwise(modules):
        setattr(parent, child.__name__.rpartition(".")[2], child)
    sys.modules.update(zip(names, modules, strict=True))


_without_torchvision()
warnings.filterwarnings("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

from careamics import CAREamist  # noqa: E402  # after what it needs
from careamics.config.factories import create_advanced_care_config  # noqa: E402


def main() -> None:
    """Predict each image."""
    job = Job.read()
    scratch = Path(job.scratch)
    with Stopwatch() as watch:
        network = network_of(job)
        planes = "S" if zarr.open_array(job.sources[0], mode="r").ndim > job.ndim else ""
        config = create_advanced_care_config(
            experiment_name="race",
            data_type="zarr",
            axes=planes + "ZYX"[-job.ndim :],
            # Of the training that there is none of; it must fit the depth of the U-Net that is taken out.
            patch_size=[64] * job.ndim,
            batch_size=job.batch,
            normalization="min_max",
            normalization_params={"input_mins": [job.low], "input_maxes": [job.high]}
            | {"target_mins": [job.low], "target_maxes": [job.high]},
            # Reading in this process: tiles are small beside what the network takes.
            num_workers=0,
            trainer_params={"accelerator": "gpu" if job.device == "cuda" else "cpu", "devices": 1},
        )
        tool = CAREamist(config, work_dir=scratch, enable_progress_bar=False)
        tool.model.model = network
        tool.trainer.strategy.connect(tool.model)
        tool.trainer.save_checkpoint(scratch / "race.ckpt")
        outputs = []
        for number, source in enumerate(job.sources):
            folder = scratch / f"predictions-{number}"
            with torch.inference_mode():
                tool.predict_to_disk(
                    f"file://{source}",
                    prediction_dir=folder,
                    batch_size=job.batch,
                    tile_size=job.tile,
                    tile_overlap=(2 * job.halo,) * job.ndim,
                    checkpoint=scratch / "race.ckpt",
                )
            written = next(folder.glob("*_output.zarr"))
            outputs.append(str(written / source.split(".zarr/", 1)[1]))
    answer(watch, tiles=network.tiles, pixels=network.pixels, outputs=outputs)


if __name__ == "__main__":
    main()
