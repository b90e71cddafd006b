"""``scalesr view`` as a person calls it: what it prints, what it refuses, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from commands import call, only_json, program
from served_images import ask, put_image, scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The place of an image."""
    place = tmp_path_factory.mktemp("view") / "cells.ome.zarr"
    put_image(place, scene(64))
    return place


@contextmanager
def viewing(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run the command in a process of its own, which is interrupted in the end if it has not ended."""
    process = subprocess.Popen(
        [*program(), "view", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "300", "BROWSER": "true"},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def lines_of(process: subprocess.Popen[str], count: int) -> dict[str, str]:
    """Return the first lines that a command prints below its heading, by what they begin with."""
    assert process.stdout is not None
    heading = process.stdout.readline()
    assert heading.strip()
    return dict(line.strip().split("  ", 1) for line in (process.stdout.readline() for _ in range(count)))


@pytest.mark.parametrize("order", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_stopped(cells: Path, order: signal.Signals) -> None:
    with viewing(cells, "--no-browser") as process:
        found = {name: text.strip() for name, text in lines_of(process, 5).items()}
        assert set(found) == {"neuroglancer", "on the web", "vizarr", "napari", "image"}
        assert ask(f"{found['image']}/zarr.json").status == 200
        assert ask(found["neuroglancer"]).status == 302
        process.send_signal(order)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 0
        assert told.strip() == "Ctrl-C ends it."


def test_json_for_programs(cells: Path) -> None:
    with viewing(cells, "--beside", cells, "--json", "--links") as process:
        assert process.stdout is not None
        text = ""
        while "\n}" not in text:
            text += process.stdout.readline()
        document = json.loads(text)
        assert [one["name"] for one in document["images"]] == ["cells", "cells (2)"]
        assert "neuroglancer" not in document["links"]
        assert document["url"] == document["images"][0]["address"]
        assert ask(f"{document['url']}/0/c/0/0", Range="bytes=-8").status == 206


def test_what_cannot_be_shown(cells: Path) -> None:
    found = call("view", f"{cells}.gone")
    assert found.exit_code == 3
    assert "does not exist" in found.stderr
    found = call("view", cells, "--field", "B3", "--json")
    assert found.exit_code == 3
    assert "has no field B3" in only_json(found)["error"]
    found = call("view", cells, "--host", "nowhere.invalid")
    assert found.exit_code == 3
    assert "No server can listen at nowhere.invalid:0" in found.stderr
    assert call("view", cells, "--port", "70000").exit_code == 2


def test_without_neuroglancer(cells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalesr.viewer.client.find_spec", lambda _: None)
    found = call("view", cells)
    assert found.exit_code == 6
    assert "scalesr[view]" in found.stderr
    assert "--links" in found.stderr


def test_help() -> None:
    found = call("view", "--help")
    assert found.exit_code == 0
    for word in ("--beside", "--host", "--port", "--no-browser", "--links", "ssh -N -L", "Ctrl-C"):
        assert word in found.stdout
