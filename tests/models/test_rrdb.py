"""The default network: its shape, its names, its determinism, and the weights that lie beside it."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from scalesr.errors import ModelError
from scalesr.models import spandrel
from scalesr.models.rrdb import RRDBNet
from scalesr.models.trial import Facts, examine
from scalesr.phantoms import cells, degrade

WEIGHTS = Path(spandrel.__file__).with_name("weights") / "rrdb-x4.safetensors"


def trained() -> RRDBNet:
    """Return the network of the weights in the package, built from the numbers in their metadata alone."""
    with safe_open(WEIGHTS, framework="pt") as file:
        metadata = file.metadata()
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # the file is not a mapping
    assert metadata["architecture"] == "RRDBNet"
    network = RRDBNet(**{name: int(value) for name, value in metadata.items() if value.isdecimal()})
    network.load_state_dict(state)
    return network.eval()


def small(seed: int = 0) -> RRDBNet:
    torch.manual_seed(seed)
    return RRDBNet(features=8, growth=32, blocks=2).eval()


@settings(max_examples=10, deadline=None)
@given(y=st.integers(1, 12), x=st.integers(1, 12), channels=st.sampled_from([1, 3]))
def test_any_tile_is_enlarged_four_times(y: int, x: int, channels: int) -> None:
    network = RRDBNet(channels, 2, features=8, growth=4, blocks=1)
    with torch.inference_mode():
        assert network(torch.zeros(2, channels, y, x)).shape == (2, 2, 4 * y, 4 * x)


@settings(max_examples=10, deadline=None)
@given(y=st.integers(1, 6), x=st.integers(1, 6), channels=st.sampled_from([1, 3, 5]))
def test_any_even_tile_is_enlarged_twice(y: int, x: int, channels: int) -> None:
    network = RRDBNet(channels, 2, features=8, growth=4, blocks=1, scale=2)
    with torch.inference_mode():
        assert network(torch.zeros(2, channels, 2 * y, 2 * x)).shape == (2, 2, 4 * y, 4 * x)


def test_folding_is_that_of_pixels_in_rows() -> None:
    """Channel 4 c + 2 i + j of the folded tile is pixel (i, j) of channel c, as published networks were trained."""
    twice, four = RRDBNet(3, 1, features=8, growth=4, scale=2).eval(), RRDBNet(12, 1, features=8, growth=4).eval()
    four.load_state_dict(twice.state_dict())
    tile = torch.rand(1, 3, 8, 6)
    folded = torch.stack([tile[:, c, i::2, j::2] for c in range(3) for i in range(2) for j in range(2)], 1)
    with torch.inference_mode():
        assert torch.equal(twice(tile), four(folded))


@pytest.mark.parametrize("scale", [1, 3, 8])
def test_another_scale_is_refused(scale: Any) -> None:
    with pytest.raises(ModelError, match=f"4 times or twice, not {scale} times"):
        RRDBNet(scale=scale)


@pytest.mark.parametrize("channels", [1, 5])
def test_trying_a_network_of_scale_2_finds_its_grid_and_field(
    channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    network = RRDBNet(channels, 1, features=8, growth=8, blocks=1, scale=2).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            # Weights of one sign do not cancel far from the middle, and rectifiers pass what they give.
            parameter.copy_(0.1 * torch.rand(parameter.shape, generator=generator))
    spec = examine(network, Facts(name="twice", axes="yx", channels=channels), sha256=f"scale 2, {channels}")
    assert spec.scale == (Fraction(2), Fraction(2))
    assert (spec.channels, spec.multiple, spec.minimum) == (channels, 2, 2)
    # 17 convolutions on the folded grid, each reaching 2 px; those after the doublings add 1 and 2 quarters of it.
    assert spec.receptive is not None
    assert all(2 * 17 <= reach <= 2 * 19 for reach in spec.receptive)
    tile = torch.rand(1, channels, 100, 100, generator=generator)
    changed = tile.clone()
    changed[..., 50, 51] += 1.0
    with torch.inference_mode():
        seen = (network(changed) - network(tile)).abs().amax((0, 1))
    for axis, reach in enumerate(spec.receptive):
        # The field counts from the group of two pixels that an output lies in, here to 50 or 51.
        groups = torch.nonzero(seen.amax(1 - axis) > 0).flatten() // 4
        assert 50 + axis - (2 * int(groups.min()) + 1) <= reach
        assert 2 * int(groups.max()) - (50 + axis) <= reach


def test_parameters_have_the_published_names() -> None:
    names = set(small().state_dict())
    assert {"conv_first.weight", "body.0.rdb3.conv5.bias", "conv_body.weight", "conv_up1.weight"} <= names
    assert {"conv_up2.weight", "conv_hr.weight", "conv_last.bias"} <= names


@pytest.mark.parametrize("make", [small, trained], ids=["untrained", "trained"])
def test_spandrel_builds_the_same_network_from_the_names(make: type[RRDBNet]) -> None:
    pytest.importorskip("einops")
    network = make()
    theirs = spandrel.load_spandrel().ModelLoader().load_from_state_dict(network.state_dict()).model
    tile = torch.rand(1, 1, 16, 20)
    with torch.inference_mode():
        torch.testing.assert_close(theirs(tile), network(tile), rtol=1e-5, atol=1e-6)


def test_the_layout_in_memory_changes_no_more_than_rounding() -> None:
    network, tile = trained(), torch.rand(2, 1, 16, 16)
    with torch.inference_mode():
        plain = network(tile)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
        last = network(tile.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, plain, rtol=1e-4, atol=1e-5)


def test_nothing_beyond_19_pixels_is_seen() -> None:
    network, tile = trained(), torch.rand(1, 1, 81, 81)
    changed = tile.clone()
    changed[..., 40, 40] += 100.0
    with torch.inference_mode():
        difference = (network(changed) - network(tile)).abs().amax((0, 1))
    rows = torch.nonzero(difference.amax(1)).flatten() // 4
    assert rows.min() >= 40 - 19
    assert rows.max() <= 40 + 19


def test_the_weights_are_small_and_finite() -> None:
    assert WEIGHTS.stat().st_size < 4e6
    assert all(bool(torch.isfinite(value).all()) for value in trained().state_dict().values())
    assert "BSD-3-Clause" in WEIGHTS.with_suffix(".md").read_text(encoding="utf-8")


@pytest.mark.parametrize("seed", [1000, 1001])
def test_trained_weights_beat_linear_interpolation_on_unseen_cells(seed: int) -> None:
    truth = cells((192, 192), seed=seed).region((slice(0, 192), slice(0, 192)))
    low = torch.from_numpy(degrade(truth, factor=(4, 4)))[None, None]
    with torch.inference_mode():
        restored = trained()(low)[0, 0].numpy()
        linear = torch.nn.functional.interpolate(low, scale_factor=4, mode="bilinear", align_corners=False)[
            0, 0
        ].numpy()
    inner = (slice(16, -16), slice(16, -16))
    errors = [float(np.mean((image - truth)[inner] ** 2)) for image in (restored, linear)]
    assert errors[0] < 0.5 * errors[1]


def test_no_image_is_on_two_sides_of_the_split(data: Path) -> None:
    split = json.loads((Path(__file__).parents[2] / "training" / "split.json").read_text(encoding="utf-8"))
    parts = [{path for source in split[part] for path in data.glob(source["glob"])} for part in split]
    assert all(parts)
    assert len(set.union(*parts)) == sum(map(len, parts))


@pytest.mark.parametrize("level", [0.0, 0.1, 0.5, 1.0])
def test_a_flat_image_stays_flat(level: float) -> None:
    """Nearest doubling cannot make a checkerboard of a constant, and training has learnt its level."""
    with torch.inference_mode():
        out = trained()(torch.full((1, 1, 44, 44), level))[..., 80:-80, 80:-80]
    assert float(out.max() - out.min()) < 1e-5
    assert abs(float(out.mean()) - level) < 1e-2
