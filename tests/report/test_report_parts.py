"""What a report is made of: samples, places, interpolations, seams, drawings, and the way back to the run."""

from __future__ import annotations

import json
from fractions import Fraction
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commands import speckle, write_image
from hypothesis import given
from hypothesis import strategies as st

from scalesr.engine import BlockDone, BlockReport, Options, run
from scalesr.images import Image, build_pyramid, create_image, open_image, pyramid_layout
from scalesr.images.axes import axis_named
from scalesr.report.again import call, changes, command
from scalesr.report.crops import BASELINES, read_crop
from scalesr.report.intensities import profile
from scalesr.report.journal import POINTS, Journal, Notes
from scalesr.report.places import overviews, places
from scalesr.report.plots import drawn
from scalesr.report.provenance import card_of
from scalesr.report.sampling import sample
from scalesr.report.scene import open_scene
from scalesr.report.seams import find_seams

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from scalesr.report.scene import Scene

SERIAL: dict[str, Any] = {"scheduler": "serial"}


def stored(path: Path, pixels: NDArray[Any], axes: str) -> Image:
    layout = pyramid_layout(
        axes=tuple(axis_named(a) for a in axes),
        shape=pixels.shape,
        dtype=pixels.dtype.name,
        scale=(1.0,) * pixels.ndim,
        translation=(0.0,) * pixels.ndim,
        smallest=16,
    )
    writer = create_image(path, layout)
    writer.write(0, tuple(slice(0, n) for n in pixels.shape), pixels)
    build_pyramid(writer)
    writer.publish()
    return open_image(path)


def scene_of(output: Path) -> Scene:
    return open_scene(open_image(output), source=None, reference=None, storage_options=None)


def test_a_sample_never_has_more_voxels_than_it_may(tmp_path: Path) -> None:
    image = stored(tmp_path / "in.zarr", speckle(12, 70, 90), "cyx")
    whole = np.asarray(image.array(0)[...])
    for most in (10**6, 12 * 35 * 45, 10_000, 500, 60):
        found = sample(image, most=most)
        assert found.pixels.size <= most
        level = np.asarray(image.array(found.level)[...])
        expected = level[np.ix_(*(np.array(pick) for pick in found.picks))]
        assert np.array_equal(found.pixels, expected)
    assert sample(image).words == "every pixel"
    assert np.array_equal(sample(image).pixels, whole)
    assert "level 1" in sample(image, most=12 * 35 * 45).words


SHAPES: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("yx", (150, 131), {"scale": 4}),
    ("cyx", (3, 80, 90), {"scale": 2}),
    ("yx", (91, 104), {"scale": "3/2"}),
    ("zyx", (12, 40, 44), {"scale": (4, 1, 1), "axes": "zyx"}),
    ("zyx", (12, 40, 44), {"scale": (4, 1, 1), "axes": "zyx", "sampling": "point"}),
    ("zyx", (13, 30, 28), {"scale": ("48/13", 1, 1), "axes": "zyx"}),
    ("tyx", (2, 300, 280), {"scale": 1, "model": "identity"}),
]


@pytest.mark.parametrize(("axes", "shape", "how"), SHAPES)
def test_interpolations_are_those_that_a_run_writes(
    tmp_path: Path, axes: str, shape: tuple[int, ...], how: dict[str, Any]
) -> None:
    write_image(tmp_path / "in.zarr", speckle(*shape), axes)
    run(tmp_path / "in.zarr", tmp_path / "out.zarr", **{"model": "nearest", **SERIAL, **how})
    scene = scene_of(tmp_path / "out.zarr")
    found = places(scene, overviews(scene), most=3)
    assert 1 <= len(found) <= 3
    crops = [read_crop(scene, place, reference=None) for place in found]
    assert all(not crop.absent for crop in crops)
    if how["scale"] == 1:
        assert all(not crop.baselines and np.array_equal(crop.source, crop.output) for crop in crops)  # type: ignore[arg-type]
        return
    for crop in crops:
        assert np.array_equal(crop.baselines["nearest"], crop.output)
    for name in BASELINES:
        run(tmp_path / "in.zarr", tmp_path / name, **{**SERIAL, **how, "model": name})
        other = scene_of(tmp_path / name)
        for place, crop in zip(found, crops, strict=True):
            truth = read_crop(other, place, reference=None).output
            difference = np.abs(truth.astype(np.int64) - crop.baselines[name])
            assert difference.max(initial=0) <= 1, name


