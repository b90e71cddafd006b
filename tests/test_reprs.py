"""What objects show of themselves: texts that read well, and HTML that is safe and reads next to nothing."""

from __future__ import annotations

import io
from base64 import b64decode
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
from commands import call, speckle
from PIL import Image as PillowImage
from small_plates import write_plate

import scalesr
from scalesr.engine import plan
from scalesr.errors import StorageError
from scalesr.images import ArrayImage, Axis, Channel, Image, create_image, open_image, pyramid_layout
from scalesr.images.colours import colours_of, rgb
from scalesr.images.png import png
from scalesr.images.showing import Section, Sheet
from scalesr.images.thumbnail import LARGEST, thumbnail

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from playwright.sync_api import Page

HOSTILE = "<img src=x onerror=\"document.title='caught'\"><script>document.title='caught'</script>&amp;"


def write(
    path: Path, pixels: NDArray[Any], axes: str, *, name: str = "cells", channels: tuple[Channel, ...] = ()
) -> Image:
    """Write an image of several levels, each of which holds its own number of the level added to the pixels."""
    kinds: dict[str, Any] = {"t": "time", "c": "channel"}
    layout = pyramid_layout(
        axes=tuple(Axis(a, kinds.get(a, "space"), "micrometer" if a in "zyx" else None) for a in axes),
        shape=pixels.shape,
        dtype=pixels.dtype.name,
        scale=(0.5,) * len(axes),
        translation=(0.0,) * len(axes),
        chunks=tuple(min(n, 64) for n in pixels.shape),
        name=name,
        channels=channels,
        smallest=64,
    )
    writer = create_image(path, layout, mode="overwrite")
    for number, level in enumerate(layout.levels):
        step = [slice(None, None, -(-n // m)) for n, m in zip(pixels.shape, level.shape, strict=True)]
        writer.array(number)[...] = pixels[tuple(step)][tuple(slice(0, m) for m in level.shape)]
    writer.publish()
    return open_image(path)


def picture(html: str) -> NDArray[np.uint8]:
    """Return the pixels of the picture in a piece of HTML."""
    data = html.split('src="data:image/png;base64,')[1].split('"')[0]
    return np.asarray(PillowImage.open(io.BytesIO(b64decode(data))))


class Tags(HTMLParser):
    """Collects the tags of a page, and checks that they close."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        assert not any(name.startswith("on") for name, _ in attrs)
        self.seen.add(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def well_formed(html: str) -> set[str]:
    """Return the tags of a piece of HTML in which all are closed."""
    tags = Tags()
    tags.feed(html)
    assert not tags.open
    return tags.seen


def test_an_image_says_what_it_is(tmp_path: Path) -> None:
    image = write(tmp_path / "in.zarr", speckle(3, 120, 200), "zyx")
    assert repr(image) == f"Image(cells: z 3, y 120, x 200; uint16; {image.url})"
    text = str(image)
    assert "level  z  y    x    pixel size" in text
    assert "1      2  60   100  z 1 micrometer, y 1 micrometer, x 1 micrometer" in text
    assert "\n" not in repr(image)
    assert well_formed(image._repr_html_()) >= {"table", "th", "td", "img"}


def test_a_picture_reads_a_plane_of_the_coarsest_level_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = write(tmp_path / "in.zarr", speckle(2, 7, 130, 200), "czyx")
    asked: list[tuple[int, tuple[slice, ...]]] = []
    read = Image.read

    def noting(self: Image, region: tuple[slice, ...], *, level: int = 0, **more: Any) -> Any:
        asked.append((level, region))
        return read(self, region, level=level, **more)

    monkeypatch.setattr(Image, "read", noting)
    assert picture(image._repr_html_()).shape == (*image.levels[-1].shape[2:], 3)
    ((level, region),) = asked
    assert level == len(image.levels) - 1 > 0
    middle = image.levels[-1].shape[1] // 2
    assert region[:2] == (slice(0, 2), slice(middle, middle + 1))
    # Without a level that is small enough nothing is read at all.
    single = write(tmp_path / "wide.zarr", speckle(4, LARGEST + 1), "yx")
    large = type(single)(
        **{f: getattr(single, f) for f in ("url", "version", "name", "axes")}, levels=single.levels[:1]
    )
    assert "<img" not in large._repr_html_()
    assert len(asked) == 1
    for text in (repr(image), str(image)):
        assert text
    assert len(asked) == 1


def test_pixels_are_stretched_and_channels_have_their_colours(tmp_path: Path) -> None:
    pixels = np.zeros((2, 40, 50), np.uint16)
    pixels[0, :, :25], pixels[1, :, 25:] = 700, 9000
    both = (Channel(label="a", color="FF0000"), Channel(label="b", color="0000FF"))
    shown = picture(write(tmp_path / "a.zarr", pixels, "cyx", channels=both)._repr_html_())
    assert (shown[:, :25] == (255, 0, 0)).all()
    assert (shown[:, 25:] == (0, 0, 255)).all()
    grey = np.linspace(-1, 1, 2000).reshape(40, 50)
    grey[3, 4], grey[5, 6] = np.nan, np.inf
    shown = picture(write(tmp_path / "b.zarr", grey.astype(np.float32), "yx")._repr_html_())
    low, high = np.percentile(grey[np.isfinite(grey)], (0.1, 99.9))
    expected = np.rint(255 * np.clip((np.where(np.isfinite(grey), grey, low) - low) / (high - low), 0, 1))
    assert np.abs(shown.astype(int) - expected[..., None]).max() <= 1
    photograph = np.random.default_rng(0).integers(0, 256, (3, 20, 30), dtype=np.uint8)
    shown = picture(write(tmp_path / "c.zarr", photograph, "cyx")._repr_html_())
    np.testing.assert_array_equal(shown, np.moveaxis(photograph, 0, 2))


def test_png_is_read_by_others() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(PillowImage.open(io.BytesIO(png(pixels)))), pixels)
    for grey in (pixels[..., 0], pixels[..., :1]):
        np.testing.assert_array_equal(np.asarray(PillowImage.open(io.BytesIO(png(grey)))), pixels[..., 0])
    entries = pixels[..., 0] % 2
    shown = np.asarray(PillowImage.open(io.BytesIO(png(entries, palette=[1, 2, 3, 250, 251, 252]))).convert("RGB"))
    np.testing.assert_array_equal(shown, np.array([[1, 2, 3], [250, 251, 252]])[entries])


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ((None, None), ("00FFFF", "FF00FF")),
        (("FFFFFF", "ffffff"), ("00FFFF", "FF00FF")),
        (("ff0000", None), ("FF0000", "FFFFFF")),
        (("FF000080", "teal"), ("FF0000", "FFFFFF")),
        (('00FF00")\nvoid main() {', "0000FF"), ("FFFFFF", "0000FF")),
    ],
)
def test_colours_are_those_that_channels_name_and_nothing_else(
    named: tuple[str | None, ...], expected: tuple[str, ...]
) -> None:
    axes = (Axis("c", "channel"), Axis("y", "space"), Axis("x", "space"))
    channels = tuple(Channel(color=colour) for colour in named)
    image = ArrayImage.of(np.zeros((2, 4, 5), np.uint16), axes=axes, channels=channels)
    assert colours_of(image) == expected
    assert [tuple(rgb(colour)) for colour in ("FF0000", "0000FF")] == [(1, 0, 0), (0, 0, 1)]


def test_a_photograph_stays_one_when_programs_call_its_channels_white() -> None:
    axes = (Axis("c", "channel"), Axis("y", "space"), Axis("x", "space"))
    pixels = np.random.default_rng(2).integers(0, 256, (3, 12, 10), dtype=np.uint8)
    white = ArrayImage.of(pixels, axes=axes, channels=(Channel(color="FFFFFF"),) * 3)
    np.testing.assert_array_equal(picture(white._repr_html_()), np.moveaxis(pixels, 0, 2))


def test_nothing_is_computed_for_a_picture_and_what_cannot_be_read_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(block: Any) -> Any:
        raise AssertionError(block)

    axes = (Axis("y", "space"), Axis("x", "space"))
    lazy = ArrayImage.of(da.zeros((20, 30), dtype="uint8").map_blocks(never, dtype="uint8"), axes=axes)
    assert "<img" not in lazy._repr_html_()
    assert "<img" in ArrayImage.of(np.zeros((20, 30)), axes=axes)._repr_html_()
    image = write(tmp_path / "in.zarr", speckle(40, 50), "yx")

    def broken(*_: Any, **__: Any) -> Any:
        raise StorageError("A chunk is damaged.", remedy="Copy it again.")

    monkeypatch.setattr(Image, "read", broken)
    assert thumbnail(image) is None
    assert "<table" in image._repr_html_()


def test_hostile_names_are_texts(tmp_path: Path, page: Page) -> None:
    channels = (Channel(label=HOSTILE), Channel(label="b"))
    image = write(tmp_path / "in.zarr", speckle(2, 40, 50), "cyx", name=HOSTILE, channels=channels)
    for html in (
        image._repr_html_(),
        Sheet(title=HOSTILE, sections=[Section(title=HOSTILE, rows=[(HOSTILE,) * 2])]).html(),
    ):
        assert "script" not in well_formed(html)
        page.set_content(f"<title>safe</title>{html}")
        assert page.title() == "safe"
        assert HOSTILE in page.inner_text("body")


def test_addresses_are_shown_without_secrets() -> None:
    image = ArrayImage.of(np.zeros((2, 2)), axes=(Axis("y", "space"), Axis("x", "space")))
    signed = Image(
        **{f: getattr(image, f) for f in ("version", "name", "axes", "levels")}, url="https://h/x?sig=abcdefgh"
    )
    for text in (repr(signed), str(signed)):
        assert "abcdefgh" not in text


def test_plates_plans_and_results_say_what_they_are(tmp_path: Path, page: Page) -> None:
    plate = write_plate(tmp_path / "plate.zarr")
    assert repr(plate).startswith("Plate(small: 3 wells, 5 fields; ")
    image = write(tmp_path / "in.zarr", speckle(40, 50), "yx")
    options: dict[str, Any] = {"model": "cubic", "scale": 2, "cell": 16, "scheduler": "serial"}
    planned = plan(image, **options)
    of_command = call("plan", image.url, "--model", "cubic", "--scale", "2", "--cell", "16", "--scheduler", "serial")
    assert [" ".join(line.split()) for line in str(planned).splitlines()[1:]] == [
        " ".join(line.split()) for line in of_command.stdout.splitlines()
    ]
    result = scalesr.run(image, tmp_path / "out.zarr", metrics=("consistency",), **options)
    of_plate = scalesr.run(plate, tmp_path / "out-plate.zarr", **options)
    assert "12 of 12 blocks" in repr(result)
    assert "5 done" in repr(of_plate)
    for shown, words in (
        (image, "y 40, x 50"),
        (plate, "fields of each well"),
        (planned, "What memory it needs"),
        (plan(plate, **options), "each field, such as A/1/0"),
        (result, "Figures of"),
        (of_plate, "Run of the plate small"),
    ):
        html = shown._repr_html_()
        well_formed(html)
        page.set_content(html)
        assert words in page.inner_text("body")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert page.evaluate("document.images.length") == 0
