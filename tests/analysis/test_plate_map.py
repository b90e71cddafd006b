"""Plate maps: conditions of wells from CSV, joined to objects; nothing is lost or guessed in silence."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalesr.analysis.plate_map import NO_CONDITION, read_plate_map
from scalesr.analysis.tables.object_table import ObjectTable
from scalesr.analysis.wells import by_well
from scalesr.errors import InputError
from scalesr.images import PlateLayout, create_plate

if TYPE_CHECKING:
    from pathlib import Path

MAP = "well,compound,dose,batch,plate\nA01,DMSO,0,007,1\nA/2,taxol,0.5,007,1\nc3,,1e-3,008,1\n"


def written(folder: Path, text: str, *, encoding: str = "utf-8") -> Path:
    path = folder / "map.csv"
    path.write_text(text, encoding=encoding)
    return path


def objects(*wells: str) -> ObjectTable:
    labels = np.arange(1, len(wells) + 1)
    return ObjectTable(columns={"label": labels, "well": np.array(wells), "area": labels * 1.5})


def test_columns_have_types_and_wells_one_spelling(tmp_path: Path) -> None:
    found = read_plate_map(written(tmp_path, MAP))
    assert found.wells == ("A1", "A2", "C3")
    assert found["compound"].tolist() == ["DMSO", "taxol", ""]
    assert found["dose"].dtype == np.float64
    assert found["dose"].tolist() == [0.0, 0.5, 1e-3]
    assert found["batch"].tolist() == ["007", "007", "008"]
    assert found["plate"].dtype == np.int64
    assert found.wells_where(batch="007", compound="DMSO") == ("A1",)
    assert found.rows()[1] == {"well": "A2", "compound": "taxol", "dose": 0.5, "batch": "007", "plate": 1}
    with pytest.raises(InputError, match="no column 'colour'"):
        found["colour"]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_marks_and_empty_lines(tmp_path: Path, separator: str) -> None:
    text = MAP.replace(",", separator).replace("\n", "\r\n\r\n")
    found = read_plate_map(written(tmp_path, text, encoding="utf-8-sig"))
    assert found.wells == ("A1", "A2", "C3")
    assert found["dose"].tolist() == [0.0, 0.5, 1e-3]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("well,dose\n", "names no wells"),
        ("position,dose\nA1,1\n", "columns position, dose, and no column 'well'"),
        ("well,Well,dose\nA1,A1,1\n", "more than one column 'well'"),
        ("well,dose,dose\nA1,1,2\n", "more than one named 'dose'"),
        ("well,dose\nA1,1\nA1,2\n", "the well A1 more than once, in the lines 2 and 3"),
        ("well,dose\nA1,1\n\nA01,2\n", "the well A1 more than once, in the lines 2 and 4"),
        ("well,dose\nA1,1\nfoo,2\n", "Line 3 .* names the well 'foo'"),
        ("well,dose\nA1,1\n,2\n", "Line 3 .* names the well ''"),
        ("well,dose\nA1,1,5\n", "Line 2 .* has 3 cells, and the header 2"),
        ('well,dose\nA1,"1\n', "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_plate_map(written(tmp_path, text))


def test_absent_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_plate_map(tmp_path / "nothing.csv")
    with pytest.raises(InputError, match="no text in UTF-8"):
        read_plate_map(written(tmp_path, "well,compound\nA1,µ\n", encoding="latin-1"))


def test_another_column_can_name_the_wells(tmp_path: Path) -> None:
    found = read_plate_map(written(tmp_path, "Position,dose\nB2,1\n"), well="position")
    assert found.wells == ("B2",)
    assert list(found.columns) == ["dose"]


def test_objects_get_the_conditions_of_their_wells(tmp_path: Path) -> None:
    found = read_plate_map(written(tmp_path, MAP))
    joined = found.join(objects("A/2", "A1", "H12", "A02"))
    assert joined["label"].tolist() == [1, 2, 4]
    assert joined["well"].tolist() == ["A/2", "A1", "A02"]
    assert joined["compound"].tolist() == ["taxol", "DMSO", "taxol"]
    assert joined.left_out == {NO_CONDITION: 1}
    assert joined.notes == ("Wells of the plate map without objects (1): C3.",)
    assert by_well(joined, features=["area"], well="compound").wells == ("DMSO", "taxol")


def test_what_cannot_be_joined(tmp_path: Path) -> None:
    found = read_plate_map(written(tmp_path, MAP))
    with pytest.raises(InputError, match="None of 2 objects is in a well"):
        found.join(objects("H1", "H2"))
    with pytest.raises(InputError, match="has the columns dose already"):
        found.join(objects("A1").with_columns({"dose": 1}))
    with pytest.raises(InputError, match="no column 'place'"):
        found.join(objects("A1"), well="place")


def test_the_map_of_a_plate(tmp_path: Path) -> None:
    found = read_plate_map(written(tmp_path, MAP))
    plate = create_plate(tmp_path / "plate.zarr", PlateLayout.of_wells("plate", {"A/02": ("0",), "A/1": ("0",)}))
    own = found.of_plate(plate)
    assert own.wells == ("A1", "A2")
    assert own.left_out == {"wells that the plate does not have": 1}
    more = create_plate(tmp_path / "more.zarr", PlateLayout.of_wells("more", {"A/1": ("0",), "H/1": ("0",)}))
    with pytest.raises(InputError, match=r"says nothing of wells of .* \(1\): H1"):
        found.of_plate(more)


@given(
    wells=st.lists(st.tuples(st.sampled_from("ABCDEFGH"), st.integers(1, 12)), min_size=1, unique=True),
    texts=st.lists(st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=6), min_size=96, max_size=96),
    doses=st.lists(st.floats(allow_nan=False), min_size=96, max_size=96),
    seed=st.integers(0, 99),
)
def test_every_object_gets_its_own_well(
    tmp_path_factory: pytest.TempPathFactory,
    wells: list[tuple[str, int]],
    texts: list[str],
    doses: list[float],
    seed: int,
) -> None:
    sink = io.StringIO()
    writer = csv.writer(sink)
    writer.writerow(["compound", "WELL", "dose"])
    for (row, column), text, dose in zip(wells, texts, doses, strict=False):
        writer.writerow([f"x{text}", f"{row}{column:02}", repr(dose)])
    found = read_plate_map(written(tmp_path_factory.mktemp("maps"), sink.getvalue()))
    order = np.random.default_rng(seed).integers(0, len(wells), 40)
    joined = found.join(objects(*(f"{wells[n][0]}/{wells[n][1]}" for n in order)))
    assert joined["dose"].tolist() == [doses[n] for n in order]
    assert joined["compound"].tolist() == [f"x{texts[n]}".strip() for n in order]
    assert not joined.left_out
