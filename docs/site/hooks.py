"""What the site has beside the pages of docs/: commands, packages, notebooks, model cards, and files of the root.

They are made from what they describe whenever the site is built, so that none of them can be out of date.
"""  # noqa: INP001 the site is no package

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands import commands_page
from metrics_page import metrics_page
from mkdocs.structure.files import File
from packages import PACKAGES, index_page, package_page

from notebooks import notebook_page, title_of

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
CARDS = ROOT / "scalesr" / "models" / "weights"
SOURCE = "https://github.com/scalesr/scalesr/blob/main/"
COPIED = {
    "contribute/house.md": ROOT / "CONTRIBUTING.md",
    "contribute/changelog.md": ROOT / "CHANGELOG.md",
    **{f"models/{card.name}": card for card in sorted(CARDS.glob("*.md"))},
}
"""Pages that are files of the repository, by where they go."""
NOTEBOOKS = {f"notebooks/{path.stem}.md": path for path in sorted((ROOT / "notebooks").glob("*.ipynb"))}
MARKER = re.compile(r'^([ ]*`{3,}\w+) no-run="[^"]*"', flags=re.MULTILINE)
# Links in the text, and no headings of the page itself.
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put notebooks and packages into the navigation."""
    nav: list[Any] = config.nav or []
    for entry in nav:
        if isinstance(entry, dict) and "Tutorials" in entry:
            entry["Tutorials"].append({"Notebooks": [{title_of(path): uri} for uri, path in NOTEBOOKS.items()]})
        if isinstance(entry, dict) and "Reference" in entry:
            entry["Reference"].append({"Python": [{name: f"reference/{name}.md"} for name in PACKAGES]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    made: dict[str, str | bytes] = {uri: path.read_text(encoding="utf-8") for uri, path in COPIED.items()}
    made |= {"reference/commands.md": commands_page(), "reference/metrics.md": metrics_page()}
    made |= {"reference/index.md": index_page()}
    made |= {f"reference/{name}.md": package_page(name) for name in PACKAGES}
    for uri, path in NOTEBOOKS.items():
        text, pictures = notebook_page(json.loads(path.read_text(encoding="utf-8")), name=path.stem)
        made[uri] = text
        made |= {f"notebooks/{name}": picture for name, picture in pictures.items()}
    for uri, content in made.items():
        files.append(File.generated(config, uri, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, **_: Any) -> str:
    """Take markers of code blocks away, and lead links to files of the repository where the site has them."""
    uri = page.file.src_uri
    origin = COPIED.get(uri) or NOTEBOOKS.get(uri) or Path(config.docs_dir) / uri
    homes = {path: home for home, path in (COPIED | NOTEBOOKS).items()}

    def led(found: re.Match[str]) -> str:
        path, anchor = found.group(1), found.group(2) or ""
        there = (origin.parent / path).resolve()
        if there in homes:
            return _relative(homes[there], uri) + anchor
        if there.is_relative_to(config.docs_dir) and origin.is_relative_to(config.docs_dir):
            return path + anchor
        if there.is_relative_to(config.docs_dir):
            return _relative(there.relative_to(config.docs_dir).as_posix(), uri) + anchor
        if there.exists() and there.is_relative_to(ROOT):
            return SOURCE + there.relative_to(ROOT).as_posix() + anchor
        return path + anchor

    return LINK.sub(led, MARKER.sub(r"\1", markdown))


def on_page_content(html: str, **_: Any) -> str:
    """Write one colon where docstrings announce a block by two."""
    return re.sub(r'::(</p>\s*<div class="highlight)', r":\1", html)


def _relative(target: str, page: str) -> str:
    return "../" * page.count("/") + target
