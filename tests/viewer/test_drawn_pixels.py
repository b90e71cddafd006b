"""Neuroglancer in a real browser: pixels are drawn, in both panels, where they belong."""

from __future__ import annotations

import io
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from served_images import SIDE, SQUARE, put_image, scene

from scalesr.images import Channel
from scalesr.viewer import view

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from playwright.sync_api import Page

    from scalesr.images import Image
    from scalesr.viewer import Viewing

Panel = tuple[float, float, float, float]
PATIENCE = 60.0
"""Seconds for everything to be drawn, on a machine that is shared."""
BAR = 90
"""Pixels at the bottom of a panel, where its scale bar is, and at its top, where the names of axes are."""


@contextmanager
def seen(page: Page, image: Image, *beside: Image) -> Iterator[Viewing]:
    """Serve images, and leave the page before the server goes, of which it would complain."""
    with view(image, beside=beside) as viewing:
        yield viewing
        page.goto("about:blank")


def look(page: Page) -> NDArray[np.uint8]:
    """Return what the page looks like, as rows, columns and colours."""
    image: Any = pytest.importorskip("PIL.Image")
    return np.asarray(image.open(io.BytesIO(page.screenshot())).convert("RGB"))


def panels(page: Page) -> list[Panel]:
    """Return left, top, width and height of the panels."""
    boxes = [one.bounding_box() for one in page.locator(".neuroglancer-rendered-data-panel").all()]
    return [(box["x"], box["y"], box["width"], box["height"]) for box in boxes if box is not None]


def inner(picture: NDArray[np.uint8], panel: Panel) -> NDArray[np.uint8]:
    """Return what a panel shows, without what lies over it at its top and bottom."""
    left, top, width, height = (round(one) for one in panel)
    return picture[top + BAR : top + height - BAR, left + 2 : left + width - 2]


def drawn(page: Page, viewing: Viewing, *, count: int, greys: int = 40) -> tuple[NDArray[np.uint8], list[Panel]]:
    """Open the viewer and wait until each of its panels has many greys and nothing changes any more."""
    page.goto(viewing.url)
    page.wait_for_selector(".neuroglancer-rendered-data-panel", timeout=1000 * PATIENCE)
    began, former = monotonic(), look(page)
    while monotonic() - began < PATIENCE:
        page.wait_for_timeout(500)
        picture, found = look(page), panels(page)
        levels = [len(np.unique(inner(picture, panel)[..., 1])) for panel in found]
        if len(found) == count and min(levels) >= greys and np.array_equal(former, picture):
            return picture, found
        former = picture
    raise AssertionError(f"{count} panels were not drawn: greys {levels}")


def bright_box(picture: NDArray[np.uint8], panel: Panel) -> tuple[float, float, float, float]:
    """Return first and last bright pixel of a panel along y and x, from its middle."""
    shown = inner(picture, panel)
    y, x = np.nonzero((shown >= 250).all(axis=-1))
    middle_y, middle_x = panel[3] / 2 - BAR, panel[2] / 2 - 2
    return y.min() - middle_y, y.max() + 1 - middle_y, x.min() - middle_x, x.max() + 1 - middle_x


def expected_box(viewing: Viewing) -> tuple[float, ...]:
    """Return where the square of `scene` must be on the screen, from the middle of a panel."""
    state = viewing._server.state
    step = state["dimensions"]["x"][0] * 1e6
    middle = {name: place * step for name, place in zip(state["dimensions"], state["position"], strict=True)}
    zoom = 1 / (step * state["crossSectionScale"])
    y0, y1, x0, x1 = SQUARE
    return tuple(zoom * (edge - middle[axis]) for edge, axis in ((y0, "y"), (y1, "y"), (x0, "x"), (x1, "x")))


