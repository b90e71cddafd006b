"""The plugin for napari, without napari: its manifest, its widgets' signatures, and what they do with arrays.

A package that stands for napari has what the widgets ask of it: types, and a worker that runs in a thread.
"""

from __future__ import annotations

import inspect
import sys
import threading
import warnings
from dataclasses import dataclass, field
from importlib.resources import files
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest

import scalesr
from scalesr.engine import Options
from scalesr.errors import InputError
from scalesr.images import Axis, create_image, pyramid_layout
from scalesr.napari import figures, image_of, measure, restore, restored
from scalesr.napari.measuring import table_of, words_of
from scalesr.phantoms import cells

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

WORKER = """
import threading

def create_worker(work, *, _connect):
    def run():
        found = work()
        _connect["returned"](found)
    thread = threading.Thread(target=run, name="worker of napari")
    thread.start()
    thread.join()
"""


@dataclass
class Layer:
    """What an image layer of napari has."""

    data: Any
    name: str = "cells"
    multiscale: bool = False
    rgb: bool = False
    scale: Any = (0.5, 0.5)
    translate: Any = (0.25, 0.25)
    units: Any = ("micrometer", "micrometer")
    axis_labels: Any = ("y", "x")
    contrast_limits: Any = (0.0, 900.0)
    colormap: Any = field(default_factory=lambda: SimpleNamespace(name="magma"))


def sample(size: int = 96) -> NDArray[np.uint16]:
    everything = (slice(None), slice(None))
    found: NDArray[np.float32] = cells((size, size), seed=2).region(everything)
    return np.asarray(1000 * found / found.max(), dtype=np.uint16)


