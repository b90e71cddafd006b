"""Generators out of the field's files and into them; spandrel says what these files mean."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from scalesr.errors import ModelError, OutputError
from scalesr.hyres.generator import load_generator, save_generator
from scalesr.models import load, resolve, spandrel
from scalesr.models.rrdb import RRDBNet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

ORIGINS = torch.zeros(1, 2, dtype=torch.int64)
FLAT = {"conv_first": "0", "conv_up1": "3", "conv_up2": "6", "conv_hr": "8", "conv_last": "10"}
LATER = {"conv_body": "trunk_conv", "conv_up1": "upconv1", "conv_up2": "upconv2", "conv_hr": "HRconv"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def small(channels: int = 3, *, scale: int = 4, growth: int = 32, seed: int = 0) -> RRDBNet:
    torch.manual_seed(seed)
    network = RRDBNet(channels, channels, features=16, growth=growth, blocks=2, scale=scale)
    # Blocks add a fifth of a fifth, and a first convolution sees little: exchanged layers must show in the output.
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2.0)
    return network.eval()


def real_esrgan(name: str) -> str:
    return name


def first_esrgan(name: str) -> str:
    """Return a name as in the files of 2018, of a network of two blocks."""
    layer, kind = name.rsplit(".", 1)
    if layer == "conv_body":
        return f"model.1.sub.2.{kind}"
    block = re.fullmatch(r"body\.(\d)\.rdb(\d)\.(conv\d)", layer)
    return f"model.1.sub.{block[1]}.RDB{block[2]}.{block[3]}.0.{kind}" if block else f"model.{FLAT[layer]}.{kind}"


def later_esrgan(name: str) -> str:
    layer, kind = name.rsplit(".", 1)
    block = re.fullmatch(r"body\.(\d)\.rdb(\d)\.(conv\d)", layer)
    return f"RRDB_trunk.{block[1]}.RDB{block[2]}.{block[3]}.{kind}" if block else f"{LATER.get(layer, layer)}.{kind}"


def parallel(name: str) -> str:
    return f"module.{name}"


def written(network: RRDBNet, rename: Callable[[str], str], path: Path) -> dict[str, torch.Tensor]:
    state = {rename(name): value.clone() for name, value in network.state_dict().items()}
    if path.suffix == ".pth":
        torch.save({"params_ema": state}, path)
    else:
        save_file(state, path)
    return state


def output(network: torch.nn.Module, image: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = network.eval()(image)
    return found


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("scale", [4, 2])
@pytest.mark.parametrize("rename", [real_esrgan, first_esrgan, later_esrgan, parallel])
def test_published_files_become_the_network_that_they_hold(
    rename: Callable[[str], str], scale: int, suffix: str, tmp_path: Path
) -> None:
    network, path = small(scale=scale), tmp_path / f"net{suffix}"
    state = written(network, rename, path)
    found = load_generator(path, trust="pickle")
    assert found.scale == scale
    assert found.training
    tile = torch.rand(1, 3, 12, 8)
    assert torch.equal(output(found, tile), output(network, tile))
    if rename is not parallel:
        pytest.importorskip("einops")
        theirs = spandrel.load_spandrel().ModelLoader().load_from_state_dict(state)
        assert theirs.scale == scale
        torch.testing.assert_close(output(theirs.model, tile), output(found, tile), rtol=1e-5, atol=1e-5)


def test_half_floats_are_trained_as_whole_ones(tmp_path: Path) -> None:
    state = {name: value.half() for name, value in small().state_dict().items()}
    save_file(state, tmp_path / "half.safetensors")
    found = load_generator(tmp_path / "half.safetensors")
    assert {parameter.dtype for parameter in found.parameters()} == {torch.float32}
    assert all(torch.equal(value, state[name].float()) for name, value in found.state_dict().items())


def test_the_network_of_the_package_goes_on_from_its_name() -> None:
    assert load_generator("rrdb-x4").state_dict().keys() == RRDBNet().state_dict().keys()
    assert load_generator("default").scale == 4


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("channels", [1, 5])
def test_what_is_saved_runs_as_a_model(scale: int, channels: int, tmp_path: Path) -> None:
    network = small(channels, scale=scale, growth=8)
    path = save_generator(
        network,
        tmp_path / "weights.safetensors",
        title="Toy",
        flux="conserved",
        extra={"steps": 30, "loss": "l1", "instrument.name": "x"},
    )
    model = load(resolve(str(path), image_channels=channels, image_axes="cyx"))
    assert model.spec.scale == (Fraction(scale),) * 2
    assert (model.spec.channels, model.spec.out_channels) == (channels, channels)
    assert model.spec.multiple == 4 // scale
    assert model.spec.flux == "conserved"
    tile = torch.rand(1, channels, 12, 8)
    torch.testing.assert_close(model(tile, ORIGINS), output(network, tile), rtol=1e-4, atol=1e-5)
    again = load_generator(path)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in again.state_dict().items())


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_spandrel_and_basicsr_read_what_is_saved(scale: int, suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("einops")
    network = small(1, scale=scale)
    path = save_generator(network, tmp_path / f"weights{suffix}", title="Toy")
    theirs = spandrel.load_spandrel().ModelLoader().load_from_file(path)
    tile = torch.rand(1, 1, 12, 8)
    torch.testing.assert_close(output(theirs.model, tile), output(network, tile), rtol=1e-5, atol=1e-5)
    assert (theirs.scale, theirs.input_channels, theirs.output_channels) == (scale, 1, 1)
    if suffix == ".pth":
        held = torch.load(path, weights_only=True)
        assert list(held) == ["params_ema"]
        assert held["params_ema"].keys() == network.state_dict().keys()


def test_equal_networks_give_equal_files_that_replace_each_other_whole(tmp_path: Path) -> None:
    extra: dict[str, str | float] = {"steps": 3, "a": "b", "c": 0.5}
    path = save_generator(small(), tmp_path / "a.safetensors", title="Täy", extra=extra)
    first = path.read_bytes()
    save_generator(small(seed=1), path, title="Täy", extra=extra)
    assert path.read_bytes() != first
    save_generator(small(), path, title="Täy", extra=dict(reversed(list(extra.items()))))
    assert path.read_bytes() == first
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]
    header = json.loads(first[8 : 8 + int.from_bytes(first[:8], "little")])["__metadata__"]
    assert list(header) == sorted(header)
    assert header["training.steps"] == "3"
    assert header["title"] == "Täy"
    # The library reads what was put together here.
    assert all(torch.equal(value, small().state_dict()[name]) for name, value in load_file(path).items())


REFUSED: Mapping[str, tuple[Mapping[str, torch.Tensor | None], str]] = {
    "scalar": ({"conv_last.weight": torch.zeros(())}, "len() of a 0-d tensor"),
    "far block": ({"body.9999999999.rdb1.conv1.bias": torch.zeros(32)}, "body.2.rdb1.conv1.bias is missing"),
    "lacking": ({"conv_hr.weight": None, "conv_up1.bias": None}, "conv_hr.weight is missing"),
    "no first": ({"conv_first.weight": None}, "it lacks 'conv_first.weight'"),
    "compact": ({"body.0.weight": torch.zeros(8, 3, 3, 3)}, "it holds 'body.0.weight'"),
    "twice": ({"trunk_conv.bias": torch.zeros(16)}, "under two names"),
    "no weight": ({"conv_hr.scale": torch.ones(1)}, "it holds 'conv_hr.scale'"),
    "channels": ({"conv_first.weight": torch.zeros(16, 7, 3, 3)}, "takes 7 channels"),
    "size": (
        {"conv_hr.weight": torch.zeros(16, 8, 3, 3)},
        "conv_hr.weight has shape (16, 8, 3, 3), and (16, 16",
    ),
}
"""What is put into or taken out of a good file, and what is said about it."""


@pytest.mark.parametrize("case", REFUSED)
def test_other_networks_are_refused_by_what_is_odd(case: str, tmp_path: Path) -> None:
    changes, message = REFUSED[case]
    state = {name: value for name, value in {**small().state_dict(), **changes}.items() if value is not None}
    save_file(state, tmp_path / "odd.safetensors")
    with pytest.raises(ModelError, match=re.escape(message)) as caught:
        load_generator(tmp_path / "odd.safetensors")
    assert "ESRGAN" in caught.value.remedy


def test_other_sources_are_refused(tmp_path: Path) -> None:
    written(small(), real_esrgan, tmp_path / "net.pth")
    with pytest.raises(ModelError, match="is a pickle"):
        load_generator(tmp_path / "net.pth")
    with pytest.raises(ModelError, match="There is no"):
        load_generator(tmp_path / "absent.pth")
    with pytest.raises(ModelError, match="learns nothing"):
        load_generator("cubic")
    with pytest.raises(ModelError, match="There is no model 'rrdb-x3'"):
        load_generator("rrdb-x3")
    save_file(small().state_dict(), tmp_path / "edsr.safetensors", metadata={"architecture": "edsr"})
    with pytest.raises(ModelError, match="names the architecture 'edsr'"):
        load_generator(tmp_path / "edsr.safetensors")


def test_files_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        save_generator(small(), tmp_path / "absent" / "a.safetensors", title="Toy")
    with pytest.raises(OutputError, match="cannot be written"):
        save_generator(small(), tmp_path / "absent" / "a.pth", title="Toy")
    with pytest.raises(ModelError, match=r"not written as '\.onnx'"):
        save_generator(small(), tmp_path / "a.onnx", title="Toy")
