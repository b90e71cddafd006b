"""The public names, frozen: adding or removing one is a decision, and shows in the diff of `public_names.txt`.

Run this file as a program to write the listing anew: ``.venv/bin/python tests/test_public_names.py``.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "scalesr"
LISTING = Path(__file__).with_name("public_names.txt")


def rooms() -> list[str]:
    """Return the package and each of its rooms."""
    return ["scalesr", *sorted(f"scalesr.{path.parent.name}" for path in PACKAGE.glob("*/__init__.py"))]


def public_names() -> list[str]:
    """Return ``room.name`` for every public name of every room, sorted."""
    return sorted(f"{room}.{name}" for room in rooms() for name in getattr(import_module(room), "__all__", ()))


def test_public_names_are_those_of_the_listing() -> None:
    expected, found = set(LISTING.read_text().split()), set(public_names())
    assert found == expected, (
        f"new: {sorted(found - expected)}, gone: {sorted(expected - found)}. If that is what you want, run "
        "`.venv/bin/python tests/test_public_names.py`, and say so in CHANGELOG.md."
    )


@pytest.mark.parametrize("room", rooms())
def test_public_names_exist(room: str) -> None:
    module = import_module(room)
    names = getattr(module, "__all__", ())
    assert len(set(names)) == len(names)
    assert not [name for name in names if not hasattr(module, name)]


if __name__ == "__main__":
    LISTING.write_text("".join(f"{name}\n" for name in public_names()))
