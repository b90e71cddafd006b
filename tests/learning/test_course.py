"""The loop of a training: the same bits over interruptions, the best is kept, and a good end whatever happens."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lessons import Toy

from scalesr.errors import InterruptedRunError, LedgerError, ModelError, OutputError, PlanError
from scalesr.learning import CHECKPOINT, CURVE, SETTINGS, WEIGHTS, Length, Progress, Taught, curves, teach
from scalesr.learning.counters import read_checkpoint

TEN = Length(steps=10, validations=4)


def stopped_at(step: int, *, how: str = "raise") -> Any:
    """Return what is asked to stop after a step."""

    def watch(where: Progress) -> None:
        if where.step == step and how == "raise":
            raise KeyboardInterrupt
        if where.step == step:
            os.kill(os.getpid(), signal.SIGTERM if how == "term" else signal.SIGINT)

    return watch


def timeless(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a curve without what a clock had to do with."""
    return [{name: value for name, value in line.items() if name != "minutes"} for line in curves.read(folder)]


@settings(max_examples=12, deadline=None)
@given(stops=st.lists(st.integers(1, 9), max_size=3, unique=True).map(sorted), seed=st.integers(0, 9))
def test_a_training_comes_to_the_same_bits_wherever_it_is_interrupted(stops: list[int], seed: int) -> None:
    with TemporaryDirectory() as name:
        whole, parts = Path(name, "whole"), Path(name, "parts")
        first = teach(Toy(seed=seed), TEN, whole)
        for number, stop in enumerate(stops):
            with pytest.raises(InterruptedRunError, match=f"step {stop},.*--resume"):
                teach(Toy(seed=seed), TEN, parts, mode="resume" if number else "create", watch=stopped_at(stop))
        second = teach(Toy(seed=seed), TEN, parts, mode="resume" if stops else "create")
        assert (first.scores, first.best_step, first.notes) == (second.scores, second.best_step, second.notes)
        assert (whole / WEIGHTS).read_bytes() == (parts / WEIGHTS).read_bytes()
        assert timeless(whole) == timeless(parts)
        one, other = (read_checkpoint(folder / CHECKPOINT)["parts"] for folder in (whole, parts))
        for part in ("network", "average"):
            assert all(torch.equal(one[part][name], other[part][name]) for name in one[part])
        moments = [part["optimiser"]["state"] for part in (one, other)]
        assert all(torch.equal(moments[0][k]["exp_avg_sq"], moments[1][k]["exp_avg_sq"]) for k in moments[0])


