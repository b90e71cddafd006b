"""Every code block of the pages runs, or says why it cannot; what cannot run is checked as far as it can be."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest
from commands import call
from docs.fenced import NAMES, PAGES, PROGRAM, ROOT, SHELL, Block, blocks_of, check, commands_of, words_of

NEEDS: dict[str, tuple[str, ...]] = {"docs/tutorials/isotropic-volume.md": ("diffusers",)}
"""Packages of extras that a page works with."""


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks_of(page) if block.language in {PROGRAM, *SHELL} and not block.no_run]


RUN = [pytest.param(page, id=name) for page, name in zip(PAGES, NAMES, strict=True) if runnable(page)]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_blocks_are_right_as_far_as_can_be_told_without_running_them(page: Path) -> None:
    for block in blocks_of(page):
        check(block)


@pytest.mark.parametrize("page", RUN)
def test_blocks_run_from_the_top_of_their_page(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in NEEDS.get(page.relative_to(ROOT).as_posix(), ()):
        pytest.importorskip(package)
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 after the choice of the backend

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    space: dict[str, Any] = {"__name__": "__main__"}
    try:
        for block in runnable(page):
            if block.title:
                (tmp_path / block.title).write_text(block.text, encoding="utf-8")
                importlib.invalidate_caches()
            elif block.language == PROGRAM:
                exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), space)
            else:
                type_in(block, monkeypatch)
    finally:
        plt.close("all")
        for name in set(sys.modules) - before:
            if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def type_in(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the commands of a block in this process: each start of another one would load torch again."""
    for line in commands_of(block):
        variables, words = words_of(line)
        assert words[0] == "scalesr", f"{block.place}: {line}: only scalesr can be run; say why not: no-run=..."
        with monkeypatch.context() as within:
            for name, value in variables.items():
                within.setenv(name, value)
            result = call(*words[1:])
        assert result.exit_code == 0, f"{block.place}: {line}\n{result.output}"


def test_the_installed_command_is_what_the_pages_call() -> None:
    program = Path(sys.executable).with_name("scalesr")
    if not program.exists():
        pytest.skip("scalesr is not installed in this environment")
    answer = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
    assert answer.stdout == call("--version").stdout
