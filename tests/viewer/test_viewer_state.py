"""What neuroglancer is told: places and sizes in metres, greys that can be compared, colours, partners."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from served_images import put_image, scene
from small_plates import pixels_of, write_plate

import scalesr
from scalesr.errors import InputError, PlanError
from scalesr.images import ArrayImage, Axis, Channel, Image, open_image
from scalesr.viewer import view
from scalesr.viewer.dimensions import dimensions, objection
from scalesr.viewer.partners import choose, input_of
from scalesr.viewer.state import Shown, state_of

if TYPE_CHECKING:
    from pathlib import Path


def shown(*images: Image) -> list[Shown]:
    return [
        Shown(image=image, title=f"{image.name}{number}", address=f"http://here/{number}")
        for number, image in enumerate(images)
    ]


def spans(state: dict[str, Any]) -> list[list[float]]:
    return [layer["shaderControls"]["contrast"]["range"] for layer in state["layers"]]


def test_two_images_lie_at_the_same_places(tmp_path: Path) -> None:
    fine = put_image(tmp_path / "fine.ome.zarr", scene(256), step=0.125)
    coarse = put_image(tmp_path / "coarse.ome.zarr", scene(64), step=0.5)
    state = state_of(shown(fine, coarse))
    assert state["dimensions"] == {"x": [pytest.approx(1.25e-7), "m"], "y": [pytest.approx(1.25e-7), "m"]}
    assert state["displayDimensions"] == ["x", "y"]
    # The middle of the sample, whose pixels are counted by their centres.
    assert np.asarray(state["position"]) * 0.125 == pytest.approx([16.0625, 16.0625])
    panels = state["layout"]["children"]
    assert state["layout"]["type"] == "row"
    assert [panel["layers"] for panel in panels] == [["fine0"], ["coarse1"]]
    assert [layer["source"]["url"] for layer in state["layers"]] == ["http://here/0/|zarr3:", "http://here/1/|zarr3:"]
    assert spans(state)[0] == spans(state)[1]
    # It fits into half of a window.
    assert 256 / state["crossSectionScale"] < 640


def test_volumes_and_time(tmp_path: Path) -> None:
    movie = np.stack([np.stack([scene(64)] * 5)] * 3)
    image = put_image(tmp_path / "movie.ome.zarr", movie, "tzyx", chunk=16)
    state = state_of(shown(image))
    assert list(state["dimensions"]) == ["x", "y", "z", "t"]
    assert state["dimensions"]["t"] == [1, "s"]
    assert state["displayDimensions"] == ["x", "y", "z"]
    assert state["position"][2:] == [2, 0]
    assert state["layout"] == "4panel"


def test_channels_are_layers_that_add_up(tmp_path: Path) -> None:
    pixels = np.stack([scene(64), scene(64) // 2])
    names = (Channel("DAPI", color="0000FF"), Channel("actin", 100.0, 900.0))
    state = state_of(shown(put_image(tmp_path / "two.ome.zarr", pixels, "cyx", channels=names)))
    assert [layer["name"] for layer in state["layers"]] == ["two0 DAPI", "two0 actin"]
    assert "#0000FF" in state["layers"][0]["shader"]
    assert [layer["blend"] for layer in state["layers"]] == ["additive", "additive"]
    assert [layer["localPosition"] for layer in state["layers"]] == [[0], [1]]
    # What somebody chose is kept; what nobody chose is measured.
    assert spans(state)[1] == [100, 900]
    assert 3000 < spans(state)[0][1] <= 4000


def test_layers_have_names_of_their_own(tmp_path: Path) -> None:
    twice = (Channel("DAPI"), Channel("DAPI"), Channel(None))
    state = state_of(shown(put_image(tmp_path / "two.ome.zarr", np.stack([scene(32)] * 3), "cyx", channels=twice)))
    assert [layer["name"] for layer in state["layers"]] == ["two0 DAPI (0)", "two0 DAPI (1)", "two0 channel 2"]


def test_a_single_channel_is_grey(tmp_path: Path) -> None:
    state = state_of(shown(put_image(tmp_path / "one.ome.zarr", scene(32)[None], "cyx")))
    assert list(state["dimensions"]) == ["x", "y"]
    (layer,) = state["layers"]
    assert layer["name"] == "one0"
    assert layer["localPosition"] == [0]
    assert "blend" not in layer
    assert "emitGrayscale" in layer["shader"]


def test_channels_that_name_no_colour_get_one(tmp_path: Path) -> None:
    def colours(*layers: dict[str, Any]) -> list[str]:
        return [layer["shader"].partition('"#')[2][:6] for layer in layers]

    three = np.stack([scene(64)] * 3)
    state = state_of(shown(put_image(tmp_path / "three.ome.zarr", three, "cyx")))
    assert colours(*state["layers"]) == ["00FFFF", "FF00FF", "FFFF00"]
    # A photograph keeps its colours.
    state = state_of(shown(put_image(tmp_path / "photo.ome.zarr", (three // 16).astype(np.uint8), "cyx")))
    assert colours(*state["layers"]) == ["FF0000", "00FF00", "0000FF"]
    assert spans(state) == [[0, 255]] * 3


def test_one_band_of_a_spectrum_is_shown_in_all_panels(tmp_path: Path) -> None:
    cube = np.stack([scene(32) // (1 + abs(band - 7)) for band in range(12)])
    images = [
        put_image(tmp_path / f"{name}.ome.zarr", cube, "cyx", channels=tuple(Channel(f"{n} nm") for n in range(12)))
        for name in "ab"
    ]
    state = state_of(shown(*images))
    assert len(state["layers"]) == 2
    assert list(state["dimensions"]) == ["x", "y", "c"]
    assert state["position"][2] == 7
    assert list(state["layers"][0]["source"]["transform"]["outputDimensions"]) == ["c", "y", "x"]
    assert "localPosition" not in state["layers"][0]


def test_greys_are_shared_among_the_same_numbers_only(tmp_path: Path) -> None:
    dark = put_image(tmp_path / "dark.ome.zarr", scene(64) // 4)
    bright = put_image(tmp_path / "bright.ome.zarr", scene(64))
    other = put_image(tmp_path / "other.ome.zarr", scene(64).astype(np.float32) / 4000)
    found = spans(state_of(shown(dark, bright, other)))
    assert found[0] == found[1]
    assert found[0][0] < 100
    assert found[0][1] > 3000
    assert found[2] == [pytest.approx(0.05, abs=0.05), pytest.approx(1, abs=0.05)]


def test_integers_of_64_bits_are_texts(tmp_path: Path) -> None:
    state = state_of(shown(put_image(tmp_path / "wide.ome.zarr", scene(64).astype(np.uint64))))
    assert all(isinstance(end, str) for end in spans(state)[0])
    json.dumps(state)


def test_what_neuroglancer_cannot_show_is_said(tmp_path: Path) -> None:
    double = put_image(tmp_path / "double.ome.zarr", scene(32).astype(np.float64))
    with pytest.raises(InputError, match="float64, which neuroglancer does not draw"):
        view(double)
    with view(double, client="none") as viewing:
        assert "float64" in viewing.notes[0]
        assert set(viewing.links) == {"vizarr", "napari"}
    odd = put_image(tmp_path / "odd.ome.zarr", scene(32), units={"y": "furlong", "x": "micrometer"})
    assert "the unit 'furlong'" in str(objection(odd))
    plain = put_image(tmp_path / "plain.ome.zarr", scene(32), units={})
    fine = put_image(tmp_path / "fine.ome.zarr", scene(32))
    assert objection(plain) is None
    with pytest.raises(InputError, match="no unit"):
        view(fine, beside=plain)


@pytest.mark.parametrize(("unit", "factor"), [("nanometer", 1e-9), ("inch", 0.0254), ("micrometer", 1e-6)])
def test_units_become_metres(tmp_path: Path, unit: str, factor: float) -> None:
    image = put_image(tmp_path / "a.ome.zarr", scene(32), units={"y": unit, "x": unit})
    assert [one.step for one in dimensions(image)] == pytest.approx([0.5 * factor] * 2)


def test_the_input_is_found_in_the_ledger(tmp_path: Path) -> None:
    source = put_image(tmp_path / "cells.ome.zarr", scene(32))
    output = scalesr.run(source.url, tmp_path / "fine.ome.zarr", model="nearest", scale=2)
    assert input_of(output.image) == source.url
    with view(output.image.url) as viewing:
        assert [one.title for one in viewing.images] == ["fine", "cells"]
        assert viewing.notes == ()
    (tmp_path / "cells.ome.zarr").rename(tmp_path / "moved.ome.zarr")
    chosen = choose(output.image.url, beside=(), field=None, storage_options=None)
    assert len(chosen.images) == 1
    assert "does not exist" in chosen.notes[0]
    assert "--beside" in chosen.notes[0]
    with view(output.image.url, beside=tmp_path / "moved.ome.zarr") as viewing:
        assert [one.image.name for one in viewing.images] == ["fine", "cells"]


def test_a_strangers_ledger_gets_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = replace(put_image(tmp_path / "cells.ome.zarr", scene(32)), url="s3://bucket/out.zarr")
    given: list[Any] = []

    def opened(url: str, *, storage_options: Any) -> Image:
        given.append((url, storage_options))
        return image

    monkeypatch.setattr("scalesr.viewer.partners.open_any", opened)
    options = {"key": "k"}
    for made_from, handed in (("s3://bucket/in.zarr", options), ("s3://other/in.zarr", None), ("/in.zarr", None)):
        monkeypatch.setattr("scalesr.viewer.partners.input_of", lambda _, found=made_from: found)
        choose("s3://bucket/out.zarr", beside=(), field=None, storage_options=options)
        assert given[-1] == (made_from, handed)


def test_one_field_of_a_plate_is_shown(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "plate.ome.zarr")
    other = write_plate(tmp_path / "other.ome.zarr")
    with view(plate.url, beside=other.url) as viewing:
        assert "5 fields: this is A/1/0" in viewing.notes[0]
        assert viewing.images[1].image.url.endswith("other.ome.zarr/A/1/0")
    with view(plate.url, field="C12", beside=[other.url]) as viewing:
        assert viewing.images[0].image.url.endswith("plate.ome.zarr/C/12/0")
        assert viewing.images[1].image.url.endswith("other.ome.zarr/C/12/0")
        np.testing.assert_array_equal(open_image(viewing.images[0].address).array(0)[...], pixels_of(3))
    with pytest.raises(InputError, match="fits 'H9'"):
        view(plate.url, field="H9")
    with pytest.raises(InputError, match="has no field A1"):
        view(plate.open_field("A/1/0"), field="A1")


def test_images_in_memory_are_refused(tmp_path: Path) -> None:
    image = ArrayImage.of(scene(32), axes=[Axis("y", "space"), Axis("x", "space")])
    with pytest.raises(InputError, match="lies in memory"):
        view(image)


def test_without_neuroglancer_links_remain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = put_image(tmp_path / "cells.ome.zarr", scene(32))
    monkeypatch.setattr("scalesr.viewer.client.find_spec", lambda _: None)
    with pytest.raises(PlanError, match=r"scalesr\[view\]"):
        view(image)
    with view(image, client="none") as viewing:
        assert viewing.url == viewing.images[0].address
        assert "iframe" not in viewing._repr_html_()


def test_what_a_notebook_shows(tmp_path: Path) -> None:
    image = put_image(tmp_path / "cells.ome.zarr", scene(32))
    with view(image) as viewing:
        shown = viewing._repr_html_()
        assert f'<iframe src="{viewing.url}"' in shown
        assert viewing.links["vizarr"].endswith(viewing.images[0].address)
        assert viewing.links["neuroglancer-demo"].endswith("/state.json")


def test_only_the_loopback_is_bound_unless_told(tmp_path: Path) -> None:
    image = put_image(tmp_path / "cells.ome.zarr", scene(32))
    with view(image) as viewing:
        assert [one.getsockname()[0] for one in viewing._server._sockets] == ["127.0.0.1"]
        assert not viewing.notes
        with pytest.raises(InputError, match="No server can listen"):
            view(image, port=viewing._server.port)
    with view(image, host="0.0.0.0", client="none") as viewing:
        assert "Everybody who reaches this machine" in viewing.notes[0]
        assert "vizarr" not in viewing.links
