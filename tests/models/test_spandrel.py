"""Published architectures, built small here and read back through spandrel."""

from __future__ import annotations

import builtins
import importlib
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file

from scalesr.errors import ModelError
from scalesr.models import load, resolve
from scalesr.models import spandrel as adapter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import nn

    from scalesr.models import Model

ORIGINS = torch.zeros(1, 2, dtype=torch.int64)

SWIN = {"img_size": 16, "embed_dim": 12, "depths": [2], "num_heads": [2], "window_size": 8, "mlp_ratio": 2}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "ESRGAN": ("ESRGAN.__arch.RRDB:RRDBNet", {"in_nc": 3, "out_nc": 3, "num_filters": 16, "num_blocks": 1, "scale": 4}),
    "SwinIR": (
        "SwinIR.__arch.SwinIR:SwinIR",
        {**SWIN, "in_chans": 1, "upscale": 2, "upsampler": "pixelshuffledirect"},
    ),
    "HAT": ("HAT.__arch.HAT:HAT", {**SWIN, "in_chans": 3, "upscale": 2, "num_feat": 8, "squeeze_factor": 3}),
    "Compact": (
        "Compact.__arch.SRVGG:SRVGGNetCompact",
        {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 16, "num_conv": 3, "upscale": 2},
    ),
    "SPAN": ("SPAN.__arch.span:SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 12, "upscale": 2}),
    "RCAN": (
        "RCAN.__arch.rcan_arch:RCAN",
        {"scale": 2, "n_resgroups": 1, "n_resblocks": 2, "n_feats": 16, "n_colors": 3, "reduction": 4},
    ),
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def small(name: str) -> nn.Module:
    adapter.load_spandrel()
    where, sizes = CASES[name]
    module, _, kind = where.partition(":")
    torch.manual_seed(1)
    built: nn.Module = getattr(importlib.import_module(f"spandrel.architectures.{module}"), kind)(**sizes)
    return built.eval()


def saved(name: str, folder: Path) -> Path:
    path = folder / f"small-{name}.safetensors"
    save_file({key: value.clone().contiguous() for key, value in small(name).state_dict().items()}, path)
    return path


def loaded(path: Path, image_channels: int | None = 3, **options: Any) -> Model:
    return load(resolve(str(path), image_channels=image_channels, image_axes="cyx", **options))


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize("name", CASES)
def test_architectures_are_read_and_compute_as_spandrel_does(name: str, tmp_path: Path) -> None:
    path = saved(name, tmp_path)
    model = loaded(path, 1 if name == "SwinIR" else 3)
    spandrel = adapter.load_spandrel()
    descriptor = spandrel.ModelLoader().load_from_file(path).eval()
    spec = model.spec
    assert name in spec.name
    assert spec.axes == "yx"
    assert spec.scale == (Fraction(descriptor.scale),) * 2
    assert (spec.channels, spec.out_channels) == (descriptor.input_channels, descriptor.output_channels)
    assert spec.minimum >= descriptor.size_requirements.minimum
    assert ("bf16" in spec.precisions) == descriptor.supports_bfloat16
    assert ("fp16" in spec.precisions) == descriptor.supports_half
    assert spec.weight_bytes > 0
    assert spec.activation_bytes > 0
    tile = torch.rand(1, spec.channels, 32, 40, generator=torch.Generator().manual_seed(3))
    expected = descriptor(tile.clone())
    output = model(tile, ORIGINS)
    # Untrained weights reach far beyond 0..1, where spandrel clips; rounding grows with that.
    assert torch.allclose(output.clamp(0, 1), expected, rtol=0, atol=2e-6 * max(1.0, float(output.abs().max())))


EXPECTED: Mapping[str, tuple[int, bool]] = {
    "ESRGAN": (1, True),
    "SwinIR": (8, True),
    "HAT": (8, False),
    "Compact": (1, True),
    "SPAN": (1, True),
    "RCAN": (1, False),
}


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
@pytest.mark.parametrize("name", EXPECTED)
def test_windows_and_pooling_show_in_the_spec(name: str, tmp_path: Path) -> None:
    """Attention in windows repeats by the window; pooling over the tile has no bound."""
    spec = loaded(saved(name, tmp_path), 1 if name == "SwinIR" else 3).spec
    multiple, bounded = EXPECTED[name]
    assert spec.multiple == multiple
    assert (spec.receptive is not None) == bounded


def test_convolutions_reach_as_far_as_derived(tmp_path: Path) -> None:
    """Compact: 5 convolutions of 3 x 3 on the input's grid, and no more."""
    assert loaded(saved("Compact", tmp_path)).spec.receptive == (5, 5)


@pytest.mark.filterwarnings("ignore:torch.meshgrid")
def test_windows_give_the_same_values_on_their_grid(tmp_path: Path) -> None:
    model = loaded(saved("SwinIR", tmp_path), 1)
    spec = model.spec
    assert spec.receptive is not None
    halo = -(-max(spec.receptive) // spec.multiple) * spec.multiple
    image = torch.rand(1, 1, 2 * halo + 32, 2 * halo + 32)
    whole = model(image, ORIGINS)
    tile = model(image[..., 8 : 8 + 2 * halo + 16, 16 : 16 + 2 * halo + 16], ORIGINS)
    core = tile[..., 2 * halo : -2 * halo, 2 * halo : -2 * halo]
    rows, columns = (slice(2 * (first + halo), 2 * (first + halo + 16)) for first in (8, 16))
    assert torch.allclose(core, whole[..., rows, columns], atol=1e-6)


def test_values_beyond_one_are_kept(tmp_path: Path) -> None:
    model = loaded(saved("Compact", tmp_path))
    assert model(torch.full((1, 3, 16, 16), 3.0), ORIGINS).max() > 1.5


def test_other_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"strange": torch.zeros(3)}, path)
    with pytest.raises(ModelError, match="of no architecture that spandrel") as caught:
        loaded(path)
    assert "package.module:function" in caught.value.remedy