def test_output_and_input_are_drawn_side_by_side(page: Page, tmp_path: Path) -> None:
    """Sharded OME-Zarr 0.5, a finer image beside a coarser one: the square is at the same place of the sample."""
    fine = put_image(tmp_path / "cells-x4.ome.zarr", scene(512), step=SIDE / 512, chunk=64)
    coarse = put_image(tmp_path / "cells.ome.zarr", scene(128), step=SIDE / 128, chunk=64)
    with seen(page, fine, coarse) as viewing:
        picture, found = drawn(page, viewing, count=2)
        wanted = expected_box(viewing)
        for panel in found:
            assert bright_box(picture, panel) == pytest.approx(wanted, abs=2)
        # One moves, both move.
        width = found[0][2]
        page.mouse.move(found[0][0] + width / 2, found[0][1] + found[0][3] / 2)
        page.keyboard.down("Control")
        page.mouse.wheel(0, 300)
        page.keyboard.up("Control")
        page.wait_for_timeout(1500)
        again = look(page)
        boxes = [bright_box(again, panel) for panel in found]
        assert boxes[0] == pytest.approx(boxes[1], abs=2)
        assert abs(boxes[0][1] - boxes[0][0]) != pytest.approx(wanted[1] - wanted[0], abs=5)


@pytest.mark.slow
def test_channels_add_up_in_their_colours(page: Page, tmp_path: Path) -> None:
    pixels = np.stack([scene(128), scene(128)[::-1]])
    names = (Channel("a", color="FF0000"), Channel("b", color="00FF00"))
    with seen(page, put_image(tmp_path / "two.ome.zarr", pixels, "cyx", channels=names)) as viewing:
        picture, (panel,) = drawn(page, viewing, count=1)
        shown = inner(picture, panel).reshape(-1, 3)
        assert not shown[:, 2].any()
        assert (shown[:, 0] >= 250).any()
        assert (shown[:, 1] >= 250).any()
        # The two squares do not overlap.
        assert not ((shown[:, 0] >= 250) & (shown[:, 1] >= 250)).any()


@pytest.mark.slow
def test_the_band_of_a_spectrum_changes_in_both_panels(page: Page, tmp_path: Path) -> None:
    cube = np.stack([scene(64) // (1 + abs(band - 4)) for band in range(9)])
    image = put_image(tmp_path / "cube.ome.zarr", cube, "cyx")
    with seen(page, image, image) as viewing:
        picture, found = drawn(page, viewing, count=2)
        before = [inner(picture, panel).mean() for panel in found]
        assert before[0] == pytest.approx(before[1], rel=0.02)
        page.evaluate("() => { const p = viewer.position; const v = p.value.slice(); v[2] = 0; p.value = v; }")
        page.wait_for_timeout(2000)
        after = [inner(look(page), panel).mean() for panel in panels(page)]
        assert after[0] == pytest.approx(after[1], rel=0.02)
        assert after[0] < before[0] / 2


@pytest.mark.slow
def test_volumes_are_drawn_from_four_sides(page: Page, tmp_path: Path) -> None:
    volume = np.stack([scene(64) * (1 + plane % 3) // 3 for plane in range(12)])
    with seen(page, put_image(tmp_path / "stack.ome.zarr", volume, "zyx", chunk=16)) as viewing:
        drawn(page, viewing, count=4, greys=15)


@pytest.mark.slow
def test_the_viewer_is_drawn_within_a_notebook(page: Page, tmp_path: Path) -> None:
    with seen(page, put_image(tmp_path / "cells.ome.zarr", scene(128))) as viewing:
        page.set_content(f"<body>{viewing._repr_html_()}</body>")
        page.frame_locator("iframe").locator(".neuroglancer-rendered-data-panel").wait_for(timeout=1000 * PATIENCE)
        began = monotonic()
        while len(np.unique(look(page)[150:500, 300:900, 1])) < 40:
            assert monotonic() - began < PATIENCE
            page.wait_for_timeout(500)


@pytest.mark.slow
def test_viewers_elsewhere_find_the_same_state(page: Page, tmp_path: Path) -> None:
    """As by the link for the neuroglancer on the web: a page of another origin is given the address of the state."""
    image = put_image(tmp_path / "cells.ome.zarr", scene(128))
    with view(image) as elsewhere, seen(page, image) as viewing:
        state = viewing.links["neuroglancer-demo"].partition("#!")[2]
        page.goto(f"{elsewhere.url}v/neuroglancer/#!{state}")
        began = monotonic()
        while not panels(page) or len(np.unique(inner(look(page), panels(page)[0])[..., 1])) < 40:
            assert monotonic() - began < PATIENCE
            page.wait_for_timeout(500)
        page.goto("about:blank")
