"""The documentation as a site: builds without a warning, knows all public names, asks for nothing outside itself."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from docs.fenced import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

NAMES = (ROOT / "tests" / "public_names.txt").read_text(encoding="utf-8").split()
UNDOCUMENTED = ("scalesr.cli.",)
"""Public names that are no library: the page of the command line tells of them."""

KINDS = (
    "",
    "tutorials/first-picture/",
    "explanation/geometry/",
    "notebooks/quickstart/",
    "models/msdsr/",
    "reference/commands/",
    "reference/scalesr.engine/",
)
"""A page of each kind: what a browser asks for follows from the theme and the kind, and takes a while to see."""


class Quiet(SimpleHTTPRequestHandler):
    """A server that does not write of each request."""

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("mkdocs", "material", "mkdocstrings"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}: pip install 'scalesr[docs]'")
    folder = tmp_path_factory.mktemp("site")
    # A process of its own: plugins of mkdocs warn while they are imported, and warnings are errors here.
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert "WARNING" not in built.stderr
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.slow
def test_every_public_name_has_its_entry(site: Path) -> None:
    pages = [path.read_text(encoding="utf-8") for path in sorted((site / "reference").rglob("index.html"))]
    anchors = {anchor for page in pages for anchor in re.findall(r'id="([^"]+)"', page)}
    lacking = [name for name in NAMES if name not in anchors and not name.startswith(UNDOCUMENTED)]
    assert not lacking, lacking


@pytest.mark.slow
def test_nothing_outside_is_named_where_a_browser_would_fetch_it(site: Path) -> None:
    fetched = re.compile(
        r'<(?:script|img|iframe|source)[^>]*\bsrc="(https?:)?//|<link[^>]*rel="stylesheet"[^>]*"(?:https?:)?//'
    )
    for path in sorted(site.rglob("*.html")):
        assert not fetched.search(path.read_text(encoding="utf-8")), path
    for path in sorted(site.rglob("*.css")):
        assert not re.search(r"url\([\"']?(?:https?:)?//|@import[^;]*//", path.read_text(encoding="utf-8")), path


@pytest.mark.slow
def test_pages_ask_for_nothing_outside_the_site(address: str, page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for place in KINDS:
        answer = page.goto(address + place, wait_until="load")
        assert answer is not None
        assert answer.ok
    outside = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert not outside, outside


@pytest.mark.slow
def test_the_search_finds_an_option_and_figures_follow_the_colours(address: str, page: Page) -> None:
    page.goto(address)
    page.locator("input.md-search__input").click()
    page.locator("input.md-search__input").fill("calibrate")
    page.locator(".md-search-result__link").first.wait_for()
    assert page.locator(".md-search-result__link").count() > 0
    page.goto(f"{address}explanation/geometry/")
    label = page.locator("figure.drawn svg text").first
    colours = set()
    for scheme in ("default", "slate"):
        page.evaluate("name => document.body.setAttribute('data-md-color-scheme', name)", scheme)
        colours.add(label.evaluate("node => getComputedStyle(node).fill"))
    assert len(colours) == 2


def test_drawn_figures_are_those_of_the_lattice() -> None:
    spec = importlib.util.spec_from_file_location("geometry", ROOT / "docs" / "figures" / "geometry.py")
    assert spec is not None
    assert spec.loader is not None
    drawing: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drawing)
    for name, text in drawing.figures().items():
        assert (ROOT / "docs" / "images" / name).read_text(encoding="utf-8") == text, "python docs/figures/geometry.py"
