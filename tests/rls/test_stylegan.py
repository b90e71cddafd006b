from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.signal import upfirdn
from torch.nn import functional

from scalesr.errors import ModelError, PlanError
from scalesr.rls.discriminator import Discriminator, with_deviation
from scalesr.rls.generator import StyleGAN2, unit
from scalesr.rls.layers import EqualConv, EqualLinear, ModulatedConv, enlarged, smoothed
from scalesr.rls.prior import spread
from scalesr.rls.settings import FlowSettings, GeneratorSettings


def test_the_published_network_has_as_many_parameters() -> None:
    """The mapping has 8 x (512 + 1) x 512, and the whole generator some 30 million."""
    with torch.device("meta"):
        network = StyleGAN2(GeneratorSettings.published(size=1024))
        small = StyleGAN2(GeneratorSettings.published(size=128))
    mapping = sum(each.numel() for each in network.mapping.parameters())
    assert mapping == 8 * 513 * 512
    assert sum(each.numel() for each in network.parameters()) == pytest.approx(30.4e6, rel=0.02)
    assert network.layers == 18
    assert small.layers == 12
    assert network.noise_shapes[-1] == (1024, 1024)
    assert len(network.noise_shapes) == 17
    assert network.settings.widths == (512, 512, 512, 512, 512, 256, 128, 64, 32)


@pytest.mark.parametrize(("size", "layers"), [(16, 6), (32, 8), (256, 14)])
def test_images_have_their_size(size: int, layers: int) -> None:
    settings = GeneratorSettings(size=size, channels=3, latent=8, depth=1, widths=(2,) * (size.bit_length() - 2))
    network = StyleGAN2(settings)
    assert network.layers == settings.layers == layers
    assert network(torch.randn(2, 8)).shape == (2, 3, size, size)


def test_settings_lead_back() -> None:
    settings = GeneratorSettings(size=32, widths=(16, 8, 8, 4))
    assert GeneratorSettings.from_json({**settings.to_json(), "other": 1}) == settings
    assert FlowSettings.from_json(FlowSettings(hidden=8).to_json()) == FlowSettings(hidden=8)


@pytest.mark.parametrize("wrong", [{"size": 24}, {"size": 8}, {"widths": (4,)}, {"channels": 0}])
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PlanError):
        GeneratorSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("demodulate", ["yes", "no"])
@pytest.mark.parametrize("up", [1, 2])
def test_a_modulated_convolution_is_the_grouped_one_of_the_paper(up: int, demodulate: str) -> None:
    """Equations 1 and 3 of arXiv 1912.04958: each image has weights of its own, scaled and normalised."""
    layer = ModulatedConv(3, 5, 3, latent=4, up=up, demodulate=demodulate).double()  # type: ignore[arg-type]
    x, w = torch.randn(2, 3, 6, 6, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    style = layer.style(w)
    weight = layer.weight[None] * layer.gain * style[:, None, :, None, None]
    if demodulate == "yes":
        weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    flat = x.reshape(1, 6, 6, 6)
    if up == 1:
        wanted = functional.conv2d(flat, weight.reshape(10, 3, 3, 3), padding=1, groups=2).view(2, 5, 6, 6)
    else:
        turned = weight.transpose(1, 2).reshape(6, 5, 3, 3)
        wanted = functional.conv_transpose2d(flat, turned, stride=2, groups=2).view(2, 5, 13, 13)
        wanted = smoothed(wanted, before=1, after=1, gain=4.0)
    torch.testing.assert_close(layer(x, w), wanted)


def test_demodulation_keeps_the_variance() -> None:
    torch.manual_seed(0)
    layer = ModulatedConv(64, 64, 3, latent=8).requires_grad_(requires_grad=False)
    x = torch.randn(4, 64, 16, 16)
    for gain in (0.1, 10.0):
        assert float(layer(x, gain * torch.randn(4, 8))[..., 1:-1, 1:-1].std()) == pytest.approx(1, abs=0.1)


def test_filters_are_those_of_upfirdn() -> None:
    x = torch.randn(1, 2, 5, 7, dtype=torch.float64)
    line = np.array([1, 3, 3, 1]) / 4

    def twice(values: np.ndarray) -> np.ndarray:
        for axis in (2, 3):
            values = np.moveaxis(upfirdn(line, np.moveaxis(values, axis, -1), up=2), -1, axis)
        return values[:, :, 1 : 1 + 10, 1 : 1 + 14]

    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (0, 1), (0, 1)))
    np.testing.assert_allclose(enlarged(x).numpy(), twice(padded), atol=1e-12)
    constant = smoothed(torch.ones(1, 1, 8, 8), before=2, after=2)[0, 0, 2:-2, 2:-2]
    torch.testing.assert_close(constant, torch.ones_like(constant))


