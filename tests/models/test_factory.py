"""Networks from functions: all that their author does not say is found out."""

from __future__ import annotations

import importlib
import sys
from fractions import Fraction
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
import torch

from scalesr.errors import ModelError
from scalesr.models import Model, available, load, resolve
from scalesr.models.factory import find
from scalesr.models.network import Network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = '''
from fractions import Fraction

import torch
from torch import nn

from scalesr.models.baselines import Interpolation


def enlarge(features=4, scale=2):
    return nn.Sequential(
        nn.Conv2d(1, features, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(features, scale**2, 3, padding=1),
        nn.PixelShuffle(scale),
    )


class Hourglass(nn.Module):
    """Strides by 4 and back: edges must be multiples of 4, and shifts too."""

    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 8, 4, stride=4)
        self.up = nn.ConvTranspose2d(8, 3, 4, stride=4)

    def forward(self, image):
        return image + self.up(self.down(image))


def hourglass():
    return Hourglass()


class Windowed(nn.Module):
    """Mixes inside of windows of 6 without a word about it."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image):
        rows = -image.shape[2] % 6
        columns = -image.shape[3] % 6
        padded = nn.functional.pad(self.mix(image), (0, columns, 0, rows))
        means = nn.functional.avg_pool2d(padded, 6)
        found = padded + nn.functional.interpolate(means, scale_factor=6)
        return found[..., : image.shape[2], : image.shape[3]]


def windowed():
    return Windowed()


def volume():
    return nn.Conv3d(1, 2, 3, padding=1)


class Stretch(nn.Module):
    facts = {"name": "stretch", "axes": "zyx", "channels": 1, "tile": 26}

    def forward(self, image):
        return nn.functional.interpolate(image, scale_factor=(48 / 13, 1, 1), mode="nearest-exact")


def stretch():
    return Stretch()


class Odd(nn.Module):
    facts = {"colour": "blue"}


def odd():
    return Odd()


def ready():
    return Interpolation("linear", axes="yx", scale=(Fraction(2), Fraction(2)))


def number():
    return 3


def broken():
    raise RuntimeError("no luck")


def useless():
    class Useless(nn.Module):
        def forward(self, image):
            raise RuntimeError("cannot run")

    return nn.Sequential(nn.Conv2d(2, 2, 1), Useless())


def no_axes():
    return nn.Identity()
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "homemade.py").write_text(dedent(SOURCE))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "homemade"
    sys.modules.pop("homemade", None)


def made(name: str, image_channels: int | None = None, image_axes: str = "cyx", **options: Any) -> Model:
    return load(resolve(f"homemade:{name}", image_channels=image_channels, image_axes=image_axes, **options))


def test_all_is_found_out(module: str) -> None:
    model = made("enlarge")
    assert isinstance(model, Network)
    spec = model.spec
    assert (spec.axes, spec.scale) == ("yx", (Fraction(2), Fraction(2)))
    assert (spec.channels, spec.out_channels, spec.multiple, spec.minimum) == (1, 1, 1, 1)
    assert spec.receptive == (2, 2)


def test_options_reach_the_function(module: str) -> None:
    assert made("enlarge", options={"scale": 3}, scale=3).spec.scale == (Fraction(3), Fraction(3))


def test_strides_make_a_multiple(module: str) -> None:
    spec = made("hourglass", 3).spec
    assert (spec.multiple, spec.minimum, spec.channels) == (4, 4, 3)
    assert spec.receptive == (0, 0)


def test_hidden_windows_are_found_by_shifting(module: str) -> None:
    spec = made("windowed").spec
    assert spec.multiple == 6
    assert spec.receptive == (1, 1)


def test_volumes_are_recognised(module: str) -> None:
    model = made("volume", image_axes="zyx")
    spec = model.spec
    assert (spec.axes, spec.channels, spec.out_channels) == ("zyx", 1, 2)
    assert spec.receptive == (1, 1, 1)


def test_fractional_scales(module: str) -> None:
    spec = made("stretch", image_axes="czyx", scale=["48/13", 1, 1]).spec
    assert (spec.name, spec.scale, spec.multiple, spec.tile) == (
        "stretch",
        (Fraction(48, 13), Fraction(1), Fraction(1)),
        13,
        26,
    )
    assert spec.receptive == (0, 0, 0)


def test_ready_models_are_taken_as_they_are(module: str) -> None:
    assert made("ready").spec.name == "linear"


def test_untrained_weights_are_the_same_in_every_process(module: str) -> None:
    torch.manual_seed(1)
    first = resolve("homemade:enlarge", image_channels=None, image_axes="yx")
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert resolve("homemade:enlarge", image_channels=None, image_axes="yx") == first
    load(first)
    assert torch.equal(torch.get_rng_state(), before)


def test_changed_source_is_refused(module: str, tmp_path: Path) -> None:
    ref = resolve("homemade:enlarge", image_channels=None, image_axes="yx", options={"features": 5})
    (tmp_path / "homemade.py").write_text(dedent(SOURCE) + "\n# changed\n")
    with pytest.raises(ModelError, match="has changed"):
        load(ref)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("homemade:number", "returned a int"),
        ("homemade:broken", "no luck"),
        ("homemade:absent", "has no function 'absent'"),
        ("nowhere_to_be_found:f", "cannot be imported"),
    ],
)
def test_functions_that_do_not_serve_are_refused(module: str, name: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        resolve(name, image_channels=None, image_axes="yx")


def test_a_file_of_the_current_folder_is_found_and_shadows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = str(tmp_path)
    (tmp_path / "lying_here.py").write_text("def f():\n    return 3\n")
    (tmp_path / "json.py").write_text("raise RuntimeError('shadowed')\n")
    (tmp_path / "needs_another.py").write_text("import nowhere_to_be_found\n")
    with pytest.raises(ModelError, match="'lying_here' cannot be imported"):
        find("lying_here:f")
    monkeypatch.chdir(tmp_path)
    try:
        assert find("lying_here:f")() == 3
        assert find("json:dumps")(1) == "1"
        with pytest.raises(ModelError, match="nowhere_to_be_found"):
            find("needs_another:f")
    finally:
        sys.modules.pop("lying_here", None)
    assert here not in sys.path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("odd", "is not understood"),
        ("useless", "cannot run"),
        ("no_axes", "planes or volumes"),
    ],
)
def test_networks_that_do_not_serve_are_refused(module: str, name: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        made(name)


def test_a_wrong_scale_is_refused(module: str) -> None:
    with pytest.raises(ModelError, match="scales by 2 x 2, and a scale of 4 x 4 was given"):
        made("enlarge", scale=4)
    with pytest.raises(ModelError, match="3 scales were given"):
        made("enlarge", scale=(1, 2, 2), axes="yx")


def test_packages_announce_models(module: str, tmp_path: Path) -> None:
    folder = tmp_path / "homemade-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: homemade\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[scalesr.models]\nhomely = homemade:enlarge\n")
    importlib.invalidate_caches()
    assert ("homely", "from homemade:enlarge") in available()
    ref = resolve("homely", image_channels=None, image_axes="yx", options={"features": 2})
    assert ref.source == "factory:homemade:enlarge"
    assert load(ref).spec.scale == (Fraction(2), Fraction(2))
