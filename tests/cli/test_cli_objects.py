"""`scalesr objects`: from a plate to labels, a table, crops, wells, and what a restoration retains."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from analysis.plate_samples import EMPTY, screen_plate
from commands import call, only_json

from scalesr.analysis import read_parquet, write_parquet
from scalesr.images import is_plate, list_fields, open_image

if TYPE_CHECKING:
    from pathlib import Path

RATIO = "ratio_nucleus_cytoplasm"
MEASURE = ("--translocation", "protein", "--ring", "5", "--offset", "100", "--channels", "protein")


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plate with labels beside its fields; nothing writes to it."""
    made = screen_plate(tmp_path_factory.mktemp("screen") / "plate.zarr")
    assert call("objects", "label", made, "--channel", "DNA", "--smallest", "20", "--quiet").exit_code == 0
    return made


@pytest.fixture(scope="module")
def table(plate: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of that plate, with a column for the condition."""
    path = tmp_path_factory.mktemp("table") / "objects.parquet"
    assert call("objects", "measure", plate, *MEASURE, "--out", path, "--quiet").exit_code == 0
    found = read_parquet(path)
    rows = np.char.startswith(np.asarray(found["well"]).astype(str), "B")
    write_parquet(found.with_columns({"condition": np.where(rows, "treated", "control")}), path, mode="overwrite")
    return path


def test_labels_lie_beside_the_fields_or_where_they_are_wanted(plate: Path, tmp_path: Path) -> None:
    result = call("objects", "label", plate, tmp_path / "labels", "--channel", "DNA", "--smallest", "20")
    assert (result.exit_code, result.stderr) == (0, "")
    words = result.stdout.split()
    assert {"175", f"{tmp_path / 'labels' / 'A/1/0'}"} <= set(words)
    assert f"Note: 1 of 8 fields hold no object: {EMPTY}" in result.stdout
    again = call("objects", "label", plate, tmp_path / "labels", "--channel", "DNA", "--smallest", "20")
    assert again.exit_code == 4
    assert "--overwrite or --resume" in again.stderr
    document = only_json(
        call(
            "objects", "label", plate, tmp_path / "labels", "--channel", "DNA", "--smallest", "20", "--resume", "--json"
        )
    )
    assert document["objects"] == 175
    assert [row["objects"] for row in document["fields"]].count(0) == 1
    one = call("objects", "label", plate / "A/1/0", "--channel", "DNA", "--name", "nuclei", "--cut", "skip", "--json")
    assert only_json(one)["fields"][0]["labels"] == str(plate / "A/1/0/labels/nuclei")
    assert open_image(plate / "A/1/0/labels/nuclei").dtype == np.uint32


def test_a_plate_becomes_a_table(table: Path, plate: Path, tmp_path: Path) -> None:
    found = read_parquet(table)
    assert len(found) == 175
    assert sorted(set(found["well"].tolist())) == ["A1", "A2", "B1", "B2"]
    assert any("translocation of channel protein" in note for note in found.notes)
    result = call(
        "objects", "measure", plate, "--channels", "none", "--spots", "DNA", "--tolerance", "200", "--spot-threshold",
        "500", "--features", "solidity", "--out", tmp_path / "more.parquet", "--resume", "--json",
    )  # fmt: skip
    document = only_json(result)
    rows = {row["feature"]: row for row in document["features"]}
    assert document["objects"] == rows["area"]["objects"] == 175
    assert rows["spots"]["mean"] == rows["particles"]["mean"] == 1.0
    assert {"solidity", "particle_area_mean"} <= set(rows)
    assert not [name for name in rows if name.startswith("intensity")]
    assert not (tmp_path / "more.parquet.fields").exists()
    text = call("objects", "measure", plate / "A/1/0", "--channels", "none").stdout
    assert "equivalent_diameter_area" in text
    assert "objects  25" in text
    twice = call("objects", "measure", plate, "--out", table)
    assert (twice.exit_code, "--overwrite" in twice.stderr) == (4, True)


def test_wells_are_summed_up_and_conditions_compared(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "wells.csv"
    result = call("objects", "wells", table, "--features", RATIO, "--controls", "A1,A2", "--csv", out)
    assert result.exit_code == 0, result.output
    assert str(out) in result.stdout
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["well"], row["objects"]) for row in rows] == [("A1", "50"), ("A2", "25"), ("B1", "50"), ("B2", "50")]
    assert float(rows[2]["cohen_d"]) > 2
    document = only_json(call("objects", "wells", table, "--features", RATIO, "--condition", "condition",
                              "--conditions", "treated,control", "--json"))  # fmt: skip
    (between,) = document["conditions"]
    assert between["Cohen's d"] == pytest.approx(2.5, abs=0.3)
    assert (between["objects"], between["wells"]) == ("100 + 75", "2 + 2")
    assert between["Z'"] > 0
    found = read_parquet(table)
    rows_cut = np.arange(len(found)) < 30
    write_parquet(found.with_columns({"touches_edge": rows_cut}), tmp_path / "cut.parquet")
    for cut, count in (("skip", 20), ("keep", 50)):
        some = only_json(call("objects", "wells", tmp_path / "cut.parquet", "--cut", cut, "--json"))
        assert some["wells"][0]["objects"] == count
        assert some["left_out"].get("objects cut by the edge", 0) == 50 - count
    text = call("objects", "wells", table, "--features", RATIO, "--condition", "condition").stdout
    assert "control against treated" in text
    many = call("objects", "wells", table, "--condition", "well")
    assert (many.exit_code, "--conditions treated,control" in many.stderr) == (2, True)


def test_what_is_in_the_wells_can_come_from_a_table_of_its_own(table: Path, tmp_path: Path) -> None:
    pytest.importorskip("scalesr.analysis.plate_map")
    plan = tmp_path / "plate.csv"
    plan.write_text("well,treatment\nA1,none\nA2,none\nB1,drug\nB2,drug\n")
    result = call("objects", "wells", table, "--map", plan, "--features", RATIO, "--condition", "treatment")
    assert result.exit_code == 0, result.output
    assert "drug against none" in result.stdout


def test_crops_are_run_put_back_and_compared(table: Path, plate: Path, tmp_path: Path) -> None:
    stack, finer, back = tmp_path / "stack", tmp_path / "finer", tmp_path / "back.zarr"
    result = call("objects", "crops", plate, stack, "--edge", "28", "--table", tmp_path / "places.parquet")
    assert result.exit_code == 0, result.output
    assert "n 175, c 2, y 28, x 28; uint16" in result.stdout
    places = read_parquet(tmp_path / "places.parquet")
    assert {"well", "field", "label in image", "corner-0", "centroid-1"} <= set(places.columns)
    run = ("run", str(stack), str(finer), "--model", "nearest", "--scale", "1", "--scheduler", "serial", "--quiet")
    assert call(*run).exit_code == 0
    pasted = call("objects", "paste", finer, back, "--crops", stack, "--image", plate)
    assert pasted.exit_code == 0, pasted.output
    assert is_plate(back)
    assert EMPTY not in list_fields(back)
    # What was put back is measured with the labels of the true plate, and both are compared object by object.
    restored = tmp_path / "restored.parquet"
    measured = call("objects", "measure", back, "--labels", plate, "--name", "objects", *MEASURE, "--out", restored)
    assert measured.exit_code == 0, measured.output
    document: Any = only_json(
        call("objects", "compare", table, restored, "--features", f"{RATIO},area", "--condition", "condition",
             "--conditions", "treated,control", "--json")
    )  # fmt: skip
    ratio, area = document["features"]
    assert (ratio["n"], area["bias"], area["slope"]) == (175, 0.0, None)
    assert ratio["effect retained"] == pytest.approx(1, abs=0.02)
    assert ratio["slope"] == pytest.approx(1, abs=0.02)


def test_classes_that_true_objects_teach_are_asked_of_restored_ones(table: Path, tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    found = read_parquet(table)
    rng = np.random.default_rng(0)
    worse = found.with_columns({RATIO: found[RATIO] + rng.normal(0, 0.3, len(found))})
    write_parquet(worse, tmp_path / "worse.parquet")
    options = ("--features", RATIO, "--condition", "condition", "--classify", "logistic")
    document = only_json(call("objects", "compare", table, tmp_path / "worse.parquet", *options, "--json"))
    true, restored = document["classes"]
    assert true["objects"] == restored["objects"]
    assert true["accuracy"] > 0.8 > restored["accuracy"] > 0.5
    text = call("objects", "compare", table, tmp_path / "worse.parquet", *options, "--csv", tmp_path / "c.csv").stdout
    assert f"control or treated: logistic on {RATIO}" in text
    assert (tmp_path / "c.csv").read_text().startswith("feature,n,bias")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["label", "PLATE", "--threshold", "high"], 2, "--threshold 'high'"),
        (["label", "PLATE", "--resume", "--overwrite"], 2, "--resume keeps labels"),
        (["label", "PLATE", "--channel", "dapi"], 3, "DNA, protein"),
        (["label", "absent.zarr"], 3, "absent.zarr does not exist"),
        (["measure", "PLATE", "--spots", "DNA"], 2, "--tolerance"),
        (["measure", "PLATE", "--resume"], 2, "--out"),
        (["measure", "PLATE", "--name", "cells"], 3, "scalesr objects label"),
        (["measure", "PLATE", "--channels", ","], 2, "--channels"),
        (["crops", "PLATE", "OUT", "--edge", "big"], 2, "--edge"),
        (["crops", "PLATE", "OUT", "--edge", "8", "--channels", "none"], 2, "--channels none"),
        (["paste", "PLATE/A/1/0", "OUT", "--crops", "PLATE/A/1/0", "--image", "PLATE"], 3, "crops come from"),
        (["wells", "absent.parquet"], 3, "absent.parquet does not exist"),
        (["wells", "TABLE", "--conditions", "a,b"], 2, "--condition"),
        (["wells", "TABLE", "--features", "mass"], 3, "no column 'mass'"),
        (["compare", "TABLE", "TABLE", "--classify", "lda"], 2, "--condition"),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, list) else "",
)
def test_bad_questions(arguments: list[str], code: int, words: str, plate: Path, table: Path, tmp_path: Path) -> None:
    names = {"PLATE": plate, "OUT": tmp_path / "out", "TABLE": table}
    given = [str(names.get(part, part)).replace("PLATE", str(plate)) for part in arguments]
    result = call("objects", *given)
    assert result.exit_code == code, result.output
    assert words in result.stderr, result.stderr
    assert result.stderr.startswith("Error: ")
    assert only_json(call("objects", *given, "--json"))["exit_code"] == code
    assert not (tmp_path / "out").exists()