def test_weights_that_only_resemble_are_refused(tmp_path: Path) -> None:
    weights = {key: value.clone() for key, value in small("Compact").state_dict().items()}
    del weights["body.2.weight"]
    path = tmp_path / "half.safetensors"
    save_file(weights, path)
    with pytest.raises(ModelError, match=r"do not fit|of no architecture"):
        loaded(path)


def test_other_purposes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spandrel = adapter.load_spandrel()
    descriptor = spandrel.ModelLoader().load_from_file(saved("Compact", tmp_path))
    monkeypatch.setattr(type(descriptor), "purpose", "FaceSR")
    path = tmp_path / "face.safetensors"
    save_file({**small("Compact").state_dict(), "unused": torch.zeros(1)} | small("Compact").state_dict(), path)
    path.write_bytes((tmp_path / "small-Compact.safetensors").read_bytes())
    with pytest.raises(ModelError, match="for the purpose 'FaceSR'"):
        loaded(path)


@pytest.fixture
def without_spandrel(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] in {"spandrel", "torchvision"}]:
        monkeypatch.delitem(sys.modules, name)


def test_torchvision_stands_in_only_while_spandrel_is_imported(
    without_spandrel: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wheel for another build of torch raises RuntimeError when imported, after some of it is in place."""
    found = builtins.__import__
    original = importlib.import_module

    def broken(name: str, package: str | None = None) -> Any:
        if name.startswith("torchvision"):
            sys.modules["torchvision"] = type(sys)("torchvision")
            raise RuntimeError("operator torchvision::nms does not exist")
        return original(name, package)

    monkeypatch.setattr(importlib, "import_module", broken)
    spandrel = adapter.load_spandrel()
    assert not [name for name in sys.modules if name.split(".")[0] == "torchvision"]
    assert len(spandrel.MAIN_REGISTRY) > 30
    assert builtins.__import__ is found
    restored = sys.modules["spandrel.architectures.RestoreFormer"]
    with pytest.raises(ModelError, match="needs torchvision"):
        restored.tv_normalize(torch.zeros(1), [0.5], [0.5])


def test_without_spandrel_the_remedy_is_its_extra(without_spandrel: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(ModelError, match="cannot be imported") as caught:
        adapter.load_spandrel()
    assert 'pip install "scalesr[networks]"' in caught.value.remedy