def test_planes_of_the_input_lie_where_their_middle_is_in_the_output(tmp_path: Path) -> None:
    image = stored(tmp_path / "in.zarr", speckle(5, 8, 8), "zyx")
    for sampling, expected in (("area", [1.5, 5.5, 9.5, 13.5, 17.5]), ("point", [0, 4, 8, 12, 16])):
        run(tmp_path / "in.zarr", tmp_path / sampling, model="linear", scale=(4, 1, 1), axes="zyx", sampling=sampling,
            **SERIAL)  # fmt: skip
        found = profile(sample(image), 0, lattice=scene_of(tmp_path / sampling).plan.lattice.axes[0])
        assert found.places.tolist() == expected
    pixels = np.asarray(image.array(0)[...])
    assert found.figures[:, 5].tolist() == pytest.approx(pixels.mean(axis=(1, 2)).tolist())
    assert found.figures[:, 2].tolist() == np.median(pixels, axis=(1, 2)).tolist()


def test_places_lie_inside_the_image_and_apart(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(300, 290))
    run(tmp_path / "in.zarr", tmp_path / "out.zarr", model="cubic", scale=4, **SERIAL)
    scene = scene_of(tmp_path / "out.zarr")
    found = places(scene, overviews(scene), most=3)
    assert len(found) == 3
    lattice = scene.plan.lattice.axes
    boxes = [place.out(lattice) for place in found]
    for box in boxes:
        assert all(0 <= low < high <= axis.out_size for (low, high), axis in zip(box, lattice, strict=True))
    for number, box in enumerate(boxes):
        for other in boxes[:number]:
            assert any(low >= b or high <= a for (low, high), (a, b) in zip(box, other, strict=True))


def test_the_place_with_most_structure_is_found(tmp_path: Path) -> None:
    pixels = np.full((512, 512), 1000, np.uint16)
    pixels[300:364, 100:164] = speckle(64, 64)
    write_image(tmp_path / "in.zarr", pixels)
    run(tmp_path / "in.zarr", tmp_path / "out.zarr", model="cubic", scale=2, **SERIAL)
    scene = scene_of(tmp_path / "out.zarr")
    place = places(scene, overviews(scene), most=1)[0]
    (top, bottom), (left, right) = place.out(scene.plan.lattice.axes)
    assert (top <= 600, bottom >= 728) == (True, True)
    assert (left <= 200, right >= 328) == (True, True)


