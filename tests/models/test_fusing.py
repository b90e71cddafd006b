"""Networks rewritten for inference compute what they did, with less work; what cannot be rewritten stays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from threading import Event
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import fx, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from scalesr.models import ModelSpec
from scalesr.models.edsr import EDSR
from scalesr.models.fused import EnlargingConvolution, FusedConvolution, Rectifier
from scalesr.models.fusing import fused
from scalesr.models.merging import merged
from scalesr.models.rrdb import RRDBNet

BORDER = 6


def spec_of(*, scale: int = 1, axes: str = "yx", channels: int = 1, multiple: int = 1) -> ModelSpec:
    return ModelSpec(
        name="small",
        axes=axes,
        scale=(Fraction(scale),) * len(axes),
        channels=channels,
        out_channels=1,
        multiple=multiple,
        receptive=None,
        activation_bytes=100.0,
    )


def tiles_of(channels: int = 1, *, edge: int = 32, dimensions: int = 2) -> torch.Tensor:
    return torch.rand((2, channels, *[edge] * dimensions), generator=torch.Generator().manual_seed(1))


def seeded(build: Any, **sizes: Any) -> nn.Module:
    torch.manual_seed(3)
    network: nn.Module = build(**sizes).eval().requires_grad_(requires_grad=False)
    return network


def inside(values: torch.Tensor, scale: int) -> torch.Tensor:
    cut = slice(BORDER * scale, -BORDER * scale)
    return values[(slice(None), slice(None), *[cut] * (values.ndim - 2))]


def agree(network: nn.Module, rewritten: nn.Module, tiles: torch.Tensor, *, scale: int = 1) -> None:
    with torch.inference_mode():
        expected, found = network(tiles), rewritten(tiles)
    assert expected.shape == found.shape
    expected, found = inside(expected, scale), inside(found, scale)
    assert float((expected - found).abs().max()) <= 1e-5 * float(expected.abs().max())


def operations(network: nn.Module, tiles: torch.Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(tiles)
    return int(counter.get_total_flops())


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_edsr_is_the_same_with_its_tail_multiplied_out(scale: int) -> None:
    network = seeded(EDSR, features=8, blocks=2, scale=scale, residual_scale=0.1, image_range=255.0, mean=(0.4,))
    rewritten = fused(network, spec_of(scale=scale))
    assert rewritten is not network
    agree(network, rewritten, tiles_of(), scale=scale)
    convolutions = [layer for layer in rewritten.modules() if isinstance(layer, FusedConvolution)]
    used = sum(node.op == "call_module" for node in rewritten.graph.nodes)  # type: ignore[union-attr]
    # The body, the first and one for the whole tail; without a shuffle, the last two stay apart.
    assert len([layer for layer in convolutions if layer.weight.shape[0] != 8]) == 1
    assert used == 1 + 2 * 2 + 2 + (0 if scale == 1 else {2: 1, 3: 1, 4: 2}[scale])


def test_the_tail_of_edsr_takes_a_tenth_of_its_work() -> None:
    features = 32
    first = nn.Conv2d(features, 4 * features, 3, padding=1)
    both = merged(first, 2, nn.Conv2d(features, 1, 3, padding=1))
    assert both is not None
    assert both.weight.shape == (4, 32, 5, 5)
    before = 9 * features * 4 * features + 4 * 9 * features
    assert both.weight.numel() / before == pytest.approx(0.084, abs=0.001)


@given(
    inputs=st.integers(2, 5),
    outputs=st.integers(1, 2),
    kernels=st.tuples(st.sampled_from([1, 3, 5]), st.sampled_from([1, 3, 5])),
    step=st.integers(1, 3),
    bias=st.sampled_from(["with", "without"]),
)
@settings(max_examples=60, deadline=None)
def test_two_convolutions_around_a_shuffle_are_one(
    inputs: int, outputs: int, kernels: tuple[int, int], step: int, bias: str
) -> None:
    torch.manual_seed(0)
    first = nn.Conv2d(inputs, 16 * step**2, kernels[0], padding=kernels[0] // 2, bias=bias == "with").double()
    second = nn.Conv2d(16, outputs, kernels[1], padding=kernels[1] // 2, bias=bias == "with").double()
    both = merged(first, step, second)
    if both is None:
        return
    image = torch.rand(1, inputs, 24, 21, dtype=torch.float64)
    with torch.no_grad():
        expected = second(functional.pixel_shuffle(first(image), step))
        found = functional.pixel_shuffle(both.double()(image), step)
    cut = slice(4 * step, -4 * step)
    assert torch.allclose(found[..., cut, cut], expected[..., cut, cut], atol=1e-5)


def test_nothing_is_merged_that_would_cost_more() -> None:
    first, second = nn.Conv2d(64, 4, 3, padding=1), nn.Conv2d(1, 8, 3, padding=1)
    assert merged(first, 2, second) is None
    assert merged(nn.Conv2d(8, 64, 3, padding=1, stride=2), 2, nn.Conv2d(16, 1, 3, padding=1)) is None
    assert merged(nn.Conv2d(8, 64, 3, padding=1), 2, nn.Conv2d(16, 1, 3)) is None


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("precision", [None, torch.bfloat16])
def test_rrdb_networks_enlarge_behind_their_convolutions(scale: int, precision: torch.dtype | None) -> None:
    network = seeded(RRDBNet, features=8, growth=4, blocks=1, scale=scale)
    rewritten = fused(network, spec_of(scale=scale, multiple=4 // scale), short=precision)
    assert sum(isinstance(layer, EnlargingConvolution) for layer in rewritten.modules()) == 2
    if precision is None:
        agree(network, rewritten, tiles_of(), scale=scale)
        assert operations(rewritten, tiles_of()) < 0.8 * operations(network, tiles_of())


@given(step=st.integers(2, 4), bias=st.sampled_from(["with", "without"]), slope=st.sampled_from([None, 0.0, 0.2]))
@settings(max_examples=20, deadline=None)
def test_repeated_pixels_are_never_made(step: int, bias: str, slope: float | None) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 5, 3, padding=1, bias=bias == "with")
    rectifier: Rectifier = "none" if slope is None else "leaky_relu"
    image = torch.rand(2, 3, 7, 9)
    with torch.inference_mode():
        expected = convolution(functional.interpolate(image, scale_factor=float(step), mode="nearest"))
        expected = expected if slope is None else functional.leaky_relu(expected, slope)
        found = EnlargingConvolution(convolution, step=step, rectifier=rectifier, slope=slope or 0.0)(image)
    # At the border too: zeros around repeated pixels are repeated zeros.
    assert torch.allclose(found, expected, atol=1e-6)


class Drawn(nn.Module):
    """A network of layers drawn at random, whose every tensor may be read again by any later layer."""

    def __init__(self, steps: list[tuple[str, int, int]], dimensions: int) -> None:
        super().__init__()
        convolution = nn.Conv2d if dimensions == 2 else nn.Conv3d
        norm = nn.BatchNorm2d if dimensions == 2 else nn.BatchNorm3d
        self.steps = steps
        self.layers = nn.ModuleList()
        for kind, _, _ in steps:
            match kind:
                case "convolution":
                    self.layers.append(convolution(4, 4, 3, padding=1))
                case "pair":
                    self.layers.append(convolution(8, 4, 3, padding=1))
                case "norm":
                    self.layers.append(norm(4))
                case "rectifier":
                    self.layers.append(nn.LeakyReLU(0.1))
                case _:
                    self.layers.append(nn.Identity())
        self.first, self.last = convolution(1, 4, 3, padding=1), convolution(4, 1, 3, padding=1)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        known = [self.first(tiles)]
        for (kind, a, b), layer in zip(self.steps, self.layers, strict=True):
            one, other = known[a % len(known)], known[b % len(known)]
            match kind:
                case "add":
                    known.append(one + other)
                case "weighted":
                    known.append(torch.add(one, other, alpha=0.3))
                case "scaled":
                    known.append(one * 0.5)
                case "pair":
                    known.append(layer(torch.cat((one, other), 1)))
                case "view":
                    known.append(one[:, :])
                case _:
                    known.append(layer(one))
        result: torch.Tensor = self.last(known[-1])
        return result


KINDS = ("convolution", "convolution", "pair", "norm", "rectifier", "add", "add", "weighted", "scaled", "view")


@given(
    steps=st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=10),
    dimensions=st.sampled_from([2, 3]),
)
@settings(max_examples=80, deadline=None)
def test_any_graph_computes_what_it_did(steps: list[tuple[str, int, int]], dimensions: int) -> None:
    network = seeded(Drawn, steps=steps, dimensions=dimensions)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm3d):
            layer.running_mean.uniform_(-0.1, 0.1)  # type: ignore[union-attr]
            layer.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    spec = spec_of(axes="yx" if dimensions == 2 else "zyx")
    rewritten = fused(network, spec)
    assert rewritten is not network
    tiles = tiles_of(edge=16, dimensions=dimensions)
    with torch.inference_mode():
        expected = network(tiles)
        before = tiles.clone()
        # Twice, as nothing may be left over from the first time.
        for _ in range(2):
            found = rewritten(tiles)
            assert torch.equal(tiles, before)
            assert float((expected - found).abs().max()) <= 1e-5 * float(expected.abs().max())
        short = fused(network, spec, short=torch.bfloat16)(tiles)
    assert short.dtype == torch.float32
    assert float((short - expected).abs().max()) <= 0.1 * float(expected.abs().max())


def test_rectifiers_and_sums_change_no_bit() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(1, 16, 3, padding=1)
            self.second = nn.Conv2d(16, 16, 3, padding=1)

        def forward(self, tiles: torch.Tensor) -> torch.Tensor:
            shallow = torch.relu(self.first(tiles))
            result: torch.Tensor = shallow + self.second(shallow)
            return result

    network = seeded(Plain).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    rewritten = fused(network, spec_of())
    assert rewritten is not network
    tiles = tiles_of(edge=40).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        assert torch.equal(network(tiles), rewritten(tiles))


def test_a_layer_that_is_named_after_another_kind_is_what_it_is() -> None:
    class Misnamed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(1, 4, 3, padding=1)
            self.relu = nn.Tanh()
            self.last = nn.Conv2d(4, 1, 3, padding=1)

        def forward(self, tiles: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.last(self.relu(self.convolution(tiles)))
            return result

    network = seeded(Misnamed)
    agree(network, fused(network, spec_of()), tiles_of())


def test_what_cannot_be_traced_stays_as_it_is() -> None:
    class Choosing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(1, 1, 3, padding=1)
            self.seen: Any = None

        def forward(self, tiles: torch.Tensor) -> torch.Tensor:
            self.seen = tiles.shape[-1]
            if tiles.mean() > 0.5:
                tiles = tiles * 2
            result: torch.Tensor = self.convolution(tiles)
            return result

    network = seeded(Choosing)
    assert fused(network, spec_of()) is network
    # Nor does anything of the attempt stay in it.
    assert network.seen is None


def test_other_threads_may_run_networks_while_one_is_traced() -> None:
    class Slow(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = nn.Conv2d(1, 4, 3, padding=1)
            self.last = nn.Conv2d(4, 1, 3, padding=1)

        def forward(self, tiles: Any) -> torch.Tensor:
            if isinstance(tiles, fx.Proxy):
                tracing.set()
                assert ran.wait(30)
            result: torch.Tensor = self.last(torch.relu(self.convolution(tiles)))
            return result

    tracing, ran = Event(), Event()
    slow, other = seeded(Slow), seeded(EDSR, features=4, blocks=1, scale=2)
    tiles = tiles_of()
    expected = other(tiles)
    with ThreadPoolExecutor(1) as pool:
        rewriting = pool.submit(fused, slow, spec_of())
        assert tracing.wait(30)
        try:
            assert torch.equal(other(tiles), expected)
        finally:
            ran.set()
        rewritten = rewriting.result()
    assert any(isinstance(layer, FusedConvolution) for layer in rewritten.modules())
    agree(slow, rewritten, tiles)


def test_short_formats_keep_the_ends_and_the_sums_long() -> None:
    network = seeded(EDSR, features=32, blocks=8, scale=2)
    rewritten = fused(network, spec_of(scale=2), short=torch.bfloat16)
    formats = [
        layer.dtype
        for node in rewritten.graph.nodes  # type: ignore[union-attr]
        if isinstance(layer := dict(rewritten.named_modules()).get(str(node.target)), FusedConvolution)
    ]
    assert formats == [torch.float32, *[torch.bfloat16] * 17, torch.float32]
    tiles = tiles_of(edge=96)
    with torch.inference_mode():
        expected = inside(network(tiles), 12)
        ours = inside(rewritten(tiles), 12)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            cast = inside(network(tiles).float(), 12)
    span = float(expected.max() - expected.min())
    rms = float((ours - expected).square().mean().sqrt()) / span
    assert rms < 1e-3
    # Half the error of automatic casting, or less.
    assert rms < 0.6 * float((cast - expected).square().mean().sqrt()) / span
