"""The device that a run computes on."""

from __future__ import annotations

import torch

from scalesr.errors import PlanError


def pick_device(wanted: str) -> str:
    """Return the device that a run uses.

    Raises
    ------
    PlanError
        There is no such device.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cpu":
        return wanted
    name, _, number = wanted.partition(":")
    if name != "cuda" or (number and not number.isdigit()):
        raise PlanError(f"There is no device {wanted!r}.", remedy="Use --device auto, cpu, cuda or cuda:N.")
    if not torch.cuda.is_available() or int(number or 0) >= torch.cuda.device_count():
        raise PlanError(
            f"This machine has no device {wanted!r}: torch sees {torch.cuda.device_count()} GPUs.",
            remedy="Use --device cpu, or install the CUDA build of torch.",
        )
    return wanted
