"""How far a model in a shorter number format is from itself in float32, measured once on a pattern and remembered."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from scalesr.engine.ledger import device_class
from scalesr.models import key_of, load, recall, remember

if TYPE_CHECKING:
    from scalesr.models import ModelRef, ModelSpec, Precision

_EDGE = {2: 160, 3: 40}
"""Edge of the pattern, by number of axes that the model mixes."""
_MARGIN = 0.15
"""Share of the pattern at each end that is context."""


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """Differences from the result in float32, as shares of its range."""

    rms: float
    """Root of the mean square."""
    largest: float
    """The largest at any voxel."""


def rounding(ref: ModelRef, spec: ModelSpec, *, device: str, precision: Precision) -> Rounding:
    """Measure what a number format changes, or return what was measured before on this machine.

    The pattern is what images are made of: soft structures of all sizes and fine noise, between 0 and 1. On an image
    the differences are alike, but not the same.

    Parameters
    ----------
    ref, spec
        The model.
    device, precision
        As in the run.

    Raises
    ------
    ModelError
        The model does not run in that format on that device.
    """
    key = key_of("rounding", ref.sha256, ref.options, device_class(device), precision)
    stored = recall(key)
    if stored is not None:
        return Rounding(**stored)
    tiles, origins = _pattern(spec).to(device), torch.zeros(1, len(spec.axes), dtype=torch.int64)
    with torch.inference_mode():
        exact, short = (load(ref, device=device, precision=each)(tiles, origins).cpu() for each in ("fp32", precision))
    inner = tuple(slice(int(_MARGIN * size), size - int(_MARGIN * size)) for size in exact.shape[2:])
    exact, short = (values[:, :, *inner].double() for values in (exact, short))
    # A model that returns one value has no range; then its size stands for it.
    span = float(exact.max() - exact.min()) or float(exact.abs().max()) or 1.0
    differences = (short - exact).abs() / span
    found = Rounding(rms=float(differences.square().mean().sqrt()), largest=float(differences.max()))
    remember(key, asdict(found))
    return found


def _pattern(spec: ModelSpec) -> torch.Tensor:
    dimensions = len(spec.axes)
    shape = (1, spec.channels, *[spec.edge(_EDGE[dimensions])] * dimensions)
    generator = torch.Generator().manual_seed(0)
    mode = "bilinear" if dimensions == 2 else "trilinear"
    total = 0.02 * torch.randn(shape, generator=generator)
    for cells in (4, 10, 25):
        coarse = torch.rand((1, spec.channels, *[cells] * dimensions), generator=generator)
        total += functional.interpolate(coarse, size=shape[2:], mode=mode) / 3
    low, high = total.min(), total.max()
    return (total - low) / (high - low)
