"""The curve of a training: lines that survive being cut short, and a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from scalesr.learning import curves

if TYPE_CHECKING:
    from pathlib import Path


def line(step: int, **scores: float) -> dict[str, Any]:
    """Return a line with some scores."""
    return {"step": step, "losses": {"pixel": 1 / step, "late": 0.0}, "scores": scores, "reference": {"psnr": 20.0}}


def test_lines_are_read_as_written_and_cut_back(tmp_path: Path) -> None:
    assert curves.read(tmp_path) == []
    lines = [line(step, psnr=20.0 + step) for step in (1, 2, 3)]
    for each in lines:
        curves.append(tmp_path, each)
    with (tmp_path / curves.CURVE).open("a") as file:
        file.write('{"step": 4, "los')
    assert curves.read(tmp_path) == lines
    assert curves.cut_back(tmp_path, step=2) == lines[:2]
    assert curves.read(tmp_path) == lines[:2]


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("names", [(), ("loss",), ("loss", "psnr"), ("psnr", "ssim", "frc"), tuple("abcd")])
def test_any_number_of_scores_is_drawn(tmp_path: Path, names: tuple[str, ...]) -> None:
    lines = [line(step, **dict.fromkeys(names, 1.0 * step)) for step in (1, 2)]
    picture = curves.draw(tmp_path, lines)
    assert picture == tmp_path / curves.PICTURE
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_nothing_is_drawn_without_lines_or_matplotlib(tmp_path: Path) -> None:
    assert curves.draw(tmp_path, [line(1, psnr=1.0)]) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("pictures")
def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    assert curves.draw(tmp_path, []) is None
