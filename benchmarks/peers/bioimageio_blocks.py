"""bioimageio.core's prediction in blocks, with the whole image and the whole result in memory.

Run as ``python -m benchmarks.peers.bioimageio_blocks JOB.json``.
See https://bioimage-io.github.io/core-bioimage-io-python/ : a model is
described with its halo, its scale, and the linear steps before and after it; `predict_sample_with_fixed_blocking` runs
it. A block and its halo are padded by symmetric reflection where the image ends, and the halo is cut off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from bioimageio.core import create_prediction_pipeline
from bioimageio.core.digest_spec import create_sample_for_model
from bioimageio.spec import ValidationContext
from bioimageio.spec.model import v0_5
from loguru import logger

from benchmarks.peers import networks
from benchmarks.peers.job import Job, Stopwatch, answer


def described(job: Job) -> v0_5.ModelDescr:
    """Describe the network of the job."""
    axes = "zyx"[-job.ndim :]
    span = job.high - job.low
    before = v0_5.ScaleLinearDescr(kwargs=v0_5.ScaleLinearKwargs(gain=1 / span, offset=-job.low / span))
    after = v0_5.ScaleLinearDescr(kwargs=v0_5.ScaleLinearKwargs(gain=span, offset=job.low))
    channel: Any = v0_5.ChannelAxis(channel_names=[v0_5.Identifier("intensity")])
    low: Any = v0_5.TensorId("low")
    weights = Path(job.scratch) / "weights.pt"
    torch.save(networks.load(job.weights).state_dict(), weights)
    with ValidationContext(perform_io_checks=False):
        return v0_5.ModelDescr(
            name="network of a race",
            description="The network of a race",
            inputs=[
                v0_5.InputTensorDescr(
                    id=low,
                    axes=[v0_5.BatchAxis(), channel]
                    + [
                        v0_5.SpaceInputAxis(
                            id=v0_5.AxisId(axis), size=v0_5.ParameterizedSize(min=2 * job.halo + 4, step=4)
                        )
                        for axis in axes
                    ],
                    preprocessing=[
                        v0_5.EnsureDtypeDescr(kwargs=v0_5.EnsureDtypeKwargs(dtype="float32")),
                        before,
                    ],
                )
            ],
            outputs=[
                v0_5.OutputTensorDescr(
                    id=v0_5.TensorId("high"),
                    axes=[v0_5.BatchAxis(), channel]
                    + [
                        v0_5.SpaceOutputAxisWithHalo(
                            id=v0_5.AxisId(axis),
                            size=v0_5.SizeReference(tensor_id=low, axis_id=v0_5.AxisId(axis)),
                            scale=1 / job.scale,
                            halo=job.halo * job.scale,
                        )
                        for axis in axes
                    ],
                    postprocessing=[after],
                )
            ],
            weights=v0_5.WeightsDescr(
                pytorch_state_dict=v0_5.PytorchStateDictWeightsDescr(
                    source=weights,
                    architecture=v0_5.ArchitectureFromLibraryDescr(
                        callable=v0_5.Identifier("load"),
                        import_from="benchmarks.peers.networks",
                        kwargs={"weights": job.weights},
                    ),
                    pytorch_version=v0_5.Version(torch.__version__.split("+")[0]),
                )
            ),
        )


class Counting:
    """What the blocks of a pipeline add up to."""

    def __init__(self, pipeline: Any) -> None:
        self.tiles = 0
        self.pixels = 0
        self._forward = pipeline._adapter.forward  # noqa: SLF001  # the one place that sees all blocks
        pipeline._adapter.forward = self  # noqa: SLF001

    def __call__(self, members: Any) -> Any:
        """Run a block."""
        (tensor,) = members.values()
        self.tiles += 1
        self.pixels += int(np.prod(list(tensor.tagged_shape.values())))
        return self._forward(members)


def main() -> None:
    """Predict one plane or volume after the other."""
    job = Job.read()
    logger.disable("bioimageio")
    torch.set_num_threads(job.threads)
    with Stopwatch() as watch:
        model = described(job)
        pipeline = create_prediction_pipeline(model, devices=[job.device])
        block = dict(zip("zyx"[-job.ndim :], job.tile, strict=True)) | {"batch": 1, "channel": 1}
        with pipeline:
            counting = Counting(pipeline)
            for pixels, write in job.planes():
                sample = create_sample_for_model(model, inputs={"low": pixels[None, None]})
                result: Any = pipeline.predict_sample_with_fixed_blocking(sample, {"low": block})
                write(result.members["high"].data.to_numpy()[0, 0].astype(job.out_dtype, copy=False))
    answer(watch, tiles=counting.tiles, pixels=counting.pixels)


if __name__ == "__main__":
    main()
