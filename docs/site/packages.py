"""The pages of the packages: what each is for, and all its public names by their docstrings."""  # noqa: INP001

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "scalesr"
BELOW = ("analysis.objects", "engine.executors", "images.stores")
"""Packages within rooms that have names of their own to offer."""
APART = ("cli",)
"""Rooms that are no library: the page of the command line tells of them."""
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
PACKAGES = (
    "scalesr",
    *(f"scalesr.{name}" for name in sorted({*ROOMS, *BELOW, "errors"} - {*APART})),
)
"""Names of what has a page."""

INDEX = """# Reference

[The command line](commands.md), [the metrics](metrics.md), [what lies in an output](ledger.md), and the packages of
Python. Each entry is the docstring: what it is and guarantees, then shapes, units, errors, and the source of what it
computes.

| Package | |
|---|---|
"""


def index_page() -> str:
    """Return the page that lists the packages."""
    return INDEX + "".join(f"| [`{name}`]({name}.md) | {_about(name).splitlines()[0]} |\n" for name in PACKAGES)


def package_page(name: str) -> str:
    """Return the page of a package: its own docstring, and an entry for each of its public names."""
    module = importlib.import_module(name)
    parts = [f"# {name}\n", _about(name), ""]
    for public in _public(module):
        value, place = getattr(module, public), f"{name}.{public}"
        # Several names of texts share an assignment, which the reader of docstrings does not see through.
        text = f"## `{public}` {{ #{place} }}\n\n`{value!r}`" if isinstance(value, str) else f"::: {place}"
        parts.append(text + "\n")
    return "\n".join(parts)


def _about(name: str) -> str:
    return inspect.cleandoc(importlib.import_module(name).__doc__ or "")


def _public(module: object) -> list[str]:
    names = getattr(module, "__all__", None)
    if names is not None:
        return list(names)
    return [
        name
        for name, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == getattr(module, "__name__", "") and not name.startswith("_")
    ]
