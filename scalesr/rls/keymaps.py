"""Names of a generator's tensors elsewhere: in rosinality's stylegan2-pytorch and in NVIDIA's stylegan2-ada-pytorch.

Both compute what `scalesr.rls.generator` does. NVIDIA's stores the weights of demodulated convolutions without the
factor of the equalised learning rate, which demodulation takes out again.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import torch

from scalesr.errors import ModelError
from scalesr.rls.layers import TINY
from scalesr.rls.settings import GeneratorSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

Tensors = dict[str, torch.Tensor]

_FIRST = "conv1.conv.modulation.weight"
_NVIDIA = "synthesis.b4.const"


def recognised(tensors: Mapping[str, torch.Tensor]) -> str | None:
    """Return ``rosinality`` or ``nvidia`` for tensors named as there, with or without ``g_ema.`` in front; or None."""
    names = _plain(tensors)
    return "rosinality" if _FIRST in names else "nvidia" if _NVIDIA in names else None


def translated(
    tensors: Mapping[str, torch.Tensor], *, condition: int | None = None
) -> tuple[GeneratorSettings, Tensors]:
    """Return the sizes of a published network, and its tensors as a `StyleGAN2` names them.

    Parameters
    ----------
    tensors
        The state dict of ``g_ema`` (rosinality) or ``G_ema`` (NVIDIA).
    condition
        Class that a conditional network of NVIDIA's is to make; its mapping becomes one of that class alone, which is
        exact, as the class only adds to the biases of the first layer.

    Raises
    ------
    ModelError
        Neither kind of names, or another architecture under them; or a class is missing, or given where there is none.
    """
    kind, named = recognised(tensors), _plain(tensors)
    if kind is None:
        raise ModelError(
            "The tensors are named neither as rosinality's nor as NVIDIA's StyleGAN2.",
            remedy="Give the state dict of g_ema or G_ema, as scalesr.models.convert writes it.",
        )
    try:
        found = _from_rosinality(named) if kind == "rosinality" else _from_nvidia(named, condition)
    except (KeyError, IndexError) as error:
        raise ModelError(
            f"The tensors are named as {kind}'s, but {error} is missing.",
            remedy="Give a StyleGAN2 generator with skip connections to images, whole.",
        ) from error
    if condition is not None and "mapping.embed.weight" not in named:
        raise ModelError("The network knows no classes.", remedy="Leave the class out.")
    return found


def _plain(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    return {re.sub(r"^(g_ema|G_ema|generator)\.", "", name): value.float() for name, value in tensors.items()}


def _settings(found: Tensors, levels: int, depth: int) -> GeneratorSettings:
    return GeneratorSettings(
        size=4 << (levels - 1),
        channels=found["images.0.bias"].numel(),
        latent=found["mapping.layers.0.weight"].shape[0],
        depth=depth,
        widths=tuple(found[f"images.{level}.conv.weight"].shape[1] for level in range(levels)),
    )


def _from_rosinality(named: Tensors) -> tuple[GeneratorSettings, Tensors]:
    levels = 1 + len({name.split(".")[1] for name in named if name.startswith("to_rgbs.")})
    depth = len({name.split(".")[1] for name in named if name.startswith("style.")})
    found = {"start": named["input.input"]}
    for layer in range(depth):
        for part in ("weight", "bias"):
            # The first entry of the sequence there is the normalisation of z.
            found[f"mapping.layers.{layer}.{part}"] = named[f"style.{layer + 1}.{part}"]
    for place in range(2 * levels - 1):
        theirs = "conv1" if place == 0 else f"convs.{place - 1}"
        found |= _conv(named, f"{theirs}.conv", f"convs.{place}.conv", style="modulation")
        found[f"convs.{place}.strength"] = named[f"{theirs}.noise.weight"].reshape(())
        found[f"convs.{place}.bias"] = named[f"{theirs}.activate.bias"].reshape(-1)
        edge = 4 << ((place + 1) // 2)
        noise = named.get(f"noises.noise_{place}")
        found[f"noise_{place}"] = _noise(edge) if noise is None else noise
    for level in range(levels):
        theirs = "to_rgb1" if level == 0 else f"to_rgbs.{level - 1}"
        found |= _conv(named, f"{theirs}.conv", f"images.{level}.conv", style="modulation")
        found[f"images.{level}.bias"] = named[f"{theirs}.bias"].reshape(-1)
    return _with_mean(found, None), found


def _from_nvidia(named: Tensors, condition: int | None) -> tuple[GeneratorSettings, Tensors]:
    edges = sorted({int(name.split(".")[1][1:]) for name in named if re.match(r"synthesis\.b\d+\.", name)})
    depth = len({name.split(".")[1] for name in named if re.match(r"mapping\.fc\d+\.", name)})
    found = {"start": named["synthesis.b4.const"][None]}
    for layer in range(depth):
        for part in ("weight", "bias"):
            found[f"mapping.layers.{layer}.{part}"] = named[f"mapping.fc{layer}.{part}"]
    if "mapping.embed.weight" in named:
        found |= _of_class(named, condition)
    for level, edge in enumerate(edges):
        block = f"synthesis.b{edge}"
        for theirs, place in (("conv0", 2 * level - 1), ("conv1", 2 * level)):
            if place < 0:
                continue
            found |= _conv(named, f"{block}.{theirs}", f"convs.{place}.conv", style="affine")
            found[f"convs.{place}.strength"] = named[f"{block}.{theirs}.noise_strength"].reshape(())
            found[f"convs.{place}.bias"] = named[f"{block}.{theirs}.bias"]
            found[f"noise_{place}"] = named[f"{block}.{theirs}.noise_const"][None, None]
        found |= _conv(named, f"{block}.torgb", f"images.{level}.conv", style="affine")
        found[f"images.{level}.bias"] = named[f"{block}.torgb.bias"]
    return _with_mean(found, named.get("mapping.w_avg")), found


def _of_class(named: Tensors, condition: int | None) -> Tensors:
    """Return the first layer of a mapping for one class: what the class adds to it becomes a part of its biases."""
    table = named["mapping.embed.weight"]
    if condition is None or not 0 <= condition < table.shape[1]:
        raise ModelError(
            f"The network makes images of {table.shape[1]} classes, and class {condition} was asked for.",
            remedy=f"Give a class from 0 to {table.shape[1] - 1}.",
        )
    told = table[:, condition] / math.sqrt(table.shape[1]) + named["mapping.embed.bias"]
    told = told * torch.rsqrt(told.square().mean() + TINY)
    weight, rate = named["mapping.fc0.weight"], 0.01
    inner, latent = weight.shape[1], weight.shape[1] - len(told)
    # The layer's own factors are rate / sqrt(inner) for the weights, and rate for the biases.
    return {
        "mapping.layers.0.weight": weight[:, :latent] * math.sqrt(latent / inner),
        "mapping.layers.0.bias": named["mapping.fc0.bias"]
        + weight[:, latent:] @ told * (rate / math.sqrt(inner)) / rate,
    }


def _conv(named: Tensors, theirs: str, ours: str, *, style: str) -> Tensors:
    weight = named[f"{theirs}.weight"]
    return {
        f"{ours}.weight": weight[0] if weight.ndim == 5 else weight,
        f"{ours}.style.weight": named[f"{theirs}.{style}.weight"],
        f"{ours}.style.bias": named[f"{theirs}.{style}.bias"],
    }


def _noise(edge: int) -> torch.Tensor:
    """Return a noise map for files that have none: old ones of rosinality's drew it anew each time."""
    return torch.randn(1, 1, edge, edge, generator=torch.Generator().manual_seed(edge))


def _with_mean(found: Tensors, mean: torch.Tensor | None) -> GeneratorSettings:
    levels = sum(name.startswith("images.") and name.endswith(".bias") and name.count(".") == 2 for name in found)
    depth = sum(name.startswith("mapping.") and name.endswith(".bias") for name in found)
    settings = _settings(found, levels, depth)
    found["mean"] = torch.zeros(settings.latent) if mean is None else mean
    return settings
