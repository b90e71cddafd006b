"""From what a user types to a loaded model."""

from __future__ import annotations

import json
import pickle
import threading
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import save_file

from scalesr.errors import ModelError
from scalesr.models import Model, ModelRef, available, cache, catalogue, convert, load, resolve
from scalesr.models.edsr import EDSR
from scalesr.models.rrdb import RRDBNet

if TYPE_CHECKING:
    from pathlib import Path

SIZES: dict[str, Any] = {"features": 8, "blocks": 1, "scale": 2}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def edsr(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "edsr.safetensors"
    metadata = {"architecture": "edsr", "tile": "64", **{name: str(size) for name, size in SIZES.items()}}
    save_file(EDSR(**SIZES).state_dict(), path, metadata=metadata)
    return path


def ref_of(model: str, image_channels: int | None = None, image_axes: str = "zyx", **options: Any) -> ModelRef:
    return resolve(model, image_channels=image_channels, image_axes=image_axes, **options)


@pytest.mark.parametrize("name", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize(
    ("options", "axes", "scale"),
    [
        ({"scale": 4}, "yx", (4, 4)),
        ({"scale": "48/13"}, "yx", (Fraction(48, 13),) * 2),
        ({"scale": 3.69}, "yx", (Fraction(369, 100),) * 2),
        ({"scale": Fraction(1, 2), "axes": "zyx"}, "zyx", (Fraction(1, 2),) * 3),
        ({"scale": ("48/13", 1, 1)}, "zyx", (Fraction(48, 13), 1, 1)),
        ({"scale": [2, 3]}, "yx", (2, 3)),
    ],
)
def test_interpolations(name: str, options: dict[str, Any], axes: str, scale: tuple[Fraction, ...]) -> None:
    ref = ref_of(name, **options)
    spec = load(ref).spec
    assert ref.source == f"builtin:{name}"
    assert (spec.name, spec.axes, spec.scale) == (name, axes, scale)


def test_identity_has_a_scale_of_its_own() -> None:
    assert load(ref_of("identity")).spec.scale == (Fraction(1), Fraction(1))


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("cubic", {}, "no scale of its own"),
        ("cubic", {"scale": 0}, "cannot be used"),
        ("cubic", {"scale": -2}, "cannot be used"),
        ("cubic", {"scale": "1/1000"}, "cannot be used"),
        ("cubic", {"scale": "four"}, "is no scale"),
        ("cubic", {"scale": float("nan")}, "is no scale"),
        ("cubic", {"scale": "1/0"}, "is no scale"),
        ("cubic", {"scale": (2, 2), "axes": "zyx"}, "2 scales were given"),
        ("cubic", {"scale": 2, "axes": "xy"}, "cannot mix the axes"),
        ("cubic", {"scale": 2, "axes": "zyx", "image_axes": "cyx"}, "works along 'zyx'"),
        ("cubic", {"scale": 2, "options": {"a": 1}}, "takes no options"),
        ("identity", {"scale": 2}, "copies pixels"),
        ("bicubic", {"scale": 2}, "There is no model 'bicubic'"),
        ("absent.safetensors", {}, "There is no file"),
        ("../weights/rrdb", {}, "There is no model"),
    ],
)
def test_what_cannot_be_is_refused(model: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        load(ref_of(model, **options))
    assert caught.value.remedy


def test_our_own_networks_are_built_from_their_metadata(edsr: Path) -> None:
    ref = ref_of(str(edsr))
    model = load(ref)
    assert ref.source == f"file:{edsr}"
    assert (model.spec.name, model.spec.scale, model.spec.tile) == ("edsr", (Fraction(2), Fraction(2)), 64)
    torch.manual_seed(0)
    tile = torch.rand(1, 1, 12, 12)
    torch.manual_seed(0)
    with torch.inference_mode():
        expected = EDSR(**SIZES).eval()(tile)
    found = model(tile, torch.zeros(1, 2, dtype=torch.int64))
    assert found.shape == expected.shape
    # At its border, layers that are merged see another padding; that is context, which runs cut off.
    assert torch.allclose(found[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], atol=1e-6)


@pytest.mark.parametrize("name", ["rrdb", "RRDBNet"])
def test_rrdb_files(tmp_path: Path, name: str) -> None:
    path = tmp_path / "rrdb.safetensors"
    sizes = {"in_channels": 1, "out_channels": 1, "features": 8, "growth": 4, "blocks": 1, "scale": 4}
    save_file(
        RRDBNet(**sizes).state_dict(), path, metadata={"architecture": name, **{k: str(v) for k, v in sizes.items()}}
    )
    assert load(ref_of(str(path), scale=4)).spec.scale == (Fraction(4), Fraction(4))


def test_files_that_contradict_themselves_are_refused(tmp_path: Path) -> None:
    weights = EDSR(**SIZES).state_dict()
    for metadata, words in (
        ({"architecture": "edsr", "features": "9", "blocks": "1"}, "do not go together"),
        ({"architecture": "edsr", "colour": "3"}, "do not go together"),
        ({"architecture": "edsr", "features": "many"}, "do not go together"),
        ({"architecture": "unet"}, "not known here"),
    ):
        path = tmp_path / "bad.safetensors"
        save_file(weights, path, metadata=metadata)
        with pytest.raises(ModelError, match=words):
            load(ref_of(str(path)))


def test_a_network_has_its_own_scale_and_axes(edsr: Path) -> None:
    assert load(ref_of(str(edsr), scale=2)).spec.scale == (Fraction(2), Fraction(2))
    with pytest.raises(ModelError, match="scales by 2 x 2, and 4 was asked for"):
        load(ref_of(str(edsr), scale=4))
    with pytest.raises(ModelError, match="mixes the axes 'yx', and 'zyx'"):
        load(ref_of(str(edsr), axes="zyx"))
    with pytest.raises(ModelError, match="works along 'yx'"):
        load(ref_of(str(edsr), image_axes="zx"))


def test_pickles(edsr: Path, tmp_path: Path) -> None:
    torch.save({"params": EDSR(**SIZES).state_dict()}, tmp_path / "edsr.pth")
    with pytest.raises(ModelError, match="can run any program"):
        ref_of(str(tmp_path / "edsr.pth"))
    assert ref_of(str(tmp_path / "edsr.pth"), trust="pickle").sha256
    goal = convert(
        tmp_path / "edsr.pth",
        tmp_path / "converted.safetensors",
        metadata={"architecture": "edsr", **{name: str(size) for name, size in SIZES.items()}},
    )
    assert load(ref_of(str(goal))).spec.scale == (Fraction(2), Fraction(2))


def test_loading_again_is_free_and_the_same_for_all_threads(edsr: Path) -> None:
    ref = ref_of(str(edsr))
    found: list[Model] = []
    threads = [threading.Thread(target=lambda: found.append(load(ref))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len({id(model) for model in found}) == 1
    short = load(ref, precision="bf16")
    assert short is not found[0]
    assert load(ref, precision="bf16") is short


def test_references_survive_pickle_and_json(edsr: Path) -> None:
    ref = ref_of(str(edsr), 3, "cyx", scale=2)
    assert pickle.loads(pickle.dumps(ref)) == ref
    options = json.loads(json.dumps(ref.options))
    again = ModelRef(source=ref.source, sha256=ref.sha256, options=tuple((name, value) for name, value in options))
    assert again == ref
    assert load(again) is load(ref)


def test_another_hash_is_refused(edsr: Path) -> None:
    for ref in (ref_of(str(edsr)), ref_of("cubic", scale=3)):
        with pytest.raises(ModelError, match="has changed"):
            load(ModelRef(source=ref.source, sha256="0" * 64, options=ref.options))


def test_loading_inside_inference_mode(edsr: Path) -> None:
    with torch.inference_mode():
        model = load(ref_of(str(edsr), image_axes="yx"))
    assert model.spec.receptive is not None


def test_what_was_measured_is_remembered(edsr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(ref_of(str(edsr), 1, "cyx")).spec
    entries = list((tmp_path / "cache").rglob("*.json"))
    assert len(entries) == 1

    def fail(*_args: object, **_options: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("scalesr.models.trial.receptive_field", fail)
    assert load(ref_of(str(edsr), 2, "cyx")).spec == first
    entries[0].write_text("{damaged")
    with pytest.raises(AssertionError, match="measured again"):
        load(ref_of(str(edsr), 4, "cyx"))


def test_a_cache_that_cannot_be_written_is_no_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    cache.remember("key", {"a": 1})
    assert cache.recall("key") is None


def test_trained_defaults_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edsr: Path) -> None:
    monkeypatch.setattr(catalogue, "_WEIGHTS", tmp_path)
    edsr.rename(tmp_path / "rrdb-x4.safetensors")
    assert ("rrdb-x4", "edsr trained for scalesr; the default") in available()
    ref = ref_of("default")
    assert ref == ref_of("rrdb-x4")
    assert ref.source == "builtin:rrdb-x4"
    assert load(ref).spec.name == "rrdb-x4"


def test_all_that_is_built_in_is_available() -> None:
    assert [name for name, _ in available()][:4] == ["nearest", "linear", "cubic", "identity"]
    assert all(line and "\n" not in line for _, line in available())
