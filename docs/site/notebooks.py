"""Notebooks as pages, with the outputs that they keep."""  # noqa: INP001 the site is no package

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

ANSI = re.compile(r"\x1b\[[0-9;]*m")
SOURCE = "https://github.com/scalesr/scalesr/blob/main/notebooks/"


def title_of(path: Path) -> str:
    """Return the first heading of a notebook."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        found = re.search(r"^# (.+)$", "".join(cell["source"]), flags=re.MULTILINE)
        if cell["cell_type"] == "markdown" and found:
            return found.group(1)
    return path.stem


def notebook_page(notebook: dict[str, Any], *, name: str) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, and its pictures by the names that the page gives them."""
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for number, cell in enumerate(notebook["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            if number == 0:
                parts.append(f"[The notebook itself]({SOURCE}{name}.ipynb), which the tests run.")
            continue
        parts.append(f"```python\n{source}\n```")
        for position, output in enumerate(cell["outputs"]):
            data = output.get("data", {})
            if "image/png" in data:
                picture = f"{name}-{number}-{position}.png"
                pictures[picture] = base64.b64decode(data["image/png"])
                parts.append(f"![Output of the lines above]({picture})")
                continue
            text = "".join(output.get("text") or data.get("text/plain") or "")
            parts.append(f"```text\n{ANSI.sub('', text).rstrip()}\n```")
    return "\n\n".join(parts) + "\n", pictures
