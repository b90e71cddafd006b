"""The network run on groups of images of one size, so that what it makes of an image does not depend on the others."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from scalesr.models.memory import peak_bytes

if TYPE_CHECKING:
    from scalesr.models import Precision
    from scalesr.msdsr.network import Denoiser

_SHORT: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Groups:
    """The same image gives the same bits whatever images it comes with, on the same kind of device.

    Parameters
    ----------
    denoiser
        The network. It is taken over.
    group
        Images that go through it at a time; the last ones are filled up with zeros.
    device, precision
        Where and in which number format it runs; float32 goes in and comes out.
    """

    def __init__(self, denoiser: Denoiser, *, group: int, device: torch.device, precision: Precision) -> None:
        self.denoiser = denoiser.eval().requires_grad_(requires_grad=False).to(device)
        attends = any(denoiser.settings.attention)
        # On a CPU attention is 1.4 times slower with channels last.
        self._layout = torch.contiguous_format if attends and device.type == "cpu" else torch.channels_last
        self.denoiser.unet.to(memory_format=self._layout)  # type: ignore[call-overload]
        self.group, self.device, self.precision = group, device, precision

    def moved(self, *, device: torch.device, precision: Precision) -> Groups:
        """Return a copy elsewhere, or in another number format."""
        return Groups(copy.deepcopy(self.denoiser), group=self.group, device=device, precision=precision)

    def __call__(self, noisy: torch.Tensor, timestep: int, known: torch.Tensor, between: torch.Tensor) -> torch.Tensor:
        """Predict for any number of images; see `Denoiser`.

        Parameters
        ----------
        noisy, between
            float32, shape ``(n, C, rows, columns)``.
        timestep
            Step of the diffusion, of all images.
        known
            float32, shape ``(n, 1, rows, columns)``.
        """
        found = torch.empty_like(noisy)
        short = _SHORT.get(self.precision)
        with torch.autocast(self.device.type, dtype=short, enabled=short is not None):
            for start in range(0, len(noisy), self.group):
                part = slice(start, start + self.group)
                group = [self._filled(images[part]) for images in (noisy, known, between)]
                steps = torch.full((self.group,), timestep, device=self.device)
                found[part] = self.denoiser(group[0], steps, group[1], group[2])[: len(found[part])].float()
        return found

    def _filled(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) < self.group:
            images = torch.cat([images, images.new_zeros(self.group - len(images), *images.shape[1:])])
        return images.contiguous(memory_format=self._layout)

    def flops(self, shape: tuple[int, int]) -> float:
        """Count the floating-point operations of one pass for one image, two for each multiplication with addition."""
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            self._on_shapes(1, shape)
        return float(counter.get_total_flops())

    def peak_bytes(self, shape: tuple[int, int]) -> int:
        """Count the largest sum of bytes alive at one time during a pass for one group, in fp32."""
        return peak_bytes(lambda _: self._on_shapes(self.group, shape), torch.empty(0, device="meta"))

    def _on_shapes(self, count: int, shape: tuple[int, int]) -> torch.Tensor:
        """Run the network without data."""
        denoiser = copy.deepcopy(self.denoiser).to("meta")
        images = torch.empty(count, denoiser.settings.channels, *shape, device="meta")
        steps = torch.empty(count, dtype=torch.int64, device="meta")
        found: torch.Tensor = denoiser(images, steps, images[:, :1], images)
        return found
