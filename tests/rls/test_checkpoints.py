from __future__ import annotations

import argparse
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional

from scalesr.errors import ModelError
from scalesr.models import convert
from scalesr.rls.checkpoints import FACTOR, MEAN_OF, load, save
from scalesr.rls.generator import StyleGAN2
from scalesr.rls.keymaps import recognised, translated
from scalesr.rls.prior import spread

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.rls.prior import Prior

Tensors = dict[str, torch.Tensor]

LATENT, DEPTH, WIDTHS, CHANNELS = 12, 3, (6, 5, 4), 3
CLASSES = 4


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) + 31 * len(shape)))


def rosinality() -> Tensors:
    """A state dict of g_ema for 16 px, as rosinality's stylegan2-pytorch names it."""
    found = {"input.input": random(1, WIDTHS[0], 4, 4)}
    for layer in range(DEPTH):
        found[f"style.{layer + 1}.weight"] = random(LATENT, LATENT) * 100 + layer
        found[f"style.{layer + 1}.bias"] = random(LATENT) * 10

    def conv(name: str, inner: int, outer: int, kernel: int) -> None:
        found[f"{name}.conv.weight"] = random(1, outer, inner, kernel, kernel)
        found[f"{name}.conv.modulation.weight"] = random(inner, LATENT)
        found[f"{name}.conv.modulation.bias"] = random(inner) + 1

    def styled(name: str, inner: int, outer: int) -> None:
        conv(name, inner, outer, 3)
        found[f"{name}.noise.weight"] = random(1) * 0.3
        found[f"{name}.activate.bias"] = random(outer)

    styled("conv1", 6, 6)
    conv("to_rgb1", 6, CHANNELS, 1)
    found["to_rgb1.bias"] = random(1, CHANNELS, 1, 1)
    for level, (coarse, fine) in enumerate([(6, 5), (5, 4)]):
        styled(f"convs.{2 * level}", coarse, fine)
        found[f"convs.{2 * level}.conv.blur.kernel"] = random(4, 4)
        styled(f"convs.{2 * level + 1}", fine, fine)
        conv(f"to_rgbs.{level}", fine, CHANNELS, 1)
        found[f"to_rgbs.{level}.bias"] = random(1, CHANNELS, 1, 1)
        found[f"to_rgbs.{level}.upsample.kernel"] = random(4, 4)
    for place, edge in enumerate((4, 8, 8, 16, 16)):
        found[f"noises.noise_{place}"] = random(1, 1, edge, edge)
    return found


def nvidia(*, classes: int = 0) -> Tensors:
    """A state dict of G_ema for 16 px, as NVIDIA's stylegan2-ada-pytorch names it."""
    found = {"synthesis.b4.const": random(WIDTHS[0], 4, 4), "mapping.w_avg": random(LATENT)}
    for layer in range(DEPTH):
        inner = 2 * LATENT if classes and layer == 0 else LATENT
        found[f"mapping.fc{layer}.weight"] = random(LATENT, inner) * 100 + layer
        found[f"mapping.fc{layer}.bias"] = random(LATENT) * 10
    if classes:
        found["mapping.embed.weight"] = random(LATENT, classes)
        found["mapping.embed.bias"] = random(LATENT)
    for level, edge in enumerate((4, 8, 16)):
        fine, coarse = WIDTHS[level], WIDTHS[max(level - 1, 0)]
        for name, inner, outer, kernel in (
            ("conv0", coarse, fine, 3),
            ("conv1", fine, fine, 3),
            ("torgb", fine, CHANNELS, 1),
        ):
            if edge == 4 and name == "conv0":
                continue
            block = f"synthesis.b{edge}.{name}"
            found[f"{block}.weight"] = random(outer, inner, kernel, kernel)
            found[f"{block}.bias"] = random(outer)
            found[f"{block}.affine.weight"] = random(inner, LATENT)
            found[f"{block}.affine.bias"] = random(inner) + 1
            if name != "torgb":
                found[f"{block}.noise_strength"] = random(1)[0] * 0.3
                found[f"{block}.noise_const"] = random(edge, edge)
                found[f"{block}.resample_filter"] = random(4, 4)
    return found


def activated(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, 0.2) * math.sqrt(2)


def resampled(x: torch.Tensor, *, up: int, before: int, after: int, gain: float) -> torch.Tensor:
    """upfirdn2d with [1, 3, 3, 1], written out: zeros between, zeros around, correlation."""
    n, c, h, w = x.shape
    wide = x.new_zeros(n, c, h * up, w * up)
    wide[:, :, ::up, ::up] = x
    wide = functional.pad(wide, (before, after, before, after)).reshape(n * c, 1, h * up + before + after, -1)
    line = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
    plane = torch.outer(line, line) / 64 * gain
    found = functional.conv2d(wide, plane[None, None])
    return found.view(n, c, *found.shape[2:])


