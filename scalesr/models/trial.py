"""What a network does when it is tried: everything that a spec says and its author has not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import nn

from scalesr.errors import ModelError
from scalesr.models import cache, memory
from scalesr.models.network import parameter_bytes
from scalesr.models.receptive import receptive_field
from scalesr.models.spec import ModelSpec
from scalesr.tiling import round_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalesr.models.spec import Flux, Precision

_FACTORS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 32, 64)
_EDGE = {2: 32, 3: 16}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a network before it is tried; None is found out."""

    name: str
    """Short name for tables and messages."""
    axes: str | None = None
    """Spatial axes that the network mixes."""
    scale: tuple[Fraction, ...] | None = None
    """Output pixels for each input pixel, one for all or one for each of `axes`; checked."""
    channels: int | None = None
    """Channels on input."""
    multiple: int | None = None
    """Edges that the network accepts are multiples of this; what it repeats itself by may be more."""
    minimum: int | None = None
    """Smallest edge that the network accepts."""
    precisions: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
    """Number formats the network can run in."""
    values: Literal["any", "unit"] = "unit"
    """Range of intensities that the network expects."""
    tile: int | None = None
    """Edge of the tile that the author recommends."""
    flux: Flux = "free"
    """Whether the author recommends that runs keep the flux."""


def examine(module: nn.Module, facts: Facts, *, sha256: str) -> ModelSpec:
    """Try a network on small random tiles and write its spec.

    Parameters
    ----------
    module
        The network on the CPU in float32. It is left as it was, in evaluation.
    facts
        What is known; it is believed, except for the scale.
    sha256
        Hash of the weights, under which the result is remembered on this machine.

    Returns
    -------
    ModelSpec
        With the receptive field, the multiple by which the network repeats itself, its scale and its memory, measured.

    Raises
    ------
    ModelError
        If the network cannot be run, or scales by something else than the facts say.
    """
    module.eval()
    key = cache.key_of("network", sha256, facts)
    known = cache.recall(key)
    if known is not None:
        try:
            return _from_entry(known, module, facts)
        except (KeyError, TypeError, ValueError):
            pass
    threads = torch.get_num_threads()
    # The tiles are small: more threads would wait for one another, ten times longer on a machine that others use too.
    torch.set_num_threads(1)
    try:
        # The caller's random numbers are not ours to use up.
        with torch.random.fork_rng(devices=[]):
            spec = _tried(module, facts)
    finally:
        torch.set_num_threads(threads)
    cache.remember(key, _to_entry(spec))
    return spec


def _tried(module: nn.Module, facts: Facts) -> ModelSpec:
    axes = facts.axes or _axes(module, facts.name)
    if facts.scale is not None and len(facts.scale) == 1:
        facts = replace(facts, scale=facts.scale * len(axes))
    if facts.scale is not None and len(facts.scale) != len(axes):
        raise ModelError(
            f"The network '{facts.name}' mixes the axes '{axes}', and {len(facts.scale)} scales were given.",
            remedy=f"Give one scale, or one for each of '{axes}'.",
        )
    with torch.inference_mode():
        channels, multiple = _accepted(module, facts, dimensions=len(axes))
        edge = _edge(multiple, facts.minimum, len(axes))
        output = module(torch.rand(1, channels, *[edge] * len(axes)))
        scale = _scale(output, edge=edge, facts=facts)
        minimum = facts.minimum or _smallest(module, channels=channels, multiple=multiple, scale=scale)
    multiple = math.lcm(multiple, *_windows(module))
    receptive = _field(module, channels, scale, multiple, minimum)
    period = _period(module, channels, scale, multiple, minimum, receptive)
    if period != multiple:
        multiple, receptive = period, _field(module, channels, scale, period, minimum)
    spec = ModelSpec(
        name=facts.name,
        axes=axes,
        scale=scale,
        channels=channels,
        out_channels=output.shape[1],
        multiple=multiple,
        receptive=receptive,
        minimum=round_up(minimum, multiple),
        precisions=facts.precisions,
        values=facts.values,
        activation_bytes=0.0,
        weight_bytes=parameter_bytes(module),
        tile=facts.tile,
        flux=facts.flux,
    )
    return replace(spec, activation_bytes=memory.activation_bytes(module, spec=spec))


def _axes(module: nn.Module, name: str) -> str:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            return "yx"
        if isinstance(layer, nn.Conv3d):
            return "zyx"
    raise ModelError(
        f"The network '{name}' has no convolution that tells whether it works on planes or volumes.",
        remedy="Give the axes: 'yx' or 'zyx'.",
    )


def _accepted(module: nn.Module, facts: Facts, *, dimensions: int) -> tuple[int, int]:
    """Find the number of channels and the multiple of edges that the network runs with."""
    counts = [facts.channels] if facts.channels else list(_counts(module))
    denominator = math.lcm(*(factor.denominator for factor in facts.scale or (Fraction(1),)))
    multiples = [facts.multiple] if facts.multiple else [denominator * factor for factor in _FACTORS]
    trouble = ""
    for channels in counts:
        for multiple in multiples:
            edge = _edge(multiple, facts.minimum, dimensions)
            edges = (edge,) if facts.multiple else (edge, edge + multiple, edge + 3 * multiple)
            try:
                factors = {_factors(module, channels, size, dimensions) for size in edges}
            except Exception as error:  # noqa: BLE001  # a network can fail in any way on what it does not accept
                if channels == counts[0]:
                    trouble = str(error).splitlines()[0] if str(error) else type(error).__name__
                continue
            if len(factors) == 1:
                return channels, multiple
            trouble = "its output does not grow in proportion to its input"
    raise ModelError(
        f"The network '{facts.name}' ran with none of {counts} channels and edges that are multiples of {multiples}; "
        f"with {counts[0]}, the trouble was: {trouble}.",
        remedy="Give its channels, multiple, minimum and axes: see `scalesr.models.factory`.",
    )


