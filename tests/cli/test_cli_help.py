"""Help that a biologist can follow, and that comes at once."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from commands import call, program

import scalesr
from scalesr.cli import app

COMMANDS = (
    "run",
    "plan",
    "schema",
    "info",
    "import",
    "measure",
    "report",
    "view",
    "status",
    "verify",
    "repair",
    "publish",
    "models",
    "demo",
    "train",
    "objects",
)
BELOW = (
    *(("train", name) for name in ("hyres", "msdsr", "msdsr-slices", "msdsr-fast")),
    *(("train", name) for name in ("rls-generator", "rls-flow", "rls-unet")),
    *(("objects", name) for name in ("label", "measure", "crops", "paste", "wells", "compare")),
)
"""Commands of commands."""
PACKAGE = Path(scalesr.__file__).parent


def flags() -> set[str]:
    """Return every flag of every command, as the help shows them."""
    names = ((), *((command,) for command in COMMANDS), *BELOW)
    pages = [call(*name, "--help").stdout for name in names]
    return {flag for page in pages for flag in re.findall(r"--[a-z][a-z-]+", page)}


def test_the_first_page_shows_every_command() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f" {command} " in result.stdout
    assert "scalesr run stack.ome.zarr finer.ome.zarr" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command: str) -> None:
    result = call(command, "-h")
    assert result.exit_code == 0
    assert "<" not in re.sub(r"<[a-zA-Z0-9|/.-]+(?: range)?>|\[\d+<=x<=\d+\]", "", result.stdout)
    for info in app.registered_commands:
        if info.name == command:
            assert info.callback is not None
            assert info.callback.__doc__


def test_options_are_grouped_and_defaults_are_words() -> None:
    text = call("run", "--help").stdout
    for words in ("Tiles (in pixels of the input)", "Speed and memory", "as far as the model sees", "Exit codes"):
        assert words in text


@pytest.mark.parametrize(
    "command", ["run", "plan", "info", "import", "measure", "status", "verify", "repair", "train", "objects"]
)
def test_a_command_without_arguments_shows_its_help(command: str) -> None:
    assert "Usage" in call(command).output


def test_version() -> None:
    result = call("--version")
    assert (result.exit_code, result.stdout) == (0, f"scalesr {scalesr.__version__}\n")


def test_help_loads_neither_torch_nor_zarr() -> None:
    code = (
        "import sys\nfrom scalesr.cli import app\n"
        "try:\n    app(['run', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'zarr', 'dask', 'distributed', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    subprocess.run([program()[0], "-c", code], check=True, capture_output=True)


def test_remedies_name_options_that_exist() -> None:
    """What an error tells the user to type can be typed."""
    elsewhere = {"--help", "--no-deps", "--resources", "--plugin"}  # of pip, of dask's workers, and of napari
    known = flags() | elsewhere
    wrong = [
        f"{path.relative_to(PACKAGE)}: {flag}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for flag in re.findall(r"(?<!var\()(?<![\w`-])--[a-z][a-z-]+", path.read_text(encoding="utf-8"))
        if flag not in known
    ]
    assert not wrong, wrong