def test_the_folder_holds_what_was_asked_for_and_what_was_come_to(tmp_path: Path) -> None:
    found = teach(Toy(), TEN, tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {WEIGHTS, CHECKPOINT, CURVE, SETTINGS}
    facts = json.loads((tmp_path / "run" / SETTINGS).read_text())
    assert facts["settings"] == {"seed": 0, "widths": [1, 2]}
    assert facts["length"] == TEN.to_json()
    assert set(facts["versions"]) == {"scalesr", "torch", "numpy"}
    lines = curves.read(tmp_path / "run")
    assert [line["step"] for line in lines] == [3, 5, 8, 10]
    assert all(line["reference"] == {"loss": 0.5} and set(line["losses"]) == {"square"} for line in lines)
    assert lines[-1]["notes"] == {"points": 50}
    assert found == Taught(
        weights=tmp_path / "run" / WEIGHTS,
        steps=10,
        skipped=0,
        seconds=found.seconds,
        best_step=json.loads(found.weights.read_text())["step"],
        scores=found.scores,
        reference={"loss": 0.5},
        notes={"points": 50},
        picture=None,
    )


def test_losses_of_a_line_are_means_since_the_one_before(tmp_path: Path) -> None:
    teach(Toy(), Length(steps=6, validations=2), tmp_path / "two")
    teach(Toy(), Length(steps=6, validations=6), tmp_path / "six")
    two, six = ([line["losses"]["square"] for line in curves.read(tmp_path / name)] for name in ("two", "six"))
    assert two == pytest.approx([sum(six[:3]) / 3, sum(six[3:]) / 3])


@pytest.mark.parametrize(
    ("chief", "scores", "best"),
    [
        ("psnr", [20.0, 22.0, 22.0, 21.0], 5),
        ("psnr", [-3.0, -4.0, -5.0, -6.0], 3),
        ("psnr", [float("nan"), 20.0, 19.0, float("nan")], 5),
        ("loss", [0.5, 0.2, 0.1, 0.4], 8),
        ("validation loss", [0.5, 0.6, 0.7, 0.4], 10),
    ],
)
def test_the_best_is_kept(tmp_path: Path, chief: str, scores: list[float], best: int) -> None:
    toy = Toy(chief=chief, scored=[{chief: score, "other": number} for number, score in enumerate(scores)])
    found = teach(toy, TEN, tmp_path / "run")
    kept = json.loads(found.weights.read_text())
    assert found.best_step == kept["step"] == best
    assert found.scores[chief] == kept[chief] == scores[[3, 5, 8, 10].index(best)]


def test_what_is_begun_with_is_validated_if_asked_for(tmp_path: Path) -> None:
    toy = Toy(chief="gain", scored=[{"gain": gain} for gain in (9.0, 8.0, 7.0)])
    found = teach(toy, Length(steps=2, validations=2), tmp_path / "run", first="validation")
    assert [line["step"] for line in curves.read(tmp_path / "run")] == [0, 1, 2]
    assert (found.best_step, found.scores) == (0, {"gain": 9.0})
    again = Toy(chief="gain", scored=[])
    assert teach(again, Length(steps=2, validations=2), tmp_path / "run", mode="resume", first="validation") == found


def test_a_finished_training_resumes_to_nothing(tmp_path: Path) -> None:
    first = teach(Toy(), TEN, tmp_path / "run")
    before = (tmp_path / "run" / CHECKPOINT).read_bytes()
    assert teach(Toy(), TEN, tmp_path / "run", mode="resume") == first
    assert (tmp_path / "run" / CHECKPOINT).read_bytes() == before


def test_another_training_is_not_resumed_and_it_says_what_differs(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no training to go on with"):
        teach(Toy(), TEN, tmp_path / "none", mode="resume")
    teach(Toy(), TEN, tmp_path / "run")
    with pytest.raises(LedgerError, match="another training: the images are others; seed is 7 and was 0"):
        teach(Toy(seed=7), TEN, tmp_path / "run", mode="resume")
    with pytest.raises(LedgerError, match="another training: steps is 20 and was 10; validations is 20 and was 4"):
        teach(Toy(), Length(steps=20), tmp_path / "run", mode="resume")
    with pytest.raises(OutputError, match=r"holds a training.*--resume"):
        teach(Toy(), TEN, tmp_path / "run")


@pytest.mark.parametrize("content", [b"PK\x03\x04 cut short", b"", b"text"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    teach(Toy(), TEN, tmp_path / "run")
    (tmp_path / "run" / CHECKPOINT).write_bytes(content)
    with pytest.raises(LedgerError, match=r"checkpoint\.pt is no checkpoint"):
        teach(Toy(), TEN, tmp_path / "run", mode="resume")


@pytest.mark.parametrize("content", [{"format": 1, "identity": {}}, [1, 2], {}])
def test_a_checkpoint_of_another_format_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / CHECKPOINT)
    with pytest.raises(LedgerError, match="not of format 2"):
        teach(Toy(), TEN, tmp_path, mode="resume")


def test_what_was_written_after_the_checkpoint_is_done_again(tmp_path: Path) -> None:
    teach(Toy(), TEN, tmp_path / "whole")
    with pytest.raises(InterruptedRunError):
        teach(Toy(), TEN, tmp_path / "run", watch=stopped_at(6))
    curves.append(tmp_path / "run", {"step": 8, "scores": {}})
    with (tmp_path / "run" / CURVE).open("a") as file:
        file.write('{"step": 10, "sco')  # the machine went down while writing
    teach(Toy(), TEN, tmp_path / "run", mode="resume")
    assert timeless(tmp_path / "run") == timeless(tmp_path / "whole")


@pytest.mark.parametrize("how", ["interrupt", "term"])
def test_ctrl_c_and_orders_to_end_wait_for_the_step_and_save(tmp_path: Path, how: str) -> None:
    former = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(InterruptedRunError, match=r"step [45], "):
        teach(Toy(), TEN, tmp_path / "run", watch=stopped_at(4, how=how))
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == former
    assert read_checkpoint(tmp_path / "run" / CHECKPOINT)["counters"]["step"] in (4, 5)


def test_ctrl_c_after_the_last_step_interrupts_nothing(tmp_path: Path) -> None:
    assert teach(Toy(), TEN, tmp_path / "run", watch=stopped_at(10)).steps == 10


def test_steps_that_are_not_finite_are_counted_and_too_many_in_a_row_end_it(tmp_path: Path) -> None:
    found = teach(Toy(spoilt=lambda step: step in (1, 4, 5)), TEN, tmp_path / "some")
    assert (found.steps, found.skipped) == (10, 3)
    assert found.scores["loss"] < 5
    forty = Length(steps=40)
    assert teach(Toy(spoilt=lambda step: step % 20 != 0), forty, tmp_path / "nearly").skipped == 38
    with pytest.raises(ModelError, match=r"diverged.*steps 10 to 30"):
        teach(Toy(spoilt=lambda step: step >= 10), forty, tmp_path / "all")


def test_minutes_are_a_share_of_the_time_over_interruptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr("scalesr.learning.course.monotonic", lambda: next(clock) * 0.5)  # half a second a step
    minute = Length(minutes=0.25, validations=3)  # 15 s, some of them for validation
    seen: list[Progress] = []

    def watch(where: Progress) -> None:
        seen.append(where)
        stopped_at(9)(where)

    with pytest.raises(InterruptedRunError, match="step 9, 30 %"):
        teach(Toy(), minute, tmp_path / "run", watch=watch)
    found = teach(Toy(), minute, tmp_path / "run", mode="resume", watch=seen.append)
    assert found.seconds == pytest.approx(15.5)  # the last validation comes when time is up
    assert (found.steps, len(curves.read(tmp_path / "run"))) == (28, 3)
    assert [where.step for where in seen] == list(range(1, 29))
    assert seen[0].share == pytest.approx(1 / 30)
    assert seen[0].scores is None
    assert all(seen[number].share <= seen[number + 1].share for number in range(27))
    assert seen[-1].share == 1


def test_a_step_that_is_longer_than_validations_are_apart_is_validated_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10**6))
    monkeypatch.setattr("scalesr.learning.course.monotonic", lambda: next(clock) * 60)
    teach(Toy(), Length(minutes=5, validations=20), tmp_path / "run")
    assert [line["step"] for line in curves.read(tmp_path / "run")] == [1, 2, 3]


def test_progress_knows_the_scores_after_an_interruption(tmp_path: Path) -> None:
    seen: list[Progress] = []
    with pytest.raises(InterruptedRunError):
        teach(Toy(), TEN, tmp_path / "run", watch=stopped_at(3))
    teach(Toy(), TEN, tmp_path / "run", mode="resume", watch=seen.append)
    assert seen[0].step == 4
    assert seen[0].scores == curves.read(tmp_path / "run")[0]["scores"]


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="cannot be written"):
        teach(Toy(), TEN, tmp_path / "file" / "run")


@pytest.mark.parametrize(
    "given",
    [
        {}, {"steps": 3, "minutes": 3.0}, {"steps": 0}, {"minutes": -1.0}, {"minutes": float("nan")},
        {"steps": 3, "validations": 0},
    ],
)  # fmt: skip
def test_lengths_that_cannot_be_used_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(PlanError):
        Length(**given)
