"""A real Chromium without a window, for the tests of pages."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    # Root, as in containers, has no sandbox; nothing but our own pages is opened.
    "--no-sandbox",
    # WebGL without a graphics card.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@contextmanager
def browsing(*, width: int = 1280, height: int = 900) -> Iterator[Page]:
    """Open an empty page, and fail in the end if a script on it failed or told of an error.

    Skips the test where there is no browser. One browser for each test: a loop that Playwright keeps in a thread would
    be in the way of all others that want one there.
    """
    api = pytest.importorskip("playwright.sync_api", reason="needs Playwright: pip install playwright")
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("needs a browser: apt install chromium")
    wrong: list[str] = []
    with api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=list(FLAGS))
        page: Page = browser.new_page(viewport={"width": width, "height": height})
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        yield page
        browser.close()
    assert not wrong, wrong
