"""The discriminator: its size, its names, its normalisation, and what it can learn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scalesr.errors import ModelError
from scalesr.hyres.adversarial import discriminator_loss
from scalesr.hyres.discriminator import UNetDiscriminator

NORMALISED = [f"conv{layer}" for layer in range(1, 9)]


def small(seed: int = 0, *, channels: int = 1) -> UNetDiscriminator:
    torch.manual_seed(seed)
    return UNetDiscriminator(channels, features=8)


def test_it_has_as_many_parameters_as_the_published_one() -> None:
    network = UNetDiscriminator(3, features=64)
    assert sum(parameter.numel() for parameter in network.parameters()) == 4_376_897


@settings(max_examples=10, deadline=None)
@given(y=st.integers(1, 4), x=st.integers(1, 4), n=st.integers(1, 3), channels=st.sampled_from([1, 3]))
def test_each_pixel_gets_a_logit(y: int, x: int, n: int, channels: int) -> None:
    with torch.inference_mode():
        assert small(channels=channels)(torch.rand(n, channels, 8 * y, 8 * x)).shape == (n, 1, 8 * y, 8 * x)


@pytest.mark.parametrize("shape", [(32, 36), (12, 32)])
def test_edges_that_do_not_halve_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ModelError, match=f"{shape[0]} x {shape[1]} px") as caught:
        small()(torch.rand(1, 1, *shape))
    assert "multiples of 8" in caught.value.remedy


def test_the_largest_singular_value_is_brought_to_one() -> None:
    network = small().train()
    for _ in range(200):
        network(torch.zeros(1, 1, 8, 8))
    network.eval()
    for name in NORMALISED:
        weight = network.get_submodule(name).weight
        assert isinstance(weight, torch.Tensor)
        assert torch.linalg.matrix_norm(weight.flatten(1), ord=2).item() == pytest.approx(1.0, rel=1e-2)
        assert network.get_submodule(name).bias is None


def test_passes_move_the_estimate_in_training_only() -> None:
    network, image = small(), torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        network.train()
        first, second = network(image), network(image)
        network.eval()
        third, fourth = network(image), network(image)
    assert not torch.equal(first, second)
    assert torch.equal(third, fourth)


def test_a_state_that_is_put_back_goes_on_with_the_same_bits() -> None:
    network, other, image = small(1), small(2), torch.rand(2, 1, 16, 16)
    network.train()
    network(image)
    other.load_state_dict(network.state_dict())
    assert torch.equal(network(image), other(image))


@pytest.mark.parametrize("name", ["x0", "x1", "x2"])
def test_the_way_down_leads_across(name: str) -> None:
    """With the way up cut at the level below, only a skip connection can carry the image on."""
    network = small().eval()
    cut = {"x2": "conv4", "x1": "conv5", "x0": "conv6"}[name]
    network.get_submodule(cut).register_forward_hook(lambda _module, _inputs, output: 0 * output)
    image = torch.rand(1, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(image).sum(), image)
    assert gradient.any()


def test_it_learns_to_tell_noise_from_stripes() -> None:
    network = small()
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    stripes = torch.cos(torch.arange(16.0)).expand(4, 1, 16, 16)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        phase = torch.randn(4, 1, 16, 16, generator=generator)
        loss = discriminator_loss(network(stripes), network(phase))
        loss.backward()  # type: ignore[no-untyped-call]  # torch's stubs lack it
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
