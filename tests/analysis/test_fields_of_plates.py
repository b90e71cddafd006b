"""Objects of all fields of a plate: one threshold, one table, one stack; what is empty, missing or turned round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from analysis.plate_samples import CELL, EMPTY, RATIO, TURNED, WELLS, cell_field, ratios, screen_plate, write_field
from scipy import ndimage

import scalesr
from scalesr.analysis import (
    Assay,
    Contrast,
    by_well,
    gather_crops,
    label_fields,
    label_objects,
    measure_fields,
    measure_objects,
    open_crops,
    retained,
    scatter_crops,
)
from scalesr.analysis.objects import field_labels, field_tables
from scalesr.analysis.objects.field import NoObjectError
from scalesr.engine import StageAdvanced, StageStarted
from scalesr.errors import InputError, OutputError
from scalesr.images import open_image

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from scalesr.images import Image

PATHS = tuple(f"{well}/{field}" for well, fields in WELLS.items() for field in fields)
FULL = tuple(path for path in PATHS if path != EMPTY)


def pixels(image: Image) -> NDArray[Any]:
    return np.asarray(image.array()[...])


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plate with labels beside its fields; nothing writes to it."""
    made = screen_plate(tmp_path_factory.mktemp("screen") / "plate.zarr")
    label_fields(made, channel="DNA", smallest=20)
    return made


def test_all_fields_have_one_threshold_and_an_empty_one_no_objects(plate: Path, tmp_path: Path) -> None:
    made = label_fields(plate, labels=tmp_path / "labels", channel="DNA", smallest=20)
    assert [row["objects"] for row in made.rows()] == [0 if path == EMPTY else 25 for path in PATHS]
    assert made.notes == (f"1 of 8 fields hold no object: {EMPTY}",)
    assert {labelled.threshold for _, labelled in made.fields} == {made.threshold}
    assert 150 < made.threshold < 850
    # Channel 0 of the field that is turned round is another one.
    for path in (TURNED, "A/1/0"):
        beside = open_image(plate / path / "labels" / "objects")
        np.testing.assert_array_equal(pixels(open_image(tmp_path / "labels" / path)), pixels(beside))
    by_number = label_fields(plate, labels=tmp_path / "number", channel=0, smallest=20)
    assert by_number.number == made.number == 175
    with pytest.raises(InputError, match="No object stands out in channel DNA"):
        label_fields(plate / EMPTY, labels=tmp_path / "alone", channel="DNA")


