"""Volumes whose planes lie far apart, on the command line: isotropic, as points, with planes missing; the cost."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from commands import call, only_json, speckle

from scalesr.images import Axis, create_image, open_image, pyramid_layout
from scalesr.models import Cost, ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

    import torch

ONE = Fraction(1)


@dataclass(frozen=True)
class Repeating:
    """Repeats planes, as often as it is told, and says what that costs."""

    times: int

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(
            name="repeating",
            axes="zyx",
            scale=(Fraction(self.times), ONE, ONE),
            channels=1,
            out_channels=1,
            receptive=(0, 0, 0),
            activation_bytes=8.0,
            values="any",
        )

    def to(self, *, device: str, precision: str) -> Repeating:
        return self

    def tailored(self, margins: tuple[int, ...]) -> Repeating:
        return self

    def cost(self, tile: tuple[int, ...], margins: tuple[int, ...]) -> Cost:
        return Cost(passes=3, flops=2e12)

    def __call__(self, tiles: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:
        return tiles.repeat_interleave(self.times, dim=2)


def repeating(times: int = 2) -> Repeating:
    """Return the model, as ``package.module:function`` names it."""
    return Repeating(times)


def write_stack(path: Path, *shape: int, sizes: tuple[float, ...], missing: list[int] | None = None) -> Any:
    pixels = speckle(*shape)
    layout = pyramid_layout(
        axes=tuple(Axis(name, "space", "micrometer") for name in "zyx"),
        shape=shape,
        dtype="uint16",
        scale=sizes,
        translation=(0.0, 0.0, 0.0),
    )
    writer = create_image(path, layout)
    writer.array(0)[...] = pixels
    writer.publish(facts=None if missing is None else {"missing_planes": missing})
    return pixels


def test_measured_planes_become_rows(tmp_path: Path) -> None:
    pixels = write_stack(tmp_path / "in.zarr", 9, 40, 30, sizes=(1.5, 0.5, 0.5))
    options = ("--model", "linear", "--scale", "isotropic", "--sampling", "point", "--cell", "4,16,16", "--quiet")
    assert call("run", tmp_path / "in.zarr", tmp_path / "out.zarr", *options).exit_code == 0
    image = open_image(tmp_path / "out.zarr")
    found = np.asarray(image.array(0)[:])
    assert image.pixel_sizes == (0.5, 0.5, 0.5)
    assert image.levels[0].translation == (0.0, 0.0, 0.0)
    np.testing.assert_array_equal(found[::3], pixels)
    between = np.rint((2 * pixels[:-1].astype(float) + pixels[1:]) / 3)
    assert np.abs(found[1:-2:3] - between).max() <= 1


def test_the_plan_tells_the_ratio(tmp_path: Path) -> None:
    write_stack(tmp_path / "in.zarr", 9, 40, 30, sizes=(1.2, 0.325, 0.325))
    options = ("--model", "cubic", "--scale", "isotropic")
    result = call("plan", tmp_path / "in.zarr", *options)
    assert "planes lie 3.692 pixels apart; taken as 48/13, exactly" in result.stdout
    document = only_json(call("plan", tmp_path / "in.zarr", *options, "--json"))
    assert document["isotropic"]["ratio"] == "48/13"
    write_stack(tmp_path / "odd.zarr", 9, 40, 30, sizes=(1.234, 0.5, 0.5))
    assert "taken as 37/15, -0.05% of it" in call("plan", tmp_path / "odd.zarr", *options).stdout
    refused = call("plan", "--shape", "9,40,30", *options)
    assert refused.exit_code == 3
    assert "does not say how large its voxels are" in refused.stderr


def test_the_plan_tells_the_cost(tmp_path: Path) -> None:
    shape = ("--shape", "20,500,500", "--axes", "zyx", "--model", f"{__name__}:repeating", "--cell", "20,250,250")
    result = call("plan", *shape)
    assert "12 passes of the network, 8 TFLOP; for a gigavoxel of output 1,200 passes, 800 TFLOP" in result.stdout
    assert "0.08 seconds at 100 TFLOP/s, assumed of a GPU; give yours by --tflops; for a gigavoxel 8" in result.stdout
    assert "at 0.001 TFLOP/s, as given" in call("plan", *shape, "--tflops", "0.001").stdout
    work = only_json(call("plan", *shape, "--tflops", "2", "--json"))["work"]
    assert (work["passes"], work["flops"], work["seconds"]) == (12, 8e12, 4.0)
    assert call("plan", *shape, "--tflops", "-1").exit_code == 2
    assert "passes of the network" not in call("plan", "--shape", "64,64", "--model", "cubic", "--scale", "2").stdout


def test_the_summary_tells_the_cost(tmp_path: Path) -> None:
    write_stack(tmp_path / "in.zarr", 9, 40, 30, sizes=(1.0, 0.5, 0.5))
    result = call("run", tmp_path / "in.zarr", tmp_path / "out.zarr", "--model", f"{__name__}:repeating")
    assert result.exit_code == 0
    assert "3 passes of the network, 2 TFLOP, " in result.stdout
    assert "FLOP/s" in result.stdout


def test_a_model_is_told_something(tmp_path: Path) -> None:
    write_stack(tmp_path / "in.zarr", 4, 40, 30, sizes=(1.0, 0.5, 0.5))
    model = ("--model", f"{__name__}:repeating", "--set", "times=5")
    assert call("run", tmp_path / "in.zarr", tmp_path / "out.zarr", *model, "--quiet").exit_code == 0
    assert open_image(tmp_path / "out.zarr").shape == (20, 40, 30)
    other = call("run", tmp_path / "in.zarr", tmp_path / "out.zarr", *model, "--set", "times=3", "--resume")
    assert other.exit_code != 0
    refused = call("plan", tmp_path / "in.zarr", "--model", "cubic", "--scale", "2", "--set", "times=5")
    assert refused.exit_code == 5
    assert "takes no options, and times was given" in refused.stderr
    assert call("plan", tmp_path / "in.zarr", *model, "--set", "times").exit_code == 2


@pytest.mark.parametrize("told", [None, "2,3", "none", "x"])
def test_missing_planes(tmp_path: Path, told: str | None) -> None:
    write_stack(tmp_path / "in.zarr", 6, 40, 30, sizes=(1.0, 0.5, 0.5), missing=[1, 4])
    options = ("--model", "cubic", "--scale", "isotropic", *(("--missing-planes", told) if told else ()))
    result = call("plan", tmp_path / "in.zarr", *options)
    assert result.exit_code == {None: 6, "2,3": 6, "none": 0, "x": 2}[told]
    if told is None:
        assert "not measured (1, 4), and the model 'cubic' cannot make them up" in result.stderr
    if told == "2,3":
        assert "not measured (2, 3)" in result.stderr


def test_gaps_are_kept_on_import(tmp_path: Path) -> None:
    folder = tmp_path / "planes"
    folder.mkdir()
    for number in (0, 1, 3):
        tifffile.imwrite(folder / f"a_z{number}.tif", speckle(8, 8))
    assert call("import", folder, tmp_path / "o.zarr").exit_code == 3
    assert call("import", folder, tmp_path / "o.zarr", "--missing-planes", "keep").exit_code == 0
    assert open_image(tmp_path / "o.zarr").metadata["scalesr"]["missing_planes"] == [2]
