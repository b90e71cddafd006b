"""What a shorter number format changes is measured, said, and small where the format is exact."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from scalesr.engine.rounding import rounding
from scalesr.models import load, resolve

if TYPE_CHECKING:
    from scalesr.models import ModelRef


class Doubling(nn.Module):
    """Weights that bf16 holds exactly: only what goes in is rounded."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.last = (nn.Conv2d(1, 1, 1, bias=False) for _ in range(3))
        for layer in (self.first, self.middle, self.last):
            nn.init.constant_(layer.weight, 2.0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.last(torch.tanh(self.middle(self.first(image))))
        return result


def doubling() -> nn.Module:
    return Doubling()


def ref_of() -> ModelRef:
    return resolve(f"{__name__}:doubling", image_channels=None, image_axes="yx")


def test_it_is_what_eight_bits_of_mantissa_lose() -> None:
    ref = ref_of()
    found = rounding(ref, load(ref).spec, device="cpu", precision="bf16")
    # Half a unit of the last of eight bits, on values up to 4 before a slope of at most 1, on a range of about 2.
    assert 2**-12 < found.largest < 2**-6
    assert 0 < found.rms < found.largest / 2
    assert rounding(ref, load(ref).spec, device="cpu", precision="fp32").largest == 0


def test_it_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ref = ref_of()
    first = rounding(ref, load(ref).spec, device="cpu", precision="bf16")
    monkeypatch.setattr("scalesr.engine.rounding.load", lambda *_, **__: pytest.fail("measured again"))
    assert rounding(ref, load(ref).spec, device="cpu", precision="bf16") == first
