"""``scalesr train rls-generator``, ``rls-flow`` and ``rls-unet``: from objects to files that run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import commands
import numpy as np
import pytest
import tifffile
import torch
from commands import call, only_json, write_image
from PIL import Image as Picture

from scalesr.cli.training_files import open_objects
from scalesr.errors import InputError
from scalesr.images import open_image
from scalesr.rls.checkpoints import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USUAL = ("--threads", "1", "--device", "cpu", "--json")
GENERATOR = ("--size", "16", "--widths", "8,8,8", "--latent", "8", "--depth", "2", "--factor", "4", "--batch", "2")
CPU = ("--device", "cpu", "--scheduler", "serial", "--json")


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(commands.KINDS, "n", "other")
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def blobs(objects: int, channels: int = 1, *, edge: int = 16) -> np.ndarray[Any, np.dtype[np.uint16]]:
    random = np.random.default_rng(3)
    y, x = np.mgrid[:edge, :edge]
    places = random.uniform(edge / 3, 2 * edge / 3, (objects, channels, 2, 1, 1))
    found = np.exp(-((y - places[:, :, 0]) ** 2 + (x - places[:, :, 1]) ** 2) / 8)
    return np.asarray(100 + 3000 * found, np.uint16)


def test_objects_teach_a_generator_a_flow_and_a_search(tmp_path: Path) -> None:
    write_image(tmp_path / "fine.zarr", blobs(24, 2), "ncyx")
    made = call(
        "train", "rls-generator", tmp_path / "fine.zarr", "--out", tmp_path / "gen", *GENERATOR, "--steps", "2", *USUAL
    )
    assert made.exit_code == 0, made.output
    found = only_json(made)
    assert found["judged"] == "held-out objects"
    assert set(found["scores"]) == {"frechet loss", "kernel loss"}
    assert len(list((tmp_path / "gen" / "samples").glob("*.png"))) == 2
    assert load(found["weights"]).generator.settings.channels == 2

    size = ("--hidden", "8", "--blocks", "2", "--batch", "16")
    flow = call("train", "rls-flow", found["weights"], "--out", tmp_path / "flow", *size, "--steps", "2", *USUAL)
    assert flow.exit_code == 0, flow.output
    assert (tmp_path / "flow" / "norms.png").stat().st_size > 1000
    pair = load(only_json(flow)["weights"])
    assert pair.prior is not None
    assert pair.factor == 4

    write_image(tmp_path / "coarse.zarr", blobs(5, 2)[..., ::4, ::4], "ncyx")
    options = ("--model", only_json(flow)["weights"], "--set", "steps=2", "--set", "group=4")
    ran = call("run", tmp_path / "coarse.zarr", tmp_path / "out.zarr", *options, *CPU)
    assert ran.exit_code == 0, ran.output
    assert open_image(tmp_path / "out.zarr").shape == (5, 2, 16, 16)


def test_crops_of_fields_teach_a_generator(tmp_path: Path) -> None:
    write_image(tmp_path / "field.zarr", blobs(1, edge=200)[0, 0], "yx")
    made = call(
        "train", "rls-generator", tmp_path / "field.zarr", "--out", tmp_path / "gen", *GENERATOR, "--steps", "1", *USUAL
    )
    assert made.exit_code == 0, made.output
    assert only_json(made)["judged"] == "held-out strips"


def test_a_u_net_learns_and_runs(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "fine.tif", blobs(16)[:, 0], photometric="minisblack")
    sizes = ("--size", "16", "--factor", "4", "--widths", "4,8", "--batch", "2", "--steps", "2", "--noise", "0.01")
    made = call("train", "rls-unet", tmp_path / "fine.tif", "--out", tmp_path / "net", *sizes, *USUAL)
    assert made.exit_code == 0, made.output
    assert set(only_json(made)["scores"]) == set(only_json(made)["reference"]) == {"psnr"}
    write_image(tmp_path / "coarse.zarr", blobs(5)[:, 0, ::4, ::4], "nyx")
    model = ("--model", only_json(made)["weights"])
    ran = call("run", tmp_path / "coarse.zarr", tmp_path / "out.zarr", *model, "--scale", "4", *CPU)
    assert ran.exit_code == 0, ran.output
    assert open_image(tmp_path / "out.zarr").shape == (5, 16, 16)
    write_image(tmp_path / "odd.zarr", blobs(5)[:, 0, ::4, ::6], "nyx")
    refused = call("run", tmp_path / "odd.zarr", tmp_path / "odd-out.zarr", *model, *CPU)
    assert refused.exit_code == 3
    assert "takes 4 x 4" in refused.output
    assert not (tmp_path / "odd-out.zarr").exists()


def test_channels_are_normalised_over_all_objects(tmp_path: Path) -> None:
    pixels = blobs(4, 2)
    pixels[2:, 1] //= 4
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", metadata={"axes": "ZCYX"}, imagej=True)
    (tmp_path / "folder").mkdir()
    for number, (red, green) in enumerate(pixels):
        colours = np.stack([red // 16, green // 16, red // 32], axis=-1).astype(np.uint8)
        Picture.fromarray(colours).save(tmp_path / "folder" / f"{number}.png")
    write_image(tmp_path / "a.zarr", pixels, "ncyx")
    for name, channels in (("a.tif", 2), ("a.zarr", 2), ("folder", 3)):
        (source,), found = open_objects([str(tmp_path / name)])
        assert found == channels
        assert source.shape == (4 * channels, 16, 16)
        whole = [source.read(plane, slice(0, 16), slice(0, 16)).max() for plane in range(source.shape[0])]
        assert whole[1] > 0.9
        assert whole[3 * channels + 1] < 0.3


def test_pictures_that_differ_are_refused(tmp_path: Path) -> None:
    for name, shape in (("a.png", (16, 16)), ("b.png", (12, 16))):
        Picture.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / name)
    with pytest.raises(InputError, match="12 x 16 px"):
        open_objects([str(tmp_path)])
    (tmp_path / "b.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match="PNG"):
        open_objects([str(tmp_path)])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["rls-generator", "one.zarr", "two.zarr"], 3, "two.zarr has 2"),
        (["rls-generator", "one.zarr", "--validation", "two.zarr"], 2, "what --validation names has 2"),
        (["rls-generator", "one.zarr", "--size", "24"], 6, "24 px"),
        (["rls-generator", "one.zarr", "--size", "32"], 3, "16 x 16 px"),
        (["rls-generator", "one.zarr", "--widths", "8,x"], 2, "--widths"),
        (["rls-unet", "one.zarr", "--size", "16", "--factor", "5"], 6, "factor of 5"),
        (["rls-flow", "absent.safetensors"], 5, "absent.safetensors"),
        (["rls-flow", "g.pt"], 5, "convert"),
    ],
)
def test_mistakes_are_explained(
    arguments: list[str], code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "one.zarr", blobs(8)[:, 0], "nyx")
    write_image(tmp_path / "two.zarr", blobs(8, 2), "ncyx")
    torch.save({"g_ema": {}}, tmp_path / "g.pt")
    result = call("train", *arguments, "--out", tmp_path / "net", "--steps", "1", "--threads", "1", "--device", "cpu")
    assert result.exit_code == code, result.output
    assert words in " ".join(result.stderr.split())
