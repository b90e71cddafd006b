"""What commands that train tell: scores beside those of what must be beaten, and what to know before trusting them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from scalesr.cli.training import Titles, bar, document_taught, help_of, line, one_length, settle_device, show_taught
from scalesr.jobs.values import OptionError
from scalesr.learning import Progress, Taught

if TYPE_CHECKING:
    from _pytest.capture import CaptureFixture

TITLES = Titles(scores={"loss": ("loss", "{:.3f}"), "psnr": ("PSNR", "{:.1f} dB")}, reference="linear")


def taught(**changes: Any) -> Taught:
    """Return an outcome."""
    usual: dict[str, Any] = {
        "weights": Path("net/weights.safetensors"), "steps": 2000, "skipped": 0, "seconds": 90.0, "best_step": 1500,
        "scores": {"loss": 0.25, "psnr": 31.0}, "reference": {"psnr": 30.0}, "notes": {"patches": 9}, "picture": None,
    }  # fmt: skip
    return Taught(**{**usual, **changes})


def test_scores_stand_beside_those_of_what_must_be_beaten(capsys: CaptureFixture[str]) -> None:
    show_taught(taught(judged="held-out strips"), TITLES)
    told = capsys.readouterr()
    for words in ("1.5 min for 2,000 steps", "step 1,500", "0.250\n", "31.0 dB; linear 30.0 dB", "held-out strips"):
        assert words in told.out
    assert told.err == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scores": {"loss": 0.1, "psnr": 30.0}}, "does not beat linear"),
        ({"scores": {"loss": 0.4, "psnr": 99.0}, "reference": {"loss": 0.3}}, "does not beat linear"),
        ({"skipped": 1200}, "1,200 steps were left out"),
        ({"notes": {"filled": 3456}}, "3,456 missing pixels"),
        ({"judged": "training pixels"}, "too small"),
    ],
)
def test_what_to_know_is_said(capsys: CaptureFixture[str], changes: dict[str, Any], words: str) -> None:
    show_taught(taught(**changes), TITLES)
    assert words in capsys.readouterr().err


def test_the_document_is_json() -> None:
    found = document_taught(taught(picture=Path("net/curves.png")))
    assert json.loads(json.dumps(found)) == found
    assert (found["scores"]["psnr"], found["reference"], found["draws"]) == (31.0, {"psnr": 30.0}, {"patches": 9})


def test_the_bar_says_the_chief_score() -> None:
    begun = Progress(step=5, share=0.01, seconds=1.0, scores=None, reference={"loss": 0.5})
    later = Progress(step=1500, share=0.5, seconds=9.0, scores={"loss": 0.25, "psnr": 31.0}, reference={"loss": 0.5})
    assert line(begun, TITLES) == "step 5"
    assert line(later, TITLES) == "step 1,500; loss 0.250, linear 0.500"
    with bar(TITLES, shown=False) as watch:
        watch(begun)
        watch(later)


def test_two_lengths_are_refused() -> None:
    with pytest.raises(OptionError, match="--steps and --minutes"):
        one_length(steps=1, minutes=1.0)
    one_length(steps=None, minutes=None)


def test_a_device_is_taken_as_named() -> None:
    assert settle_device("cuda:1", None) == "cuda:1"
    assert settle_device("auto", None) in ("cpu", "cuda")


def test_paragraphs_of_a_help_text_become_lines() -> None:
    def command() -> None:
        """First, which is
        long.

        Second, which is
        long too.
        """

    assert help_of(command) == "First, which is long.\n\nSecond, which is long too."
