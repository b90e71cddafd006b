"""Drawing volumes from the network: all slices of a batch of tiles, in two orientations, step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn import functional

from scalesr.models.noise import lane_of
from scalesr.msdsr.bounds import bounds_of
from scalesr.msdsr.network import from_span, to_span
from scalesr.msdsr.psf import AxialProjection, AxialPSF
from scalesr.msdsr.rows import guide
from scalesr.msdsr.schedule import Reverse, signal_shares
from scalesr.msdsr.slice_noise import slice_noise
from scalesr.msdsr.slicing import jointly

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from scalesr.msdsr.region import Region
    from scalesr.msdsr.sampling import Sampling
    from scalesr.msdsr.settings import NetworkSettings
    from scalesr.msdsr.slicing import Canvas, Slicing

_RANGE = (-0.5, 1.5)
"""Normalised intensities that an image may have while an axial PSF is undone: its inverse enlarges what lies beyond."""
_BLUR_SIGMA = 0.5


class Predict(Protocol):
    """The network as the sampler sees it."""

    def __call__(self, noisy: torch.Tensor, timestep: int, known: torch.Tensor, between: torch.Tensor) -> torch.Tensor:
        """Return float32 predictions for any number of images, one step for all; see `Denoiser`."""


class VolumeSampler:
    """Draws samples of the volumes of a batch of tiles.

    Parameters
    ----------
    canvas
        The tiles.
    origins
        int64, shape ``(n, 3)``, on the tiles' device: place of each tile's first voxel in the output.
    region
        What is drawn.
    scale
        Rows for each plane.
    network
        What the network is.
    sampling
        How volumes are drawn.
    """

    def __init__(
        self,
        canvas: Canvas,
        origins: torch.Tensor,
        *,
        region: Region,
        scale: Fraction,
        network: NetworkSettings,
        sampling: Sampling,
    ) -> None:
        self._canvas, self._region, self._network, self._sampling = canvas, region, network, sampling
        tiles, self._channels, rows, height, width = canvas.values.shape
        self._projection = None
        if sampling.psf != "point":
            psf = AxialPSF.read(sampling.psf)
            planes = int(rows / scale)
            self._projection = AxialProjection(psf, planes=planes, scale=scale, device=canvas.values.device)
        self._slicings = region.slicings(
            tiles,
            rows=rows,
            size=(height, width),
            multiple=network.multiple,
            orientations=sampling.orientations,
        )
        self._origins = origins
        # Asked once, so that nothing in the loop over steps has to wait for the device.
        self._lane = lane_of(origins[:, 0])
        # Of all samples.
        self._bounds = bounds_of(canvas) if sampling.bounded else None

    def draw(self, predict: Predict, *, sample: int) -> torch.Tensor:
        """Return a sample of each tile, float32, shape ``(n, C, rows, y, x)``; 0 where nothing was to be drawn."""
        sampling = self._sampling
        stacks = [self._begin(slicing, sample) for slicing in self._slicings]
        for number, timestep in enumerate(stacks[0].reverse.timesteps, 1):
            for stack in stacks:
                stack.state = torch.where(stack.known > 0, stack.clean, stack.state)
            predictions = list(
                jointly(
                    lambda state, known, between: predict(state, timestep, known, between),  # noqa: B023 asked at once
                    *zip(*((stack.state, stack.known, stack.between) for stack in stacks), strict=True),
                )
            )
            if sampling.fuse == "steps" and len(stacks) == 2:
                self._fuse(predictions)
            for stack, prediction in zip(stacks, predictions, strict=True):
                agreed = prediction if self._projection is None else self._agree(stack, prediction, timestep)
                noise = self._noise(stack.slicing, sample, draw=number) if sampling.eta else None
                stack.state = stack.reverse.step(agreed, timestep, stack.state, noise)
        if self._projection is not None:
            # The estimate that agrees with the planes, without what the last step adds to it.
            for stack in stacks:
                stack.state = stack.image
        whole = from_span(self._joined(stacks), self._network.span)
        if sampling.blur == "gaussian":
            whole = _blurred(whole)
        if self._bounds is not None:
            whole = whole.clamp(*self._bounds)
        return torch.where(self._canvas.known > 0, self._canvas.values, whole) if sampling.verbatim else whole

    def _begin(self, slicing: Slicing, sample: int) -> _Stack:
        sampling, network = self._sampling, self._network
        known = slicing.cut(self._canvas.known)
        clean = to_span(slicing.cut(self._canvas.values), network.span)
        between = guide(clean, known)
        reverse = Reverse(
            sampler=sampling.sampler,
            prediction=network.prediction,
            steps=sampling.steps,
            start=sampling.start,
            eta=sampling.eta,
        )
        state = self._noise(slicing, sample, draw=0)
        if sampling.start < 1:
            share = float(signal_shares()[reverse.timesteps[0]])
            state = share**0.5 * between + (1 - share) ** 0.5 * state
        return _Stack(
            slicing=slicing,
            known=known,
            measured=clean,
            clean=clean,
            between=between,
            state=state,
            image=between,
            reverse=reverse,
        )

    def _noise(self, slicing: Slicing, sample: int, *, draw: int) -> torch.Tensor:
        sampling = self._sampling
        return slice_noise(
            slicing,
            self._origins,
            channels=self._channels,
            draw=draw,
            sample=sample,
            seed=sampling.seed,
            noise=sampling.noise,
            correlation=sampling.correlation,
            lane=self._lane,
        )

    def _fuse(self, predictions: Sequence[torch.Tensor]) -> None:
        """Replace predictions by their mean over both orientations, in place, in the core of each tile."""
        region = self._region
        xz, yz = (slicing.join(each) for slicing, each in zip(self._slicings, predictions, strict=True))
        first = xz[:, :, :, _within(region.core_y, region.y), _slice(region.core_x)]
        second = yz[:, :, :, _slice(region.core_y), _within(region.core_x, region.x)]
        mean = (first + second) / 2
        first.copy_(mean)
        second.copy_(mean)

    def _agree(self, stack: _Stack, prediction: torch.Tensor, timestep: int) -> torch.Tensor:
        """Return the prediction whose image agrees with what the planes saw, and take its rows for measured ones."""
        assert self._projection is not None
        network = self._network
        share = float(signal_shares()[timestep])
        signal, noise = share**0.5, (1 - share) ** 0.5
        if network.prediction == "epsilon":
            image = (stack.state - noise * prediction) / signal
        else:
            image = signal * stack.state - noise * prediction
        low, high = (float(to_span(torch.tensor(limit), network.span)) for limit in _RANGE)
        image = torch.where(stack.known > 0, stack.clean, image.clamp(low, high))
        # What was reflected to fill up the network's multiple is no part of the measurement.
        rows = stack.slicing.rows
        image[:, :, :rows] = self._projection(image[:, :, :rows], stack.measured[:, :, :rows], stack.known[:, :, :rows])
        stack.image, stack.clean = image, torch.where(stack.known > 0, image, stack.clean)
        stack.between = guide(stack.clean, stack.known)
        agreed: torch.Tensor
        if network.prediction == "epsilon":
            agreed = (stack.state - signal * image) / noise
        else:
            agreed = (signal * stack.state - image) / noise
        return agreed

    def _joined(self, stacks: Sequence[_Stack]) -> torch.Tensor:
        """Return the volume: the mean where both orientations were drawn, one of them elsewhere."""
        region = self._region
        whole = torch.zeros_like(self._canvas.values)
        drawn = {stack.slicing.orientation: stack.slicing.join(stack.state) for stack in stacks}
        y, x = _slice(region.y), _slice(region.x)
        if "xz" in drawn:
            whole[:, :, :, y] = drawn["xz"]
        if "yz" in drawn:
            whole[..., x] = drawn["yz"]
        if len(drawn) == 2:
            whole[:, :, :, y, x] = (drawn["xz"][..., x] + drawn["yz"][:, :, :, y]) / 2
        return whole


@dataclass(eq=False, kw_only=True)
class _Stack:
    """The slices of one orientation on their way from noise to images."""

    slicing: Slicing
    known: torch.Tensor
    measured: torch.Tensor
    """What was measured, in the network's span."""
    clean: torch.Tensor
    """What stands in measured pixels of the network's input: that, or what agrees with it."""
    between: torch.Tensor
    """Linear interpolation between these."""
    state: torch.Tensor
    image: torch.Tensor
    """Latest estimate of the images that agrees with what the planes saw."""
    reverse: Reverse


def _slice(part: range) -> slice:
    return slice(part.start, part.stop)


def _within(part: range, whole: range) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)


def _blurred(volume: torch.Tensor) -> torch.Tensor:
    """Smooth along the last three axes by three pixels each, the outermost of which are repeated."""
    side = torch.tensor(-0.5 / _BLUR_SIGMA**2).exp().to(volume)
    for axis in (-3, -2, -1):
        padding = [0, 0, 0, 0, 0, 0]
        padding[-2 * axis - 2] = padding[-2 * axis - 1] = 1
        padded = functional.pad(volume, padding, mode="replicate")
        size = volume.shape[axis]
        low, middle, high = (padded.narrow(axis, start, size) for start in range(3))
        volume = (middle + side * (low + high)) / (1 + 2 * side)
    return volume