def convolved(
    x: torch.Tensor, weight: torch.Tensor, style: torch.Tensor, *, up: bool = False, demodulate: bool = True
) -> torch.Tensor:
    """Weights of each image's own, as in both published codes."""
    own = weight[None] * style[:, None, :, None, None]
    if demodulate:
        own = own * torch.rsqrt(own.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    out = []
    for image, each in zip(x, own, strict=True):
        if up:
            made = functional.conv_transpose2d(image[None], each.transpose(0, 1), stride=2)
            out.append(resampled(made, up=1, before=1, after=1, gain=4.0))
        else:
            out.append(functional.conv2d(image[None], each, padding=weight.shape[-1] // 2))
    return torch.cat(out)


def mapped(z: torch.Tensor, layers: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    for weight, bias in layers:
        z = activated(z @ weight.t() * (0.01 / math.sqrt(weight.shape[1])) + 0.01 * bias)
    return z


def normalised(z: torch.Tensor) -> torch.Tensor:
    return z * torch.rsqrt(z.square().mean(1, keepdim=True) + 1e-8)


def by_rosinality(named: Tensors, z: torch.Tensor) -> torch.Tensor:
    w = mapped(normalised(z), [(named[f"style.{k}.weight"], named[f"style.{k}.bias"]) for k in range(1, DEPTH + 1)])

    def conv(name: str, x: torch.Tensor, **kind: bool) -> torch.Tensor:
        weight = named[f"{name}.conv.weight"][0]
        style = w @ named[f"{name}.conv.modulation.weight"].t() / math.sqrt(LATENT)
        scale = 1 / math.sqrt(weight[0].numel())
        return convolved(x, scale * weight, style + named[f"{name}.conv.modulation.bias"], **kind)

    def styled(name: str, place: int, x: torch.Tensor, *, up: bool = False) -> torch.Tensor:
        x = conv(name, x, up=up) + named[f"{name}.noise.weight"] * named[f"noises.noise_{place}"]
        return activated(x + named[f"{name}.activate.bias"].view(1, -1, 1, 1))

    x = styled("conv1", 0, named["input.input"].repeat(len(z), 1, 1, 1))
    image = conv("to_rgb1", x, demodulate=False) + named["to_rgb1.bias"]
    for level in range(2):
        x = styled(f"convs.{2 * level}", 2 * level + 1, x, up=True)
        x = styled(f"convs.{2 * level + 1}", 2 * level + 2, x)
        below = resampled(image, up=2, before=2, after=1, gain=4.0)
        image = conv(f"to_rgbs.{level}", x, demodulate=False) + named[f"to_rgbs.{level}.bias"] + below
    return image


def by_nvidia(named: Tensors, z: torch.Tensor, condition: int | None = None) -> torch.Tensor:
    z = normalised(z)
    if condition is not None:
        told = named["mapping.embed.weight"][:, condition] / math.sqrt(CLASSES) + named["mapping.embed.bias"]
        z = torch.cat([z, normalised(told[None]).expand(len(z), -1)], dim=1)
    w = mapped(z, [(named[f"mapping.fc{k}.weight"], named[f"mapping.fc{k}.bias"]) for k in range(DEPTH)])

    def conv(name: str, x: torch.Tensor, **kind: bool) -> torch.Tensor:
        weight = named[f"{name}.weight"]
        style = w @ named[f"{name}.affine.weight"].t() / math.sqrt(LATENT) + named[f"{name}.affine.bias"]
        if name.endswith("torgb"):
            return convolved(x, weight, style / math.sqrt(weight.shape[1]), demodulate=False) + named[
                f"{name}.bias"
            ].view(1, -1, 1, 1)
        x = convolved(x, weight, style, **kind) + named[f"{name}.noise_strength"] * named[f"{name}.noise_const"]
        return activated(x + named[f"{name}.bias"].view(1, -1, 1, 1))

    x = conv("synthesis.b4.conv1", named["synthesis.b4.const"][None].repeat(len(z), 1, 1, 1))
    image = conv("synthesis.b4.torgb", x)
    for edge in (8, 16):
        x = conv(f"synthesis.b{edge}.conv1", conv(f"synthesis.b{edge}.conv0", x, up=True))
        image = conv(f"synthesis.b{edge}.torgb", x) + resampled(image, up=2, before=2, after=1, gain=4.0)
    return image


def ours(tensors: Tensors, z: torch.Tensor, **choice: Any) -> torch.Tensor:
    settings, state = translated(tensors, **choice)
    generator = StyleGAN2(settings)
    generator.load_state_dict(state)
    with torch.inference_mode():
        found: torch.Tensor = generator(z)
    return found


def test_weights_of_rosinality_s_make_the_same_images() -> None:
    z = torch.randn(2, LATENT)
    torch.testing.assert_close(ours(rosinality(), z), by_rosinality(rosinality(), z), atol=2e-4, rtol=1e-4)
    whole = {f"g_ema.{name}": value for name, value in rosinality().items()}
    assert torch.equal(ours(whole, z), ours(rosinality(), z))
    without = {name: value for name, value in rosinality().items() if "noises" not in name}
    assert ours(without, z).shape == (2, CHANNELS, 16, 16)


def test_weights_of_nvidia_s_make_the_same_images() -> None:
    z = torch.randn(2, LATENT)
    torch.testing.assert_close(ours(nvidia(), z), by_nvidia(nvidia(), z), atol=2e-4, rtol=1e-4)
    settings, state = translated(nvidia())
    assert torch.equal(state["mean"], nvidia()["mapping.w_avg"])
    assert (settings.size, settings.widths, settings.depth) == (16, WIDTHS, DEPTH)


@pytest.mark.parametrize("condition", [0, 3])
def test_a_class_of_a_conditional_network_becomes_a_network(condition: int) -> None:
    z, named = torch.randn(2, LATENT), nvidia(classes=CLASSES)
    found = ours(named, z, condition=condition)
    torch.testing.assert_close(found, by_nvidia(named, z, condition), atol=2e-4, rtol=1e-4)
    with pytest.raises(ModelError, match="classes"):
        translated(named)
    with pytest.raises(ModelError, match="class 4"):
        translated(named, condition=4)
    with pytest.raises(ModelError, match="no classes"):
        translated(nvidia(), condition=0)


def test_other_tensors_are_refused() -> None:
    assert recognised({"a": torch.zeros(1)}) is None
    with pytest.raises(ModelError, match="neither"):
        translated({"a": torch.zeros(1)})
    torn = {name: value for name, value in rosinality().items() if "activate" not in name}
    with pytest.raises(ModelError, match=r"conv1\.activate\.bias"):
        translated(torn)


def test_a_file_holds_generator_and_prior(tmp_path: Path, generator: StyleGAN2, prior: Prior) -> None:
    path = tmp_path / "pair.safetensors"
    save(path, generator, prior, title="cells", factor=4, extra={"step": 3, "search.gate": 0.2})
    pair = load(path)
    assert pair.generator.settings == generator.settings
    assert pair.prior is not None
    for one, other in ((generator, pair.generator), (prior, pair.prior)):
        for (name, value), (same, again) in zip(one.state_dict().items(), other.state_dict().items(), strict=True):
            assert name == same
            assert torch.equal(value, again)
    assert not pair.generator.training
    assert not any(value.requires_grad for value in pair.prior.parameters())
    with safe_open(path, framework="pt") as file:
        said = file.metadata()
    assert said["architecture"] == "rls"
    assert said["scale"] == "1,4,4"
    assert json.loads(said["training.step"]) == 3
    save(path, generator, title="alone")
    assert load(path).prior is None


def test_published_weights_are_loaded_from_files(tmp_path: Path) -> None:
    path, z = tmp_path / "g_ema.safetensors", torch.randn(1, LATENT)
    save_file(rosinality(), path)
    assert torch.equal(load(path).generator(z), ours(rosinality(), z))
    torch.save({"g_ema": rosinality()}, tmp_path / "g_ema.pt")
    with pytest.raises(ModelError, match="pickle"):
        load(tmp_path / "g_ema.pt")


def test_checkpoints_of_training_scripts_become_plain_tensors(tmp_path: Path) -> None:
    """A file of rosinality's training has optimisers and a command line beside the weights, which are left out."""
    content = {"g": {}, "g_ema": rosinality(), "d": {}, "args": argparse.Namespace(batch=16, path="data")}
    torch.save(content, tmp_path / "training.pt")
    path = convert(tmp_path / "training.pt", tmp_path / "g.safetensors")
    pair = load(path)
    assert pair.prior is None
    # It has no mean latent, from which a search without a flow begins.
    mean, _ = spread(pair.generator, count=MEAN_OF)
    torch.testing.assert_close(pair.generator.mean, mean)
    assert float(mean.abs().max()) > 0
    assert pair.factor == FACTOR


def test_other_files_are_refused(tmp_path: Path, generator: StyleGAN2) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="no generator"):
        load(path)
    with pytest.raises(ModelError, match="no file"):
        load(tmp_path / "absent.safetensors")
    tensors = {f"generator.{name}": value.contiguous() for name, value in generator.state_dict().items()}
    said = {"architecture": "rls", "generator": json.dumps({**generator.settings.to_json(), "latent": 16})}
    save_file(tensors, path, metadata=said)
    with pytest.raises(ModelError, match="go together"):
        load(path)
