"""The network run on groups of images of one size, so that what it makes of an image does not depend on the others."""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from scalesr.models.memory import peak_bytes
from scalesr.models.recording import Repeated

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalesr.models import Precision
    from scalesr.models.recording import Recorder
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
        self.recorder: Recorder | None = None
        """Another way to record passes than that of the device."""
        self._passes = threading.local()

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
        for start in range(0, len(noisy), self.group):
            part = slice(start, start + self.group)
            group = [self._filled(images[part]) for images in (noisy, known, between)]
            found[part] = self._passed(group, timestep)[: len(found[part])]
        return found

    def _passed(self, group: list[torch.Tensor], timestep: int) -> torch.Tensor:
        """Return what the network makes of a full group, float32; what comes back may be written over by the next."""
        if self.device.type == "cpu" and self.recorder is None:
            noisy, known, between = group
            return self._run(noisy, known, between, torch.full((self.group,), timestep, device=self.device))
        shape = group[0].shape[2:]
        # Replays write to the same tensors, so that each thread has its own.
        kept: dict[str, _Pass] = self._passes.__dict__
        key = f"{tuple(shape)} {self.precision}"
        if key not in kept:
            kept[key] = _Pass(self._run, group, recorder=self.recorder)
        return kept[key](group, timestep)

    def _run(
        self, noisy: torch.Tensor, known: torch.Tensor, between: torch.Tensor, steps: torch.Tensor
    ) -> torch.Tensor:
        short = _SHORT.get(self.precision)
        # Of weights that take no gradients nothing is cached anyway, and a record must not lean on a cache.
        with torch.autocast(self.device.type, dtype=short, enabled=short is not None, cache_enabled=False):
            found: torch.Tensor = self.denoiser(noisy, steps, known, between)
        return found.float()

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


class _Pass:
    """A pass of the network for groups of images of one size, between tensors that stay where they are."""

    def __init__(
        self, run: Callable[..., torch.Tensor], like: list[torch.Tensor], *, recorder: Recorder | None
    ) -> None:
        device = like[0].device
        # They outlive the inference mode that the first caller may be in.
        with torch.inference_mode(mode=False):
            self._given = [images.clone() for images in like]
            self._steps = torch.zeros(len(like[0]), dtype=torch.int64, device=device)
            self._found = torch.empty_like(like[0])

        def work() -> None:
            self._found.copy_(run(*self._given, self._steps))

        self._repeated = Repeated(work, device=device, recorder=recorder)

    def __call__(self, group: list[torch.Tensor], timestep: int) -> torch.Tensor:
        for mine, images in zip(self._given, group, strict=True):
            mine.copy_(images)
        self._steps.fill_(timestep)
        self._repeated()
        return self._found
