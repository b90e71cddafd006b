"""Volumes from stacks of planes by diffusion of slices, as a tile model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from scalesr.errors import ModelError
from scalesr.models.memory import peak_bytes
from scalesr.msdsr.calibration import stored
from scalesr.msdsr.change import change
from scalesr.msdsr.network import denoiser_of
from scalesr.msdsr.region import Region
from scalesr.msdsr.sampling import Sampling
from scalesr.msdsr.slice_model import SliceModel, scale_along_z
from scalesr.msdsr.slicing import canvas
from scalesr.msdsr.volume import VolumeSampler

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction

    from scalesr.models import Precision
    from scalesr.models.checkpoint import Checkpoint
    from scalesr.msdsr.calibration import Calibration
    from scalesr.msdsr.network import Denoiser
    from scalesr.msdsr.slicing import Canvas


class SliceDiffusion(SliceModel):
    """The same tile gives the same bits whatever batch it is in; its noise is that of its voxels in the whole output.

    Rows lie at ``row_of(k, scale)`` for plane k; pixels that are NaN are made up. Of tiles with margins only the slices
    that lie in the rest are drawn, which gives that rest the same bits.

    Parameters
    ----------
    denoiser
        The network. It is taken over.
    scale
        Rows for each plane, above 1.
    sampling
        How volumes are drawn.
    name
        Of the model, for tables.
    calibration
        What makes a standard deviation of the spread of samples; none leaves it as it is.
    margins
        Input pixels at either end of each axis of a tile that are only context.
    device, precision
        Where and in which number format it runs.

    Raises
    ------
    ModelError
        The scale is 1 or below, the device is absent or cannot run in that format.
    PlanError
        The axial PSF is too wide.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        *,
        scale: Fraction,
        sampling: Sampling | None = None,
        name: str = "msdsr",
        calibration: Calibration | None = None,
        margins: tuple[int, ...] = (0, 0, 0),
        device: str = "cpu",
        precision: Precision = "fp32",
    ) -> None:
        self._sampling, self._calibration = sampling or Sampling(), calibration
        sampling = self._sampling
        super().__init__(
            denoiser,
            name=name,
            scale=scale,
            group=sampling.group,
            orientations=sampling.orientations,
            passes=sampling.steps * sampling.samples,
            margins=margins,
            device=device,
            randomness="seeded",
            verbatim="planes" if sampling.verbatim else "none",
            deviation="returned" if sampling.samples > 1 else "none",
            holes="inpainted",
        )
        self._settled(self._drawing_bytes(), precision=precision)

    def __call__(self, tiles: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:
        """Draw one batch; see `Model`.

        Parameters
        ----------
        tiles
            float32, shape ``(n, channels, planes, y, x)``; NaN where nothing was measured.
        origins
            int64, shape ``(n, 3)``. The first plane times the scale must be a whole row.

        Returns
        -------
        torch.Tensor
            float32, shape ``(n, channels, rows, y, x)``, or with samples ``(n, 2 * channels, ...)``: the mean, and the
            standard deviation, which is 0 where a measured plane was returned.
        """
        with torch.inference_mode():
            sampler, placed = self._sampler(tiles, origins, self._sampling)
            if self._sampling.samples == 1:
                return sampler.draw(self._groups, sample=0)
            mean, squares = (torch.zeros((), device=placed.values.device) for _ in range(2))
            for sample in range(self._sampling.samples):
                drawn = sampler.draw(self._groups, sample=sample)
                before = drawn - mean
                mean = mean + before / (sample + 1)
                squares = squares + before * (drawn - mean)
            spread = (squares / (self._sampling.samples - 1)).sqrt()
            deviation = spread if self._calibration is None else self._calibration(spread, change(placed))
            if self._sampling.verbatim:
                deviation = torch.where(placed.known > 0, 0.0, deviation)
            return torch.cat([mean, deviation], dim=1)

    def _sampler(self, tiles: torch.Tensor, origins: torch.Tensor, sampling: Sampling) -> tuple[VolumeSampler, Canvas]:
        """Return what draws volumes of tiles, and what was measured of them."""
        device = self._groups.device
        placed = canvas(tiles.to(device=device, dtype=torch.float32), scale=self._scale)
        numerator, denominator = self._scale.as_integer_ratio()
        if bool((origins[:, 0] % denominator != 0).any()):
            raise ModelError(
                f"A tile begins at plane {int(origins[0, 0])}, between two rows at a scale of {self._scale}.",
                remedy=f"Begin tiles at multiples of {denominator} planes.",
            )
        voxels = torch.stack([origins[:, 0] // denominator * numerator, origins[:, 1], origins[:, 2]], dim=1)
        sampler = VolumeSampler(
            placed,
            voxels.to(device),
            region=self._region((tiles.shape[3], tiles.shape[4]), self._margins),
            scale=self._scale,
            network=self._groups.denoiser.settings,
            sampling=sampling,
        )
        return sampler, placed

    def _region(self, size: tuple[int, int], margins: tuple[int, ...]) -> Region:
        """Return what of tiles is drawn: the blur looks at the neighbours of what is wanted."""
        near = 1 if self._sampling.blur == "gaussian" else 0
        y, x = (max(margin - near, 0) for margin in margins[1:])
        return Region.within(size, (y, x), fused=self._sampling.fuse == "steps")

    def _drawing_bytes(self) -> float:
        """Count what is alive at the peak of drawing a tile, beside the network at work on a group of slices."""
        # Nothing remembers more than two steps.
        few = replace(self._sampling, steps=min(self._sampling.steps, 3), start=1.0)
        assert isinstance(self._spec.tile, tuple)
        tile = torch.zeros(1, self._spec.channels, *self._spec.tile, device=self._groups.device)

        def draw(tiles: torch.Tensor) -> torch.Tensor:
            sampler, _ = self._sampler(tiles, torch.zeros(1, 3, dtype=torch.int64), few)
            return sampler.draw(_unchanged, sample=0)

        return peak_bytes(draw, tile)


def build(
    weights: Checkpoint,
    *,
    scale: tuple[Fraction, ...] | None,
    image_channels: int | None,
    options: Mapping[str, Any],
) -> SliceDiffusion:
    """Return the model that a file of weights holds, for a scale and with the options of `Sampling` by name.

    Further options are ``paper_exact``, true for exactly what the released code does, and ``deviation``: ``calibrated``
    where the file holds a calibration for the settings, or ``raw``.

    Parameters
    ----------
    weights
        Of a `Denoiser`.
    scale
        Of z, y and x; the last two are 1.
    image_channels
        Channels of the image; None if it has no such axis.
    options
        By name.

    Raises
    ------
    ModelError
        No scale, or one that cannot be used; an image with fewer channels than the network; another network.
    PlanError
        An option that there is not, or that cannot be used.
    """
    denoiser = denoiser_of(weights)
    name = weights.metadata.get("name", weights.path.stem)
    rows = scale_along_z(scale, name=name)
    needed, there = denoiser.settings.channels, image_channels or 1
    if needed > 1 and there < needed:
        raise ModelError(
            f"The model '{name}' restores {needed} channels together, and the image has {there}.",
            remedy="Take a network that was trained for these channels, or for one.",
        )
    given_options = dict(options)
    deviation = given_options.pop("deviation", "calibrated")
    if deviation not in ("calibrated", "raw"):
        raise ModelError(f"deviation is {deviation!r}.", remedy="Give calibrated or raw.")
    sampling = Sampling.from_options(given_options)
    return SliceDiffusion(
        denoiser,
        scale=rows,
        sampling=sampling,
        name=name,
        calibration=stored(weights.metadata, sampling, rows) if deviation == "calibrated" else None,
    )


def _unchanged(noisy: torch.Tensor, timestep: int, known: torch.Tensor, between: torch.Tensor) -> torch.Tensor:  # noqa: ARG001  # as `Predict` asks
    return noisy.clone()
