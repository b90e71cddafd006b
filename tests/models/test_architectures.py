"""Architectures that packages announce: files of weights that a function of theirs makes a model of."""

from __future__ import annotations

import json
import sys
import tomllib
from dataclasses import dataclass, replace
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file

from scalesr.errors import ModelError
from scalesr.models import Cost, ModelSpec, Tailored, architectures, leaves_scale_open, load, resolve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalesr.models import Precision
    from scalesr.models.checkpoint import Checkpoint

TILE = torch.arange(24.0).view(1, 1, 4, 3, 2)
ORIGINS = torch.zeros(1, 3, dtype=torch.int64)


@dataclass(frozen=True)
class Repeater:
    """Repeats planes, and tells the standard deviation that it was told."""

    spec: ModelSpec
    deviation: float
    margins: tuple[int, ...] = (0, 0, 0)

    def to(self, *, device: str, precision: Precision) -> Repeater:
        return self

    def tailored(self, margins: tuple[int, ...]) -> Repeater:
        return replace(self, margins=margins)

    def cost(self, tile: tuple[int, ...], margins: tuple[int, ...]) -> Cost:
        return Cost(passes=tile[0] - 2 * margins[0], flops=10.0)

    def __call__(self, tiles: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:
        values = tiles.repeat_interleave(int(self.spec.scale[0]), dim=2)
        return torch.cat([values, torch.full_like(values, self.deviation)], dim=1)


def build(
    weights: Checkpoint,
    *,
    scale: tuple[Fraction, ...] | None,
    image_channels: int | None,
    options: Mapping[str, Any],
) -> object:
    if unknown := set(options) - {"deviation", "broken"}:
        raise ModelError(f"The model takes no {', '.join(unknown)}.", remedy="Use deviation.")
    if "broken" in options:
        return {"a": 1 / int(options["broken"])}
    if scale is None and "scale" not in weights.metadata:
        raise ModelError("The model needs a scale.", remedy="Give one.")
    channels = int(weights.metadata["channels"])
    spec = ModelSpec(
        name="repeater",
        axes="zyx",
        scale=scale or (Fraction(weights.metadata["scale"]), Fraction(1), Fraction(1)),
        channels=channels,
        out_channels=channels,
        receptive=None,
        sampling=("point", "area", "area"),
        deviation="returned",
        activation_bytes=8.0,
    )
    return Repeater(spec, float(options.get("deviation", 0.5)))


@pytest.fixture(autouse=True)
def _announced(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("some_package")
    module.build = build  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "some_package", module)

    def entry_points(*, group: str) -> list[Any]:
        @dataclass(frozen=True)
        class Point:
            name: str
            value: str

        return [Point("Repeater", "some_package:build")] if group == architectures.GROUP else []

    monkeypatch.setattr(metadata, "entry_points", entry_points)


def weights(folder: Path, *, channels: int = 1, **said: str) -> str:
    path = folder / "some.safetensors"
    facts = {"architecture": "repeater", "channels": str(channels), **said}
    save_file({"weight": torch.zeros(1)}, path, metadata=facts)
    return str(path)


def ref_of(model: str, image_channels: int | None = None, **options: Any) -> Any:
    return resolve(model, image_channels=image_channels, image_axes="czyx" if image_channels else "zyx", **options)


def test_the_function_makes_the_model(tmp_path: Path) -> None:
    path = weights(tmp_path)
    assert leaves_scale_open(path)
    ref = ref_of(path, scale=3, options={"deviation": 0.25})
    assert dict(ref.options)["scale"] == "3,1,1"
    assert json.loads(dict(ref.options)["options"]) == {"deviation": 0.25}
    model = load(ref)
    assert model.spec.scale == (Fraction(3), Fraction(1), Fraction(1))
    values, spread = model(TILE, ORIGINS).chunk(2, dim=1)
    assert torch.equal(values, TILE.repeat_interleave(3, dim=2))
    assert set(spread.flatten().tolist()) == {0.25}


def test_what_a_model_is_told_is_part_of_its_identity(tmp_path: Path) -> None:
    path = weights(tmp_path)
    refs = [ref_of(path, scale=s, options=o) for s, o in ((3, {}), (2, {}), (3, {"deviation": 1}))]
    assert len(set(refs)) == 3
    assert ref_of(path, scale="3", options={"deviation": 1}) == refs[2]
    assert [load(ref).spec.scale[0] for ref in refs] == [3, 2, 3]


def test_a_file_may_have_a_scale_of_its_own(tmp_path: Path) -> None:
    path = weights(tmp_path, scale="4")
    assert not leaves_scale_open(path)
    assert load(ref_of(path)).spec.scale == (Fraction(4), Fraction(1), Fraction(1))
    assert load(ref_of(path, scale=4)).spec.scale == (Fraction(4), Fraction(1), Fraction(1))


@pytest.mark.parametrize("name", ["cubic", "default", "absent.safetensors", "no such name"])
def test_other_models_have_none_that_is_open(name: str) -> None:
    assert not leaves_scale_open(name)


def test_trouble_is_told(tmp_path: Path) -> None:
    path = weights(tmp_path)
    with pytest.raises(ModelError, match="takes no steps"):
        load(ref_of(path, scale=3, options={"steps": 1}))
    with pytest.raises(ModelError, match="needs a scale"):
        load(ref_of(path))
    with pytest.raises(ModelError, match=r"made no model of .*ZeroDivisionError"):
        load(ref_of(path, scale=3, options={"broken": 0}))
    with pytest.raises(ModelError, match="returned a dict"):
        load(ref_of(path, scale=3, options={"broken": 1}))
    with pytest.raises(ModelError, match="pixels along z for points, and areas were asked for"):
        load(ref_of(path, scale=3, sampling="area"))
    save_file({"weight": torch.zeros(1)}, path, metadata={"architecture": "another"})
    with pytest.raises(ModelError, match=r"'another', which is not known here. .* repeater"):
        load(ref_of(path))
    with pytest.raises(ModelError, match="takes no options, and steps was given"):
        ref_of(path, options={"steps": 1})


def test_three_channels_serve_single_ones_with_their_deviations(tmp_path: Path) -> None:
    model = load(ref_of(weights(tmp_path, channels=3), 5, scale=2, strategy="single"))
    assert (model.spec.channels, model.spec.out_channels, model.spec.deviation) == (1, 1, "returned")
    result = model(TILE, ORIGINS)
    assert result.shape == (1, 2, 8, 3, 2)
    assert torch.allclose(result[:, :1], TILE.repeat_interleave(2, dim=2))
    assert set(result[:, 1:].flatten().tolist()) == {0.5}
    assert isinstance(model, Tailored)
    assert model.cost((8, 4, 4), (2, 0, 0)) == Cost(passes=4, flops=10.0)
    assert torch.equal(model.tailored((1, 0, 0))(TILE, ORIGINS), result)
    assert isinstance(model.to(device="cpu", precision="fp32"), Tailored)


def test_other_channels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"takes 3 channels .* image has 2"):
        load(ref_of(weights(tmp_path, channels=3), 2, scale=2, strategy="triples"))
    with pytest.raises(ModelError, match=r"takes 5 channels .* image has 2"):
        load(ref_of(weights(tmp_path, channels=5), 2, scale=2))


def test_the_package_announces_what_it_falls_back_on() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["entry-points"][architectures.GROUP] == architectures.OWN
    assert architectures.announced() == {"repeater": "some_package:build", **architectures.OWN}
