"""A report in a real browser: offline, by keyboard, in the dark, on a telephone, on paper, and without a script."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commands import speckle, write_image

from scalesr.phantoms import cells
from scalesr.report import run, write_report

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from playwright.sync_api import Locator, Page

FAST: dict[str, Any] = {"model": "cubic", "scheduler": "serial", "report": "html"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of an image of cells, 256 x 256 px, against itself made by another interpolation."""
    folder = tmp_path_factory.mktemp("browser")
    phantom = cells((64, 64), seed=3, pitch=16, stain="nuclei")
    pixels = (20000 * phantom.region([slice(0, 64)] * 2)).astype(np.uint16)
    write_image(folder / "in.zarr", pixels)
    run(folder / "in.zarr", folder / "truth.zarr", **FAST | {"model": "linear", "scale": 4, "report": "none"})
    run(
        folder / "in.zarr",
        folder / "out.zarr",
        **FAST | {"scale": 4, "cell": 16, "halo": 2, "reference": str(folder / "truth.zarr")},
    )
    return folder / "out.zarr" / "scalesr" / "report.html"


def opened(page: Page, report: Path, *, scheme: str = "light", width: int = 1280) -> Page:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.context.set_offline(True)
    page.goto(f"file://{report}")
    return page


def pixels_of(found: Locator) -> NDArray[np.uint8]:
    """Return what is drawn once it changes no more: on a busy machine pictures and fonts may still be on their way."""
    image = pytest.importorskip("PIL.Image")
    found.page.evaluate("Promise.all([document.fonts.ready, ...[...document.images].map(one => one.decode())])")
    before, drawn = b"", found.screenshot()
    for _ in range(50):
        if drawn == before:
            return np.asarray(image.open(io.BytesIO(drawn)).convert("RGB"))
        before, drawn = drawn, found.screenshot()
    raise AssertionError("The page does not come to rest.")


def test_the_slider_is_moved_by_the_keyboard(page: Page, report: Path) -> None:
    opened(page, report)
    stage = page.locator(".stage").first
    slider = stage.locator("input[type=range]")
    stage.scroll_into_view_if_needed()
    slider.focus()
    middle = pixels_of(stage)
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    assert slider.input_value() == "80"
    assert "80 % Input" in (slider.get_attribute("aria-valuetext") or "")
    moved = pixels_of(stage)
    rows, columns = middle.shape[:2]
    # Left of where it was and right of where it is now nothing changed; the output between gave way to the input.
    far = slice(int(0.1 * columns), int(0.4 * columns)), slice(int(0.88 * columns), int(0.95 * columns))
    between = slice(int(0.56 * columns), int(0.74 * columns))
    band = slice(int(0.2 * rows), int(0.4 * rows))
    assert all(np.array_equal(middle[band, part], moved[band, part]) for part in far)
    assert not np.array_equal(middle[band, between], moved[band, between])
    page.keyboard.press("Home")
    assert slider.input_value() == "0"
    page.keyboard.press("End")
    assert slider.input_value() == "100"
    names = page.locator(".slider").first.locator(".choices label").all_inner_texts()
    assert [name.strip() for name in names] == ["Input", "Cubic", "Linear", "Reference"]
    covered = pixels_of(stage)
    page.locator(".slider").first.get_by_text("Linear").click()
    assert stage.locator(".left").inner_text() == "Linear"
    assert not np.array_equal(covered, pixels_of(stage))


def test_it_is_whole_in_the_dark_on_a_telephone_and_on_paper(page: Page, report: Path) -> None:
    opened(page, report, scheme="dark")
    sizes = page.evaluate("[...document.images].map(image => [image.complete, image.naturalWidth, image.alt])")
    assert len(sizes) > 8
    assert all(complete and width and alt for complete, width, alt in sizes)
    assert "seam score" in page.locator("svg.plot text").all_text_contents()
    ground, ink = page.evaluate("(s => [s.backgroundColor, s.color])(getComputedStyle(document.body))")
    assert (ground, ink) == ("rgb(18, 24, 28)", "rgb(231, 237, 240)")
    words = page.locator("svg.plot text").first.evaluate("text => getComputedStyle(text).fill")
    assert words in ("rgb(231, 237, 240)", "rgb(169, 183, 192)")
    for width in (390, 768):
        opened(page, report, width=width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        box = page.locator(".stage").first.bounding_box()
        assert box is not None
        assert box["width"] > 0.8 * min(width, 640)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert not page.locator(".slider").first.is_visible()
    assert page.pdf()[:5] == b"%PDF-"


def test_nothing_is_asked_for_and_nothing_foreign_runs(page: Page, report: Path, tmp_path: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    opened(page, report)
    assert asked[0] == f"file://{report}"
    assert [url for url in asked[1:] if not url.startswith("data:")] == []
    browser = page.context.browser
    assert browser is not None
    # What got into the page as a script in spite of all that would be refused by its policy.
    spoiled = tmp_path / "spoiled.html"
    spoiled.write_text(report.read_text().replace("<main", "<script>document.title = 'owned'</script><main", 1))
    refused: list[str] = []
    other = browser.new_context().new_page()
    other.on("console", lambda message: refused.append(message.text))
    other.goto(f"file://{spoiled}")
    assert other.title() != "owned"
    assert "Content Security Policy" in " ".join(refused)
    # Without any script, pictures stand side by side.
    plain = browser.new_context(java_script_enabled=False).new_page()
    plain.goto(f"file://{report}")
    assert not plain.locator(".slider").first.is_visible()
    pictures = plain.locator("#strip-1 img")
    assert pictures.count() >= 4
    assert all(pictures.nth(number).is_visible() for number in range(pictures.count()))


def test_a_hostile_name_stays_a_name(page: Page, tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(32, 32))
    run(tmp_path / "in.zarr", tmp_path / "out.zarr", **FAST | {"report": "none", "scale": 2})
    (tmp_path / "out.zarr").rename(tmp_path / "moved.zarr")
    text = tmp_path / "moved.zarr" / "zarr.json"
    text.write_text(text.read_text().replace('"name": "out"', '"name": "<img src=x onerror=alert(1)>"'))
    place = write_report(tmp_path / "moved.zarr", to=tmp_path / "report.html")
    opened(page, tmp_path / "report.html")
    assert place == str(tmp_path / "report.html")
    assert page.title().startswith("<img src=x")
    assert page.locator("img[onerror]").count() == 0