def test_labelling_goes_on_with_the_field_at_which_it_was_stopped(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: Any = {"labels": tmp_path, "channel": "DNA", "smallest": 20, "mode": "resume"}
    calls: list[str] = []

    def stopping(image: Any, out: Any, **how: Any) -> Any:
        calls.append(str(out))
        if len(calls) == 4:
            raise KeyboardInterrupt
        return label_objects(image, out, **how)

    monkeypatch.setattr(field_labels, "label_objects", stopping)
    with pytest.raises(KeyboardInterrupt):
        label_fields(plate, **options)
    written = {path: (tmp_path / path / "zarr.json").stat().st_mtime_ns for path in PATHS[:3]}
    assert not (tmp_path / PATHS[3]).exists()
    assert label_fields(plate, **options).number == 175
    assert {path: (tmp_path / path / "zarr.json").stat().st_mtime_ns for path in PATHS[:3]} == written
    with pytest.raises(OutputError, match="made in another way: smallest was 20, now 21"):
        label_fields(plate, **{**options, "smallest": 21})
    with pytest.raises(OutputError, match="exists"):
        label_fields(plate, **{**options, "mode": "create"})


def test_a_table_of_a_plate_is_those_of_its_fields(plate: Path, tmp_path: Path) -> None:
    heard: list[Any] = []
    table = measure_fields(plate, callbacks=[heard.append])
    assert len(table) == 175
    assert list(table.columns)[:4] == ["label", "label in image", "well", "field"]
    assert table.notes == (f"1 of 8 fields hold no object: {EMPTY}",)
    for path in FULL:
        well, field = path.replace("/", "", 1).split("/")
        some = table.where((table["well"] == well) & (table["field"] == field))
        alone = measure_objects(plate / path / "labels" / "objects", plate / path)
        for name, values in alone.columns.items():
            np.testing.assert_array_equal(some[{"label": "label in image"}.get(name, name)], values)
    starts = [event for event in heard if isinstance(event, StageStarted)]
    assert [(event.name, event.total) for event in starts] == [(field_tables.MEASURING, 8)]
    # The empty field and those that are measured are both done with.
    assert len([event for event in heard if isinstance(event, StageAdvanced)]) == 8
    single = measure_fields(plate / "A/1/0")
    assert "well" not in single.columns
    with pytest.raises(InputError, match=r"Field A/1/0 cannot be used: There are no labels.*labels/cells"):
        measure_fields(plate, name="cells")


def test_measuring_goes_on_with_the_field_at_which_it_was_stopped(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = str(tmp_path / "kept")
    real, seen = Assay.measure, []

    def stopping(self: Assay, labels: Any, image: Any, **how: Any) -> Any:
        seen.append(image.url)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(self, labels, image, **how)

    monkeypatch.setattr(Assay, "measure", stopping)
    with pytest.raises(KeyboardInterrupt):
        measure_fields(plate, kept=kept)
    assert len(list((tmp_path / "kept").iterdir())) == 2
    whole = measure_fields(plate, kept=kept)
    assert len(seen) == 3 + 6
    assert not (tmp_path / "kept").exists()
    fresh = measure_fields(plate)
    for name, values in fresh.columns.items():
        np.testing.assert_array_equal(whole[name], values)
    # What is kept of another question is no answer to this one.
    seen[:] = [""] * 10
    measure_fields(plate, kept=kept)
    assert len(seen) == 18
    monkeypatch.setattr(Assay, "measure", real)


def test_fields_that_are_missing_stop_the_work_or_are_counted(tmp_path: Path) -> None:
    made = screen_plate(tmp_path / "plate.zarr")
    label_fields(made, channel="DNA")
    (made / "B/2/1/zarr.json").unlink()
    options: Any = ({"labels": tmp_path / "again", "channel": "DNA"}, {}, {"edge": 20})
    for work, option in zip((label_fields, measure_fields, gather_crops), options, strict=True):
        places = (None, tmp_path / "stack") if work is gather_crops else ()
        some_work: Any = work
        with pytest.raises(InputError, match="Field B/2/1 cannot be used"):
            some_work(made, *places, **option)
        done = some_work(made, *places, missing="leave out", **option)
        notes = done.table.notes if work is gather_crops else done.notes
        assert "1 of 8 fields cannot be opened, or have no labels, and are left out: B/2/1" in notes
    (made / "B/1/zarr.json").unlink()
    with pytest.raises(InputError, match=r"B/1.* --missing skip"):
        measure_fields(made)
    notes = measure_fields(made, missing="leave out").notes
    assert "1 of the wells cannot be used and are left out: B/1" in notes
    for path in PATHS:
        (made / path / "zarr.json").unlink(missing_ok=True)
    with pytest.raises(InputError, match="A/1/0 is not Zarr, or does not exist"):
        label_fields(made, channel="DNA", missing="leave out", mode="overwrite")


def test_channels_that_a_field_lacks_are_named(plate: Path, tmp_path: Path) -> None:
    made = screen_plate(tmp_path / "plate.zarr")
    write_field(made / "B/1/1", cell_field("B/1/1"), labels=("DNA", "actin"))
    label_fields(made, channel="DNA")
    with pytest.raises(InputError, match=r"B/1/1 has the channels DNA, actin; \['protein'\] were asked for"):
        measure_fields(made, assay=Assay(channels=(1,)))
    with pytest.raises(InputError, match="different columns"):
        measure_fields(made)
    with pytest.raises(InputError, match="Fields cannot share a stack: channels"):
        gather_crops(made, None, tmp_path / "stack", edge=20)
    assert gather_crops(made, None, tmp_path / "stack", edge=20, channels=["DNA"]).stack.shape[1] == 1


def test_a_plate_without_objects_is_refused(tmp_path: Path) -> None:
    made = screen_plate(tmp_path / "plate.zarr")
    for path in PATHS:
        write_field(made / path, cell_field(EMPTY))
    with pytest.raises(InputError, match=r"No object stands out in channel DNA of .* and 7 more fields"):
        label_fields(made, channel="DNA")
    label_fields(made, channel="DNA", threshold=5000.0)
    for work in (measure_fields, lambda source: gather_crops(source, None, tmp_path / "stack", edge=8)):
        with pytest.raises(NoObjectError, match="None of the 8 fields"):
            work(made)


def test_crops_of_a_plate_are_one_stack_and_go_back(plate: Path, tmp_path: Path) -> None:
    found = gather_crops(plate, None, tmp_path / "stack", edge=20)
    assert found.stack.shape == (175, 2, 20, 20)
    assert [channel.label for channel in found.stack.channels] == ["DNA", "protein"]
    assert found.table.labels.tolist() == list(range(1, 176))
    opened = open_crops(tmp_path / "stack")
    assert [origin.path for origin in opened.origins] == list(FULL)
    for name, values in found.table.columns.items():
        np.testing.assert_array_equal(opened.table[name], values)
    stack = pixels(found.stack)
    for origin in found.origins:
        alone = gather_crops(plate / origin.path, None, tmp_path / "alone", edge=20, channels=["DNA", "protein"],
                             mode="overwrite")  # fmt: skip
        np.testing.assert_array_equal(stack[slice(*origin.crops)], pixels(alone.stack))
    # A model of single objects sees each by itself.
    run = scalesr.run(found.stack, tmp_path / "finer", model="nearest", scale=2, scheduler="serial", deviation="none")
    back = scatter_crops(run.image, tmp_path / "back", crops=opened, field=plate)
    assert [image.url for image in back] == [str(tmp_path / "back" / path) for path in FULL]
    for path, image in zip(FULL, back, strict=True):
        truth = cell_field(path).repeat(2, axis=1).repeat(2, axis=2)
        covered = pixels(image)[0] > 0
        np.testing.assert_array_equal(pixels(image)[:, covered], truth[:, covered])
        assert covered.mean() > 0.35
    with pytest.raises(InputError, match="field A/1/0 of a plate"):
        scatter_crops(run.image, tmp_path / "wrong", crops=opened, field=plate / "A/1/0")


def test_an_effect_is_found_from_labels_to_wells(plate: Path, tmp_path: Path) -> None:
    assay = Assay(channels=("protein",), translocation="protein", ring=5.0, offset=100.0)
    table = measure_fields(plate, assay=assay)
    truth = {row: np.concatenate([ratios(path) for path in FULL if path[0] == row]) for row in RATIO}
    expected = Contrast.of(truth["B"], truth["A"])
    treated = np.char.startswith(table["well"], "B")
    table = table.with_columns({"condition": np.where(treated, "treated", "control")})
    ratio = table["ratio_nucleus_cytoplasm"]
    # Cells come in the order of the lattice, as labels do; the outline belongs to both places and damps the ratio.
    rows = [table.where((table["well"] == "A1") & (table["field"] == field)) for field in ("0", "1")]
    for field, some in zip(("0", "1"), rows, strict=True):
        order = np.argsort(some["centroid-0"] // 32 * 5 + some["centroid-1"] // 32)
        assert np.corrcoef(some["ratio_nucleus_cytoplasm"][order], ratios(f"A/1/{field}"))[0, 1] > 0.98
    found = Contrast.of(ratio[treated], ratio[~treated])
    assert found.cohen_d == pytest.approx(expected.cohen_d, rel=0.1)
    assert found.auc == pytest.approx(expected.auc, abs=0.02)
    made = by_well(table, features=["ratio_nucleus_cytoplasm"], controls=["A1", "A2"])
    assert made.counts.ravel().tolist() == [50, 25, 50, 50]
    assert made.contrast("ratio_nucleus_cytoplasm", ["B1", "B2"], ["A1", "A2"]).difference > 0.2
    # The same objects after the light was blurred, as a coarse restoration would: measured with the same labels.
    blurred = screen_plate(tmp_path / "blurred.zarr")
    for path in PATHS:
        smooth = ndimage.gaussian_filter(cell_field(path).astype(np.float64), (0, CELL / 4, CELL / 4))
        write_field(blurred / path, smooth.astype(np.uint16))
    again = measure_fields(blurred, labels=plate, assay=assay)
    kept = retained(table, again, features=["ratio_nucleus_cytoplasm"], condition="condition",
                    conditions=("treated", "control"))  # fmt: skip
    (feature,) = kept.features
    assert feature.n == 175
    assert feature.slope < 0.9
    assert feature.retained_effect is not None
    assert 0.5 < feature.retained_effect < 1.05
