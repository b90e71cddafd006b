"""Networks as models: number formats, layouts, devices, and that nothing is changed behind the caller's back."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from scalesr.errors import ModelError
from scalesr.models import Model, ModelSpec, network
from scalesr.models.edsr import EDSR
from scalesr.models.fusing import fused
from scalesr.models.network import Network, parameter_bytes

if TYPE_CHECKING:
    from scalesr.models import Precision

ORIGINS = torch.zeros(2, 2, dtype=torch.int64)


def spec_of(scale: int, axes: str = "yx", precisions: tuple[Precision, ...] = ("fp32", "bf16", "fp16")) -> ModelSpec:
    return ModelSpec(
        name="small",
        axes=axes,
        scale=(Fraction(scale),) * len(axes),
        channels=1,
        out_channels=1,
        receptive=None,
        precisions=precisions,
        activation_bytes=100.0,
    )


@pytest.fixture
def edsr() -> EDSR:
    torch.manual_seed(0)
    return EDSR(features=8, blocks=2, scale=2)


def test_the_output_is_that_of_the_module(edsr: EDSR) -> None:
    tiles = torch.rand(2, 1, 16, 20)
    with torch.inference_mode():
        expected = copy.deepcopy(edsr).eval()(tiles)
    model = Network(edsr, spec_of(2))
    assert isinstance(model, Model)
    output = model(tiles, ORIGINS)
    assert output.dtype == torch.float32
    assert output.shape == expected.shape
    # At its border, layers that are merged see another padding; that is context, which runs cut off.
    assert torch.allclose(output[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], atol=1e-6)
    assert torch.equal(output, model(tiles, ORIGINS))


def test_volumes_run(edsr: EDSR) -> None:
    module = nn.Conv3d(1, 1, 3, padding=1)
    tiles = torch.rand(1, 1, 6, 7, 8)
    with torch.inference_mode():
        expected = copy.deepcopy(module)(tiles)
    output = Network(module, spec_of(1, "zyx"))(tiles, torch.zeros(1, 3, dtype=torch.int64))
    assert torch.allclose(output, expected, atol=1e-6)


def test_short_formats_give_float32_that_is_close(edsr: EDSR) -> None:
    model = Network(edsr, spec_of(2))
    short = model.to(device="cpu", precision="bf16")
    tiles = torch.rand(2, 1, 16, 20)
    exact, rounded = model(tiles, ORIGINS), short(tiles, ORIGINS)
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    assert (exact - rounded).abs().max() < 0.05 * exact.std() + 0.02
    assert torch.equal(model(tiles, ORIGINS), exact)


def test_attention_with_float32_constants_runs_in_short_formats() -> None:
    class Shifted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, tiles: torch.Tensor) -> torch.Tensor:
            mixed = self.linear(tiles)
            weights = (mixed @ mixed.transpose(-1, -2) + torch.zeros(8, 8)).softmax(-1)
            found: torch.Tensor = weights @ mixed
            return found

    output = Network(Shifted(), spec_of(1), precision="bf16")(torch.rand(2, 1, 8, 8), ORIGINS)
    assert output.dtype == torch.float32


def test_what_cannot_run_is_refused_with_a_remedy(edsr: EDSR) -> None:
    model = Network(edsr, spec_of(2))
    with pytest.raises(ModelError, match="fp16 is slow"):
        model.to(device="cpu", precision="fp16")
    with pytest.raises(ModelError, match="names no device"):
        model.to(device="toaster", precision="fp32")
    with pytest.raises(ModelError, match="cannot run in bf16"):
        Network(edsr, spec_of(2, precisions=("fp32",))).to(device="cpu", precision="bf16")
    with pytest.raises(ModelError, match="CUDA devices"):
        model.to(device=f"cuda:{torch.cuda.device_count()}", precision="fp32")


def test_the_same_place_is_the_same_model(edsr: EDSR) -> None:
    model = Network(edsr, spec_of(2))
    assert model.to(device="cpu", precision="fp32") is model


def test_networks_are_rewritten_once_and_not_before_their_first_call(
    edsr: EDSR, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewritten: list[torch.dtype | None] = []

    def counted(module: nn.Module, spec: ModelSpec, *, short: torch.dtype | None) -> nn.Module:
        rewritten.append(short)
        return fused(module, spec, short=short)

    monkeypatch.setattr(network, "fused", counted)
    model = Network(edsr, spec_of(2)).to(device="cpu", precision="bf16")
    assert not rewritten
    tiles = torch.rand(2, 1, 16, 16)
    with ThreadPoolExecutor(4) as pool:
        outputs = list(pool.map(lambda _: model(tiles, ORIGINS), range(8)))
    assert rewritten == [torch.bfloat16]
    assert all(torch.equal(output, outputs[0]) for output in outputs)


def test_torch_is_settled(edsr: EDSR) -> None:
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = True
    Network(edsr, spec_of(2))
    assert not torch.backends.cudnn.benchmark
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.deterministic


def test_parameters_are_weighed() -> None:
    assert parameter_bytes(nn.Conv2d(1, 2, 3)) == 4 * (2 * 9 + 2)


@pytest.mark.parametrize(
    ("scale", "names"), [(1, []), (3, ["upsample.0.weight"]), (4, ["upsample.0.weight", "upsample.2.weight"])]
)
def test_edsr_carries_the_published_names(scale: int, names: list[str]) -> None:
    network = EDSR(
        in_channels=3, out_channels=3, features=8, blocks=1, scale=scale, image_range=255.0, mean=(0.4, 0.4, 0.5)
    )
    weights = {name for name in network.state_dict() if name.endswith("weight")}
    body = ["conv_first.weight", "body.0.conv1.weight", "body.0.conv2.weight", "conv_after_body.weight"]
    assert weights == {*body, *names, "conv_last.weight"}
    assert network(torch.rand(1, 3, 5, 6)).shape == (1, 3, 5 * scale, 6 * scale)


def test_edsr_refuses_other_scales() -> None:
    with pytest.raises(ModelError, match="cannot enlarge by 5"):
        EDSR(scale=5)