def test_a_seam_that_was_put_in_is_seen_where_it_lies(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(20000, 100, (160, 160))
    write_image(tmp_path / "in.zarr", noise.astype(np.uint16))
    run(tmp_path / "in.zarr", tmp_path / "out.zarr", model="identity", cell=40, halo=0, block=2, **SERIAL)
    scene = scene_of(tmp_path / "out.zarr")
    clean = find_seams(scene, overviews(scene)[0])
    assert clean is not None
    assert clean.there == 24 == len(clean.pieces)
    assert clean.score.value == pytest.approx(1, abs=0.05)
    assert {(p.across, p.at) for p in clean.pieces} == {(k, at) for k in (0, 1) for at in (40, 80, 120)}
    assert {p.at for p in clean.pieces if p.kind == "block"} == {80}
    array = open_image(tmp_path / "out.zarr").array(0)
    pixels = np.asarray(array[...])
    pixels[40:80, 80:120] += 1000
    writable = import_module("zarr").open_array(tmp_path / "out.zarr" / "0", mode="r+")
    writable[...] = pixels
    found = find_seams(scene_of(tmp_path / "out.zarr"), overviews(scene)[0])
    assert found is not None
    loud = {(p.across, p.at, p.along) for p in found.pieces if (p.score or 0) > 3}
    assert loud == {(0, 40, (80, 120)), (0, 80, (80, 120)), (1, 80, (40, 80)), (1, 120, (40, 80))}
    assert found.control.value == pytest.approx(1, abs=0.15)


def test_an_output_of_one_tile_has_no_seams(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(40, 40))
    run(tmp_path / "in.zarr", tmp_path / "out.zarr", model="cubic", scale=2, **SERIAL)
    scene = scene_of(tmp_path / "out.zarr")
    assert find_seams(scene, overviews(scene)[0]) is None


def test_drawings_have_words_as_text_and_the_colours_of_the_page() -> None:
    with drawn("key", title="A & B", words='so "many" <b>') as drawing:
        drawing.axes.plot([0, 1], [1, 2], label="$\\frac{")
        drawing.axes.legend()
        drawing.axes.set_xlabel("\u6838 <i>")
    svg = str(drawing.svg)
    assert '<title id="key-title">A &amp; B</title>' in svg
    assert "so &#34;many&#34; &lt;b&gt;" in svg
    assert "$\\frac{" in svg
    assert "\u6838 &lt;i&gt;" in svg
    assert "#0102" not in svg
    assert "#ffffff" not in svg  # the ground is the page's
    assert "DejaVu" not in svg
    assert "http" not in svg.replace("http://www.w3.org/", "")


def test_the_command_says_what_differs_from_the_defaults() -> None:
    noted = json.loads(json.dumps(vars(Options()) | {"model": "it's", "scale": "48/13", "cell": (4, 8), "level": 1,
                                                     "model_options": [["steps", 4]]}, default=str))  # fmt: skip
    found = changes(noted, None)
    assert found == {"model": "it's", "scale": "48/13", "cell": [4, 8], "level": 1, "model_options": [["steps", 4]]}
    line = command("in put.zarr", "out.zarr", found)
    assert line.startswith("scalesr run 'in put.zarr' out.zarr ")
    for words in ("--model 'it'\"'\"'s'", "--scale 48/13", "--cell 4,8", "--level 1", "--set steps=4"):
        assert words in line
    assert "cell=(4, 8)" in call("in", "out", found)


@pytest.mark.parametrize("name", ["rrdb-x4", "hyres-x2", "msdsr-fast", "rls-nuclei"])
def test_weights_that_come_along_have_card_and_licence(name: str) -> None:
    card = card_of(f"builtin:{name}")
    assert card.licence.startswith("BSD-3-Clause")
    assert card.text.startswith("#")


def test_weights_of_others_have_a_licence_that_nobody_knows() -> None:
    assert "not known" in card_of("file:/somewhere/net.safetensors").licence
    assert card_of("builtin:cubic").licence.startswith("an interpolation")


@given(count=st.integers(1, 6 * POINTS))
def test_a_journal_is_bounded_and_loses_no_count(count: int) -> None:
    notes = Notes()
    report = BlockReport(block=0, index=(0,), checksums=(), tiles=1, batch=1)
    notes._looked = float("inf")  # looking at the memory takes longer than all else
    for done in range(1, count + 1):
        notes(BlockDone(report=report, done=done, total=count))
    journal = notes.journal()
    assert len(journal.ended) <= 2 * POINTS
    assert len(journal.ended) * journal.every <= count < (len(journal.ended) + 1) * journal.every
    assert list(journal.ended) == sorted(journal.ended)
    assert Journal.from_json(json.loads(json.dumps(vars(journal)))) == journal


def test_scales_that_are_fractions_begin_at_whole_pixels(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(400, 410))
    run(tmp_path / "in.zarr", tmp_path / "out.zarr", model="linear", scale="5/2", **SERIAL)
    scene = scene_of(tmp_path / "out.zarr")
    for place in places(scene, overviews(scene), most=3):
        assert all(first * Fraction(5, 2) == int(first * Fraction(5, 2)) for first in place.start)