def _factors(module: nn.Module, channels: int, edge: int, dimensions: int) -> tuple[Fraction, ...]:
    output = module(torch.rand(1, channels, *[edge] * dimensions))
    return tuple(Fraction(size, edge) for size in output.shape[2:])


def _counts(module: nn.Module) -> Iterator[int]:
    first = next((layer for layer in module.modules() if isinstance(layer, (nn.Conv2d, nn.Conv3d))), None)
    likely = [1, 3, 2, 4]
    if first is not None:
        yield first.in_channels
    yield from (count for count in likely if first is None or count != first.in_channels)


def _edge(multiple: int, minimum: int | None, dimensions: int) -> int:
    return round_up(max(minimum or 1, _EDGE[dimensions]), multiple)


def _scale(output: torch.Tensor, *, edge: int, facts: Facts) -> tuple[Fraction, ...]:
    scale = tuple(Fraction(size, edge) for size in output.shape[2:])
    if facts.scale is not None and scale != facts.scale:
        given, found = (" x ".join(map(str, factors)) for factors in (facts.scale, scale))
        raise ModelError(
            f"The network '{facts.name}' scales by {found}, and a scale of {given} was given.",
            remedy=f"Leave out the scale or give {found}.",
        )
    return scale


def _smallest(module: nn.Module, *, channels: int, multiple: int, scale: tuple[Fraction, ...]) -> int:
    edge = multiple
    while edge < 1024:
        try:
            output = module(torch.rand(1, channels, *[edge] * len(scale)))
        except Exception:  # noqa: BLE001  # as above
            edge *= 2
            continue
        if tuple(output.shape[2:]) == tuple(edge * factor for factor in scale):
            return edge
        edge *= 2
    return edge


def _windows(module: nn.Module) -> Iterator[int]:
    """Sizes of attention windows: networks pad their input to these without a word."""
    for layer in module.modules():
        size: Any = getattr(layer, "window_size", None)
        for edge in size if isinstance(size, (tuple, list)) else (size,):
            if isinstance(edge, int) and 1 < edge <= 64:
                yield edge


def _field(
    module: nn.Module, channels: int, scale: tuple[Fraction, ...], multiple: int, minimum: int
) -> tuple[int, ...] | None:
    return receptive_field(module, channels=channels, scale=scale, multiple=multiple, minimum=minimum)


def _period(
    module: nn.Module,
    channels: int,
    scale: tuple[Fraction, ...],
    multiple: int,
    minimum: int,
    receptive: tuple[int, ...] | None,
) -> int:
    """Find the smallest shift of the input that only shifts the output: the grid that tiles must lie on."""
    if receptive is None:
        # Every shift changes what a network sees that looks at the whole tile.
        return multiple
    for factor in _FACTORS:
        shift = factor * multiple
        if all(
            _repeats(module, channels, scale, multiple, minimum, axis, shift, receptive[axis])
            for axis in range(len(scale))
        ):
            return shift
    return multiple


def _repeats(
    module: nn.Module,
    channels: int,
    scale: tuple[Fraction, ...],
    multiple: int,
    minimum: int,
    axis: int,
    shift: int,
    reach: int,
) -> bool:
    across = round_up(max(minimum, 8), multiple)
    # What an output in the middle sees must lie inside the tile before and after the shift, with room for a window that
    # the field, measured for the smaller multiple, does not show.
    margin = round_up(reach + 2 * shift, multiple)
    length = max(2 * margin + shift + multiple, round_up(minimum, multiple))
    shape = [1, channels, *[across] * len(scale)]
    shape[2 + axis] = length + shift
    tile = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        here = module(tile.narrow(2 + axis, 0, length).clone())
        there = module(tile.narrow(2 + axis, shift, length).clone())
    count = int(multiple * scale[axis])
    one = here.narrow(2 + axis, int((margin + shift) * scale[axis]), count)
    other = there.narrow(2 + axis, int(margin * scale[axis]), count)
    return bool((one - other).abs().max() <= 1e-4 * here.std())


def _to_entry(spec: ModelSpec) -> dict[str, Any]:
    return {
        "axes": spec.axes,
        "scale": [str(factor) for factor in spec.scale],
        "channels": spec.channels,
        "out_channels": spec.out_channels,
        "multiple": spec.multiple,
        "receptive": spec.receptive,
        "minimum": spec.minimum,
        "activation_bytes": spec.activation_bytes,
    }


def _from_entry(entry: dict[str, Any], module: nn.Module, facts: Facts) -> ModelSpec:
    receptive = entry["receptive"]
    return ModelSpec(
        name=facts.name,
        axes=str(entry["axes"]),
        scale=tuple(Fraction(factor) for factor in entry["scale"]),
        channels=int(entry["channels"]),
        out_channels=int(entry["out_channels"]),
        multiple=int(entry["multiple"]),
        receptive=None if receptive is None else tuple(int(reach) for reach in receptive),
        minimum=int(entry["minimum"]),
        precisions=facts.precisions,
        values=facts.values,
        activation_bytes=float(entry["activation_bytes"]),
        weight_bytes=parameter_bytes(module),
        tile=facts.tile,
        flux=facts.flux,
    )