@pytest.fixture
def napari(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that stands for napari."""
    place = tmp_path / "stand-in" / "napari"
    (place / "qt").mkdir(parents=True)
    (place / "__init__.py").write_text("from napari import layers, viewer\n")
    (place / "layers.py").write_text("class Image: ...\n")
    (place / "viewer.py").write_text("class Viewer: ...\n")
    (place / "qt" / "__init__.py").write_text("")
    (place / "qt" / "threading.py").write_text(WORKER)
    monkeypatch.syspath_prepend(place.parent)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "napari"]:
        del sys.modules[name]


def test_the_manifest_is_valid() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own import
        npe2 = pytest.importorskip("npe2")
        manifest = npe2.PluginManifest.from_file(str(files("scalesr.napari").joinpath("napari.yaml")))
        manifest.validate_imports()
    assert manifest.name == "scalesr"
    assert [one.display_name for one in manifest.contributions.widgets] == ["Restore", "Measure"]
    commands = {one.id: one.python_name for one in manifest.contributions.commands}
    assert {one.command for one in manifest.contributions.widgets} == set(commands)
    assert set(commands.values()) == {"scalesr.napari.restoring:restore", "scalesr.napari.measuring:measure"}


@pytest.mark.parametrize("widget", [restore, measure])
def test_magicgui_understands_the_widgets(napari: None, widget: Any) -> None:
    """Every parameter has a type that is found, and a kind of field; those of napari come from napari."""
    del napari
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = pytest.importorskip("magicgui.signature")
    own = {"viewer", "image", "made_from", "reference"} & set(inspect.signature(widget).parameters)
    # What napari itself has a field for.
    fields = {name: {"widget_type": "ComboBox"} for name in own}
    found = signature.magic_signature(widget, gui_options=fields, raise_on_unknown=True)
    types = {name: str(one.annotation) for name, one in found.parameters.items()}
    assert "napari.viewer.Viewer" in types["viewer"]
    assert "napari.layers.Image" in types["image"]
    assert all(
        one.default is not one.empty for name, one in found.parameters.items() if name not in ("viewer", "image")
    )


def test_restored_voxels_are_those_of_a_run(tmp_path: Path) -> None:
    pixels = sample()
    layout = pyramid_layout(
        axes=tuple(Axis(name, "space", "micrometer") for name in "yx"),
        shape=pixels.shape,
        dtype="uint16",
        scale=(0.5, 0.5),
        translation=(0.25, 0.25),
        name="cells",
    )
    writer = create_image(tmp_path / "in.zarr", layout)
    writer.array(0)[...] = pixels
    writer.publish()
    output = scalesr.run(tmp_path / "in.zarr", tmp_path / "out.zarr", model="cubic", scale=2).image
    levels, settings, kind = restored(Layer(pixels), options=Options(model="cubic", scale=2))
    assert kind == "image"
    np.testing.assert_array_equal(np.asarray(levels[0]), output.array(0)[...])
    assert settings["scale"] == output.pixel_sizes
    assert settings["translate"] == output.levels[0].translation
    # Zoomed out there is what was measured.
    assert settings["multiscale"] is True
    np.testing.assert_array_equal(levels[1], pixels)
    assert settings["contrast_limits"] == (0.0, 900.0)
    assert settings["colormap"] == "magma"
    assert settings["units"] == ("micrometer", "micrometer")


def test_only_what_is_looked_at_is_computed() -> None:
    looked: list[Any] = []

    def note(block: NDArray[Any], block_info: Any = None) -> NDArray[Any]:
        if block_info:
            looked.append(block_info[0]["chunk-location"])
        return block

    whole = da.from_array(sample(256), chunks=(32, 32))  # type: ignore[no-untyped-call]
    pixels = whole.map_blocks(note, dtype=np.uint16, meta=np.empty((0, 0), "u2"))
    options = Options(model="cubic", scale=2, cell=32, normalise="dtype")
    levels, _, _ = restored(Layer(pixels), options=options)
    looked.clear()
    piece = levels[0][200:264, 200:264].compute()
    assert piece.shape == (64, 64)
    assert 0 < len(set(looked)) <= 25
    assert {(0, 0), (7, 7)}.isdisjoint(looked)


def test_levels_of_a_layer_stay_below_the_restored_one() -> None:
    pixels = sample()
    several = Layer([pixels, pixels[::2, ::2]], multiscale=True)
    same, _, _ = restored(several, options=Options(model="cubic", scale=1))
    assert [level.shape for level in same] == [(96, 96), (48, 48)]
    other, settings, _ = restored(several, options=Options(model="cubic", scale=2, out_dtype="float32"))
    assert other.shape == (192, 192)
    assert settings["multiscale"] is False
    assert "contrast_limits" not in settings


def test_axes_of_layers() -> None:
    pixels = np.zeros((4, 8, 8), np.uint8)
    lying: dict[str, Any] = {"scale": (2.0, 0.5, 0.5), "translate": (0.0, 0.0, 0.0)}
    numbered = Layer(pixels, axis_labels=("-3", "-2", "-1"), units=("pixel",) * 3, **lying)
    assert image_of(numbered).axis_names == ("z", "y", "x")
    assert image_of(numbered).axes[0].unit is None
    named = image_of(numbered, axes="tyx")
    assert (named.axes[0].kind, named.pixel_sizes) == ("time", (2.0, 0.5, 0.5))
    labelled = Layer(pixels, axis_labels=("C", "Y", "X"), units=("micrometer",) * 3, **lying)
    assert [axis.kind for axis in image_of(labelled).axes] == ["channel", "space", "space"]
    for wrong in ("yx", "qyx", "yyx"):
        with pytest.raises(InputError, match="do not fit the layer cells"):
            image_of(numbered, axes=wrong)
    with pytest.raises(InputError, match="colours in its last dimension"):
        image_of(Layer(np.zeros((8, 8, 3), np.uint8), rgb=True))


def test_figures_of_a_restored_layer() -> None:
    source = Layer(sample())
    levels, settings, _ = restored(source, options=Options(model="cubic", scale=2))
    output = Layer(levels, settings["name"], True, scale=settings["scale"], translate=settings["translate"])
    found = figures(output, made_from=source)
    table = table_of(found)
    assert table["columns"][:2] == ["metric", "figure"]
    assert all(len(row) == len(table["columns"]) for row in table["data"])
    # Beside the output is its control, the interpolation.
    assert any("baseline" in row[1] for row in table["data"])
    assert words_of(found).startswith("(1) ")
    assert figures(source, reference=source, metrics=["psnr"]).value("psnr") == np.inf


def test_the_widgets_work_in_a_thread_and_add_to_the_viewer(napari: None, monkeypatch: pytest.MonkeyPatch) -> None:
    del napari
    added: list[Any] = []
    docked: list[Any] = []
    threads: list[str] = []
    window = SimpleNamespace(add_dock_widget=lambda widget, **about: docked.append((widget, about)))
    viewer: Any = SimpleNamespace(add_image=lambda pixels, **about: added.append((pixels, about)), window=window)
    working = restored

    def noting(*layer: Any, **options: Any) -> Any:
        threads.append(threading.current_thread().name)
        return working(*layer, **options)

    monkeypatch.setattr("scalesr.napari.restoring.restored", noting)
    restore(viewer, Layer(sample()), model="cubic", scale="2, 2")
    assert threads == ["worker of napari"]
    assert added[0][0][0].shape == (192, 192)
    assert added[0][1]["name"] == "cells restored (cubic)"
    made = SimpleNamespace(Table=dict, Label=dict, Container=dict)
    monkeypatch.setitem(sys.modules, "magicgui.widgets", made)
    measure(viewer, Layer(sample()), reference=Layer(sample()), metrics="psnr, rmse")
    ((container, about),) = docked
    assert about["name"] == "Figures of cells"
    assert {row[0] for row in container["widgets"][0]["value"]["data"]} == {"psnr", "rmse"}


def test_without_napari_the_widgets_work_at_once() -> None:
    added: list[Any] = []
    viewer: Any = SimpleNamespace(add_image=lambda pixels, **about: added.append(about["name"]))
    restore(viewer, Layer(sample(), units=None, axis_labels=()), model="nearest", scale="2")
    assert added == ["cells restored (nearest)"]
