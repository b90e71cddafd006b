"""Runs of plates: every field as if it were run alone, one normalisation, and nothing that stops the others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest
from small_plates import LABELS, WELLS, pixels_of, voxels, write_field, write_plate

import scalesr
from scalesr.engine import FieldEnded, RunFinished, StageAdvanced, StageStarted
from scalesr.errors import InputError, LedgerError, OutputError, PlanError
from scalesr.images import PlateLayout, create_plate, field_states, open_plate

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.engine import Event
    from scalesr.images import Plate

SMALL: dict[str, Any] = {"model": "cubic", "scale": 2, "cell": 16, "block": 1, "scheduler": "serial"}
PERCENTILE: dict[str, Any] = {**SMALL, "normalise": "percentile"}
FIELDS = 5


@pytest.fixture
def plate(tmp_path: Path) -> Plate:
    return write_plate(tmp_path / "in.zarr")


def states(result: scalesr.PlateResult) -> dict[str, str]:
    return {outcome.field: outcome.state for outcome in result.outcomes}


@pytest.mark.parametrize(("scheduler", "version"), [("serial", "0.4"), ("threads", "0.5")])
def test_each_field_is_what_it_would_be_alone(tmp_path: Path, scheduler: str, version: Any) -> None:
    plate = write_plate(tmp_path / "in.zarr", version=version)
    result = scalesr.run(plate, tmp_path / "out.zarr", **SMALL | {"scheduler": scheduler, "workers": 2})
    assert states(result) == dict.fromkeys(plate.fields, "done")
    assert result.plate == open_plate(tmp_path / "out.zarr")
    assert result.plate.layout == plate.layout
    assert result.plate.metadata["scalesr"]["state"] == "done"
    # Threads that wait for tasks at the same time leave the settings of Dask as they were.
    assert dask.config.get("scheduler", None) is None
    for path in plate.fields:
        alone = scalesr.run(plate.open_field(path), tmp_path / "alone.zarr", mode="overwrite", **SMALL)
        assert np.array_equal(voxels(result.plate, path), np.asarray(alone.image.array(0)[...]))
        assert result.plate.open_field(path).pixel_sizes == alone.image.pixel_sizes
        assert [channel.label for channel in result.plate.open_field(path).channels] == list(LABELS)


def test_one_normalisation_for_all_fields_whichever_are_run(plate: Plate, tmp_path: Path) -> None:
    result = scalesr.run(plate, tmp_path / "out.zarr", **PERCENTILE)
    pooled = np.stack([pixels_of(number) for number in range(FIELDS)])
    for channel in (0, 1):
        low, high = np.percentile(pooled[:, channel], [0.1, 99.9])
        assert result.normalisation is not None
        assert result.normalisation.offset[channel] == pytest.approx(low)
        assert result.normalisation.gain[channel] == pytest.approx(high - low)
        assert "of 5 fields of the plate" in result.normalisation.origin
    some = scalesr.run(plate, tmp_path / "some.zarr", fields=["A/2"], **PERCENTILE)
    assert some.normalisation == result.normalisation
    assert np.array_equal(voxels(some.plate, "A/2/0"), voxels(result.plate, "A/2/0"))
    threads = scalesr.run(plate, tmp_path / "threads.zarr", **PERCENTILE | {"scheduler": "threads"})
    assert threads.normalisation == result.normalisation
    own = scalesr.run(plate, tmp_path / "own.zarr", normalise_by="field", fields=["A/2"], **PERCENTILE)
    assert own.normalisation is None
    stored = json.loads((tmp_path / "own.zarr/A/2/0/scalesr/manifest.json").read_text())
    assert "of the plate" not in stored["identity"]["normalisation"]["origin"]


def test_a_path_may_name_an_image_or_a_plate(plate: Plate, tmp_path: Path) -> None:
    assert isinstance(scalesr.run(tmp_path / "in.zarr", tmp_path / "out.zarr", **SMALL), scalesr.PlateResult)
    assert isinstance(scalesr.run(tmp_path / "in.zarr/A/1/0", tmp_path / "one.zarr", **SMALL), scalesr.Result)
    with pytest.raises(PlanError, match="has no fields to choose from"):
        scalesr.run(tmp_path / "in.zarr/A/1/0", tmp_path / "two.zarr", fields=["A/1"], **SMALL)


def test_fields_are_added_later_and_done_ones_are_not_touched(plate: Plate, tmp_path: Path) -> None:
    first = scalesr.run(plate, tmp_path / "out.zarr", fields=["C/*"], **PERCENTILE)
    assert first.plate.fields == ("C/12/0", "C/12/1")
    stamp = (tmp_path / "out.zarr/C/12/0/zarr.json").stat().st_mtime_ns
    second = scalesr.run(plate, tmp_path / "out.zarr", mode="resume", **PERCENTILE)
    assert states(second) == {path: "there" if path.startswith("C") else "done" for path in plate.fields}
    assert (tmp_path / "out.zarr/C/12/0/zarr.json").stat().st_mtime_ns == stamp
    assert second.normalisation == first.normalisation
    assert set(open_plate(tmp_path / "out.zarr").fields) == set(plate.fields)
    third = scalesr.run(plate, tmp_path / "out.zarr", mode="resume", **PERCENTILE)
    assert set(states(third).values()) == {"there"}
    assert sum(outcome.blocks for outcome in third.outcomes) == 0


def test_a_run_of_something_else_is_refused(plate: Plate, tmp_path: Path) -> None:
    scalesr.run(plate, tmp_path / "out.zarr", fields=["A/2"], **PERCENTILE)
    for change, words in (
        ({"scale": 4}, "options.scale"),
        ({"model": "linear"}, r"model\[0\] was"),
        ({"normalise_by": "field"}, "normalised by"),
    ):
        with pytest.raises(LedgerError, match=words):
            scalesr.run(plate, tmp_path / "out.zarr", **PERCENTILE | {"mode": "resume"} | change)
    with pytest.raises(OutputError, match="already exists"):
        scalesr.run(plate, tmp_path / "out.zarr", **PERCENTILE)
    with pytest.raises(OutputError, match="the same plate"):
        scalesr.run(plate, plate.url, **PERCENTILE | {"mode": "overwrite"})
    again = scalesr.run(plate, tmp_path / "out.zarr", **PERCENTILE | {"mode": "overwrite", "scale": 4})
    assert states(again) == dict.fromkeys(plate.fields, "done")


def spoil(plate: Plate, tmp_path: Path) -> None:
    """One field is gone, one is no image, one has a chunk that cannot be decoded, and a well is gone."""
    (tmp_path / "in.zarr/A/1/1/zarr.json").unlink()
    (tmp_path / "in.zarr/A/2/0/zarr.json").write_text("{")
    chunk = sorted(path for path in (tmp_path / "in.zarr/C/12/0/0/c").rglob("*") if path.is_file())[0]
    chunk.write_bytes(b"poison")
    (tmp_path / "in.zarr/C/12/1").rename(tmp_path / "kept")


@pytest.mark.parametrize("scheduler", ["serial", "threads"])
def test_fields_that_cannot_be_run_do_not_stop_the_others(plate: Plate, tmp_path: Path, scheduler: str) -> None:
    spoil(plate, tmp_path)
    events: list[Event] = []
    options = PERCENTILE | {"scheduler": scheduler, "workers": 2}
    result = scalesr.run(plate, tmp_path / "out.zarr", callbacks=[events.append], **options)
    bad = ["A/1/1", "A/2/0", "C/12/0", "C/12/1"]
    assert states(result) == {path: "failed" if path in bad else "done" for path in plate.fields}
    errors = {outcome.field: outcome.error for outcome in result.failed}
    assert "C/12/0/0" in errors["C/12/0"]
    assert "does not exist" in errors["C/12/1"]
    assert all(outcome.remedy for outcome in result.failed)
    assert sorted(result.left_out) == bad  # of the normalisation, which is that of the other field
    assert result.normalisation is not None
    assert "of 1 fields" in result.normalisation.origin
    assert result.plate.fields == plate.fields
    assert field_states(result.plate)["A/1/0"] == "whole"
    assert open_plate(tmp_path / "out.zarr").metadata["scalesr"]["state"] == "running"
    ended = [event for event in events if isinstance(event, FieldEnded)]
    assert [event.ended for event in ended] == list(range(1, FIELDS + 1))
    assert sum(isinstance(event, StageAdvanced) and event.name == "fields" for event in events) == FIELDS
    assert [event.total for event in events if isinstance(event, StageStarted) and event.name == "fields"] == [FIELDS]
    assert isinstance(events[-1], RunFinished)
    for number, path in enumerate(plate.fields):
        if path in bad:
            write_field(plate, path, pixels_of(number))
    mended = scalesr.run(plate, tmp_path / "out.zarr", **options | {"mode": "resume"})
    assert states(mended) == {path: "done" if path in bad else "there" for path in plate.fields}
    assert mended.normalisation == result.normalisation
    assert mended.plate.metadata["scalesr"]["state"] == "done"


def test_bad_chunks_can_be_filled_and_are_named(plate: Plate, tmp_path: Path) -> None:
    spoil(plate, tmp_path)
    result = scalesr.run(plate, tmp_path / "out.zarr", on_bad_block="fill", fields=["C/12/0"], **PERCENTILE)
    assert not result.failed
    assert len(result.bad_chunks) == 1
    assert "C/12/0" in result.bad_chunks[0]


def test_wells_that_are_listed_and_gone_are_told(plate: Plate, tmp_path: Path) -> None:
    (tmp_path / "in.zarr/C/12/zarr.json").unlink()
    found = open_plate(tmp_path / "in.zarr")
    result = scalesr.run(found, tmp_path / "out.zarr", **SMALL)
    assert [outcome.field for outcome in result.failed] == ["C/12"]
    assert "lists the well C/12, which cannot be opened" in result.failed[0].error
    assert not scalesr.run(found, tmp_path / "some.zarr", fields=["A/*"], **SMALL).failed


@pytest.mark.parametrize(
    ("pixels", "labels", "words"),
    [
        (
            pixels_of(9),
            ("actin", "nuclei"),
            r"A/2/0 has its channels in another order \(actin, nuclei\) than A/1/0 \(nuc",
        ),
        (
            pixels_of(9),
            ("nuclei", "tubulin"),
            r"A/2/0 has other channels \(nuclei, tubulin\) than A/1/0 \(nuclei, actin\)",
        ),
        (pixels_of(9, (1, 24, 20)), ("nuclei",), r"A/2/0 has 1 channel \(nuclei\); A/1/0 has 2 \("),
        (pixels_of(9).astype(np.float32), LABELS, r"A/2/0 has the axes cyx and holds float32; A/1/0 has cyx and holds"),
    ],
)
def test_fields_unlike_the_first_are_named(plate: Plate, tmp_path: Path, pixels: Any, labels: Any, words: str) -> None:
    write_field(plate, "A/2/0", pixels, labels=labels)
    result = scalesr.run(plate, tmp_path / "out.zarr", **SMALL)
    assert [outcome.field for outcome in result.failed] == ["A/2/0"]
    with pytest.raises(InputError, match=words):
        raise InputError(result.failed[0].error, remedy="")


def test_fields_may_differ_in_size_and_be_empty(plate: Plate, tmp_path: Path) -> None:
    write_field(plate, "A/2/0", pixels_of(9, (2, 30, 10)))
    write_field(plate, "A/1/1", np.zeros((2, 24, 20), np.uint16))
    result = scalesr.run(plate, tmp_path / "out.zarr", **PERCENTILE | {"scheduler": "threads", "workers": 2})
    assert not result.failed
    assert result.plate.open_field("A/2/0").shape == (2, 60, 20)
    assert not voxels(result.plate, "A/1/1").any()


def test_a_plate_without_any_image_is_refused(tmp_path: Path) -> None:
    plate = create_plate(tmp_path / "in.zarr", PlateLayout.of_wells("empty", WELLS))
    with pytest.raises(InputError, match=r"No field of the plate .* can be opened"):
        scalesr.run(plate, tmp_path / "out.zarr", **SMALL)
    assert not (tmp_path / "out.zarr").exists()


def test_an_output_that_cannot_be_written_ends_the_run(
    plate: Plate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Any] = []

    def full(*arguments: Any, **_: Any) -> Any:
        begun.append(arguments)
        raise OutputError("The disk is full.", remedy="Free space.")

    monkeypatch.setattr("scalesr.engine.running.create_image", full)
    for scheduler in ("serial", "threads"):
        with pytest.raises(OutputError, match="disk is full"):
            scalesr.run(plate, tmp_path / f"{scheduler}.zarr", **SMALL | {"scheduler": scheduler})
    monkeypatch.undo()
    result = scalesr.run(plate, tmp_path / "threads.zarr", **SMALL | {"mode": "resume"})
    assert states(result) == dict.fromkeys(plate.fields, "done")


def test_what_was_left_by_a_kill_before_there_was_a_group_is_no_obstacle(plate: Plate, tmp_path: Path) -> None:
    scalesr.run(plate, tmp_path / "out.zarr", fields=["A/1"], **SMALL)
    left = tmp_path / "out.zarr/A/2/0"
    left.mkdir(parents=True)
    (left / "zarr.0123.partial").write_text("{")
    result = scalesr.run(plate, tmp_path / "out.zarr", **SMALL | {"mode": "resume"})
    assert not result.failed
    assert not list((tmp_path / "out.zarr").rglob("*.partial"))


def test_figures_against_a_plate_of_truths(plate: Plate, tmp_path: Path) -> None:
    truth = write_plate(tmp_path / "truth.zarr", shape=(2, 48, 40))
    for path in truth.fields:
        # Pixels half as large, and the same ground.
        attributes = json.loads((tmp_path / "truth.zarr" / path / "zarr.json").read_text())
        dataset = attributes["attributes"]["ome"]["multiscales"][0]["datasets"][0]
        dataset["coordinateTransformations"] = [
            {"type": "scale", "scale": [1, 0.25, 0.25]},
            {"type": "translation", "translation": [0, -0.125, -0.125]},
        ]
        (tmp_path / "truth.zarr" / path / "zarr.json").write_text(json.dumps(attributes))
    result = scalesr.run(plate, tmp_path / "out.zarr", reference=truth.url, metrics=("mae",), **SMALL)
    assert not result.failed
    assert result.measurement is not None
    assert {measure.where for measure in result.measurement.measures if measure.where} == set(plate.fields)
    assert result.measurement.value("mae", where="A/2/0") is not None
    lacking = create_plate(tmp_path / "lacking.zarr", PlateLayout.of_wells("p", {"A/1": ("0",)}))
    with pytest.raises(InputError, match="lacks 4 fields, such as A/1/1"):
        scalesr.run(plate, tmp_path / "two.zarr", reference=lacking.url, **SMALL)
    with pytest.raises(InputError, match="is a plate, and its reference"):
        scalesr.run(plate, tmp_path / "two.zarr", reference=f"{truth.url}/A/1/0", **SMALL)
    with pytest.raises(PlanError, match="standard deviations of 5 fields"):
        scalesr.run(plate, tmp_path / "two.zarr", deviation=str(tmp_path / "std.zarr"), **SMALL)


def test_memory_that_allows_one_field_runs_one_after_the_other(plate: Plate, tmp_path: Path) -> None:
    from scalesr.engine import Options, prepare_plate  # noqa: PLC0415 the names are those of this test alone

    given = SMALL | {"scheduler": "threads", "workers": 2}
    ample = prepare_plate(plate, Options(**given))
    assert ample.side_by_side > 1
    scarce = prepare_plate(plate, Options(**given, memory=ample.prepared.demand.host_bytes - 1))
    assert scarce.side_by_side == ample.side_by_side - 1
    assert prepare_plate(plate, Options(**SMALL)).side_by_side == 1
    with pytest.raises(PlanError, match="are allowed"):
        scalesr.run(plate, tmp_path / "out.zarr", memory=1000, **SMALL)


def test_real_plates(data: Path, tmp_path: Path) -> None:
    source = data / "omezarr/ome_zarr_examples/valid/plate-01.zarr"
    result = scalesr.run(open_plate(source), tmp_path / "out.zarr", fields=["B2", "A/1"], **SMALL | {"cell": 256})
    assert states(result) == {"A/1/0": "done", "B/2/0": "done"}
    assert result.plate.open_field("B/2/0").shape == (2000, 2000)
    java = data / "omezarr/zarr_java_testdata/ome/v0.4_hcs"
    assert states(scalesr.run(open_plate(java), tmp_path / "java.zarr", **SMALL)) == {"A/1/0": "done"}