def test_equalised_layers_keep_the_variance() -> None:
    torch.manual_seed(0)
    x = torch.randn(4096, 256)
    assert float(EqualLinear(256, 512, rate=0.01)(x).detach().std()) == pytest.approx(1, abs=0.05)
    found = EqualConv(64, 64, 3)(torch.randn(2, 64, 16, 16)).detach()[..., 1:-1, 1:-1]
    # Half of 1 + slope^2, times the square of the gain.
    assert float(found.square().mean()) == pytest.approx(1.04, abs=0.1)


def test_w_and_its_rows_mean_the_same(generator: StyleGAN2) -> None:
    w = generator.mapping(torch.randn(2, 32))
    rows = w[:, None].repeat(1, generator.layers, 1)
    assert torch.equal(generator.synthesis(w), generator.synthesis(rows))


def test_noise_is_fixed_given_or_none(generator: StyleGAN2) -> None:
    z = torch.randn(2, 32)
    maps = [getattr(generator, f"noise_{place}") for place in range(5)]
    assert torch.equal(generator(z), generator(z, maps))
    assert not torch.equal(generator(z), generator(z, "none"))
    torch.testing.assert_close(generator(z, [0 * each for each in maps]), generator(z, "none"))
    own = [torch.randn(2, 1, *shape) for shape in generator.noise_shapes]
    both = generator(z, own)
    torch.testing.assert_close(both[1:], generator(z[1:], [each[1:] for each in own]), atol=1e-5, rtol=1e-5)


def test_other_latents_are_refused(generator: StyleGAN2) -> None:
    with pytest.raises(ModelError, match="noise maps"):
        generator.synthesis(torch.zeros(1, 3, 32))
    with pytest.raises(ModelError, match="noise maps"):
        generator.synthesis(torch.zeros(1, 32), [torch.zeros(1, 1, 4, 4)])


def test_truncation_goes_towards_the_mean(generator: StyleGAN2) -> None:
    w = generator.mapping(torch.randn(3, 32))
    torch.testing.assert_close(generator.truncated(w, share=1.0), w)
    assert torch.equal(generator.truncated(w, share=0.0), generator.mean.expand(3, -1))
    mean, std = spread(generator, count=5000)
    torch.testing.assert_close(generator.mapping(torch.randn(20000, 32)).mean(0), mean, atol=0.05, rtol=0)
    assert bool((std > 0).all())
    assert torch.equal(unit(torch.tensor([-1.0, 1.0])), torch.tensor([0.0, 1.0]))


def test_the_discriminator_sees_how_images_differ() -> None:
    settings = GeneratorSettings(size=16, channels=2, latent=8, depth=1, widths=(6, 5, 4))
    network = Discriminator(settings)
    assert network(torch.randn(6, 2, 16, 16)).shape == (6,)
    x = torch.randn(8, 3, 4, 4)
    told = with_deviation(x)
    assert told.shape == (8, 4, 4, 4)
    wanted = math.sqrt(float(x[[0, 2, 4, 6], 1, 2, 3].var(unbiased=False)) + 1e-8)
    each = [
        math.sqrt(float(x[[0, 2, 4, 6], c, i, j].var(unbiased=False)) + 1e-8)
        for c in range(3)
        for i in range(4)
        for j in range(4)
    ]
    assert wanted in each
    assert float(told[0, 3, 0, 0]) == pytest.approx(np.mean(each), rel=1e-5)
    assert torch.equal(told[0, 3], told[2, 3])
    assert with_deviation(x[:7]).shape == (7, 4, 4, 4)


def test_gradients_of_gradients_are_there() -> None:
    settings = GeneratorSettings(size=16, channels=1, latent=8, depth=1, widths=(4, 4, 4))
    network, rival = StyleGAN2(settings), Discriminator(settings)
    w = network.mapping(torch.randn(2, 8))[:, None].repeat(1, 6, 1).detach().requires_grad_()
    (slope,) = torch.autograd.grad((network.synthesis(w) * torch.randn(2, 1, 16, 16)).sum(), w, create_graph=True)
    torch.autograd.backward(slope.square().sum())
    assert all(each.grad is not None for name, each in network.named_parameters() if "conv.weight" in name)
    images = torch.randn(4, 1, 16, 16, requires_grad=True)
    (slope,) = torch.autograd.grad(rival(images).sum(), images, create_graph=True)
    torch.autograd.backward(slope.square().sum())
    assert rival.entry.weight.grad is not None
