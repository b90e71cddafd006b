"""The direction of the design: imports point down, and each room keeps to the libraries that are its business.

Read from the source, so that imports inside functions and those for the type checker count as well.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "scalesr"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("cli",),
    ("demo", "log", "progress"),
    ("scalesr",),
    ("accessor", "jobs", "napari", "viewer"),
    ("report",),
    ("analysis",),
    ("hyres", "msdsr", "rls"),
    ("engine",),
    ("metrics",),
    ("learning",),
    ("models",),
    ("tiling",),
    ("images",),
    ("phantoms",),
    ("errors",),
    ("secrecy",),
)
"""From what a person touches down to what everybody may use; ``scalesr`` is the package's own `__init__`."""

NOT_THROUGH: dict[str, frozenset[str]] = {
    # The methods are models: what runs them is none of their business.
    "hyres": frozenset({"engine"}),
    "msdsr": frozenset({"engine"}),
    "rls": frozenset({"engine"}),
}
"""Lower rooms that a room does not know all the same."""

FOREIGN: dict[str, frozenset[str]] = {
    "images": frozenset({"dask", "distributed", "torch"}),
    "phantoms": frozenset({"dask", "distributed", "torch", "zarr"}),
    "models": frozenset({"dask", "distributed", "zarr"}),
    "metrics": frozenset({"dask", "distributed", "zarr"}),
    "learning": frozenset({"dask", "distributed", "zarr"}),
    "hyres": frozenset({"dask", "distributed"}),
    "msdsr": frozenset({"dask", "distributed"}),
    "rls": frozenset({"dask", "distributed"}),
}
"""Libraries that a room leaves to others."""

STDLIB_ONLY = frozenset({"errors", "secrecy", "tiling"})
"""Rooms that need nothing but Python itself."""


@dataclass(frozen=True)
class Import:
    """One imported name, and where it is asked for."""

    where: str
    """File and line."""
    room: str
    """Room of the file."""
    target: str
    """Full name of the module that is imported."""
    name: str | None
    """Name that is taken out of the module; None where the module itself is imported."""

    @property
    def top(self) -> str:
        """Name of the package that the target belongs to."""
        return self.target.partition(".")[0]


def room_of(module: str) -> str:
    """Return the room of a module of this package."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "scalesr"


def is_module(name: str) -> bool:
    """Say whether a dotted name of this package is a module and not something inside one."""
    path = PACKAGE.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


@cache
def imports() -> tuple[Import, ...]:
    """Return all imports of all modules of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        room = room_of(".".join(part for part in parts if part != "__init__"))
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.relative_to(PACKAGE.parent)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                found += [Import(where, room, alias.name, None) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                above = parts[: -node.level] if node.level else ()
                source = ".".join((*above, *filter(None, [node.module])))
                for alias in node.names:
                    inner = f"{source}.{alias.name}"
                    if source == "scalesr" and is_module(inner):
                        found.append(Import(where, room, inner, None))
                    else:
                        found.append(Import(where, room, source, alias.name))
    return tuple(found)


def within() -> list[Import]:
    """Return the imports of one module of this package by another."""
    return [item for item in imports() if item.top == "scalesr"]


def layer_of(room: str) -> int:
    """Return how far down a room lies, from 0."""
    return next(depth for depth, rooms in enumerate(LAYERS) if room in rooms)


def test_every_room_has_its_place() -> None:
    known = {room for rooms in LAYERS for room in rooms}
    there = {
        path.stem
        for path in PACKAGE.iterdir()
        if path.stem.isidentifier() and not path.stem.startswith("__") and (path.is_dir() or path.suffix == ".py")
    }
    assert there <= known, f"say in LAYERS where {sorted(there - known)} belong"
    assert len(imports()) > 100  # the package was found


def test_imports_point_down() -> None:
    wrong = [
        f"{item.where}: {item.room} imports {item.target}"
        for item in within()
        if room_of(item.target) != item.room and layer_of(room_of(item.target)) <= layer_of(item.room)
    ]
    assert not wrong, "\n".join(wrong)


def test_methods_do_not_know_what_runs_them() -> None:
    wrong = [
        f"{item.where}: {item.room} imports {item.target}"
        for item in within()
        if room_of(item.target) in NOT_THROUGH.get(item.room, ())
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_imports_the_command_line() -> None:
    assert not [item.where for item in within() if room_of(item.target) == "cli" and item.room != "cli"]


def test_rooms_leave_foreign_libraries_alone() -> None:
    wrong = [
        f"{item.where}: {item.room} imports {item.target}"
        for item in imports()
        if item.top in FOREIGN.get(item.room, ())
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", sorted(STDLIB_ONLY))
def test_the_ground_floor_needs_python_only(room: str) -> None:
    wrong = [
        f"{item.where}: {item.target}"
        for item in imports()
        if item.room == room and item.top != "scalesr" and item.top not in sys.stdlib_module_names
    ]
    assert not wrong, "\n".join(wrong)


def test_the_engine_knows_models_by_their_public_names_only() -> None:
    tree = ast.parse((PACKAGE / "models" / "__init__.py").read_text())
    public = {
        constant.value
        for node in tree.body
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
        for constant in ast.walk(node.value)
        if isinstance(constant, ast.Constant)
    }
    wrong = [
        f"{item.where}: {item.target}{f'.{item.name}' if item.name else ''}"
        for item in within()
        if item.room == "engine"
        and room_of(item.target) == "models"
        and (item.target != "scalesr.models" or item.name not in public)
    ]
    assert not wrong, "\n".join(wrong)
