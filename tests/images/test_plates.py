"""The fields of plates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import zarr

from scalesr.errors import InputError
from scalesr.images import Image, Plate, field_states, is_plate, list_fields, open_any, open_image, open_plate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

WELLS = {"A/1": ("0", "1"), "C/12": ("0",)}


def make_plate(folder: Path, wells: Mapping[str, tuple[str, ...]], *, version: str = "0.5") -> Path:
    """The metadata of a plate and of its wells; there are no images in it."""

    def put(path: str, key: str, facts: dict[str, Any]) -> None:
        group = zarr.create_group(str(folder / path), zarr_format=3 if version == "0.5" else 2)
        group.attrs.update({"ome": {"version": "0.5", key: facts}} if version == "0.5" else {key: facts})

    put("", "plate", {"wells": [{"path": path, "rowIndex": 0, "columnIndex": 0} for path in wells]})
    for path, fields in wells.items():
        put(path, "well", {"images": [{"path": field} for field in fields]})
    return folder


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_fields_of_both_versions_in_the_order_of_the_plate(tmp_path: Path, version: str) -> None:
    plate = make_plate(tmp_path / "plate.zarr", WELLS, version=version)
    assert is_plate(plate)
    assert list_fields(plate) == ("A/1/0", "A/1/1", "C/12/0")


def test_many_wells_keep_their_order(tmp_path: Path) -> None:
    wells = {f"{row}/{column}": ("0",) for row in "ABCDEF" for column in range(1, 9)}
    assert list_fields(make_plate(tmp_path / "plate.zarr", wells)) == tuple(f"{well}/0" for well in wells)


def test_real_plates(data: Path) -> None:
    plate = data / "omezarr/ome_zarr_examples/valid/plate-01.zarr"
    fields = list_fields(plate)
    assert fields == ("A/1/0", "A/2/0", "B/1/0", "B/2/0")
    assert open_image(plate / fields[-1]).shape == (1000, 1000)
    java = data / "omezarr/zarr_java_testdata/ome/v0.4_hcs"  # its row A is no group
    assert list_fields(java) == ("A/1/0",)
    assert open_image(java / "A/1/0").ndim == 5


def test_an_image_is_no_plate(data: Path) -> None:
    image = data / "omezarr/ome_zarr_examples/valid/image-02.zarr"
    assert not is_plate(image)
    with pytest.raises(InputError, match=r"is not a plate\. Name the group that has plate metadata"):
        list_fields(image)
    with pytest.raises(InputError, match="does not exist"):
        is_plate(data / "nothing.zarr")


def test_what_a_plate_lists_must_be_there(tmp_path: Path) -> None:
    plate = make_plate(tmp_path / "plate.zarr", WELLS)
    (plate / "C" / "12" / "zarr.json").unlink()
    with pytest.raises(InputError, match=r"lists the well C/12, which cannot be opened.* take the well out"):
        list_fields(plate)
    with pytest.raises(InputError, match=r"The well A/1 of the plate .* lists no fields"):
        list_fields(make_plate(tmp_path / "no-fields.zarr", {"A/1": ()}))
    with pytest.raises(InputError, match="lists no wells"):
        list_fields(make_plate(tmp_path / "no-wells.zarr", {}))


def test_a_plate_opens_without_the_wells_that_cannot_be_used(tmp_path: Path) -> None:
    wells = {**WELLS, "D/1": (), "D/2": ("0",)}
    folder = make_plate(tmp_path / "plate.zarr", wells)
    (folder / "C" / "12" / "zarr.json").unlink()
    (folder / "D" / "2" / "zarr.json").write_text("{")
    plate = open_plate(folder)
    assert plate.fields == ("A/1/0", "A/1/1")
    assert list(plate.left_out) == ["C/12", "D/1", "D/2"]
    assert "it is not there" in plate.left_out["C/12"]
    assert "lists no fields" in plate.left_out["D/1"]
    assert plate.unusable("D/*") == {well: plate.left_out[well] for well in ("D/1", "D/2")}
    with pytest.raises(InputError, match="C/12, which cannot be opened"):
        plate.select("C/12")
    with pytest.raises(InputError, match="has no field B/7/0"):
        plate.open_field("B/7/0")


def test_no_field_is_looked_at(tmp_path: Path) -> None:
    folder = make_plate(tmp_path / "plate.zarr", WELLS)  # there is none
    plate = open_plate(folder)
    assert plate.fields == ("A/1/0", "A/1/1", "C/12/0")
    assert [well.name for well in plate.wells] == ["A1", "C12"]
    assert set(field_states(plate).values()) == {"absent"}


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("A/1", ("A/1/0", "A/1/1")),
        ("A1", ("A/1/0", "A/1/1")),
        ("c012", ("C/12/0",)),
        ("*/0", ("A/1/0", "C/12/0")),
        ("C/*", ("C/12/0",)),
        ("?/1/1", ("A/1/1",)),
    ],
)
def test_fields_are_chosen_by_patterns(tmp_path: Path, pattern: str, chosen: tuple[str, ...]) -> None:
    plate = open_plate(make_plate(tmp_path / "plate.zarr", WELLS))
    assert plate.select(pattern) == chosen
    assert plate.select() == plate.fields
    with pytest.raises(InputError, match=r"No field of the plate .* fits 'Q'"):
        plate.select(pattern, "Q")


def test_what_is_opened_is_an_image_or_a_plate(data: Path, tmp_path: Path) -> None:
    assert isinstance(open_any(data / "omezarr/ome_zarr_examples/valid/image-02.zarr"), Image)
    plate = open_any(data / "omezarr/ome_zarr_examples/valid/plate-01.zarr")
    assert isinstance(plate, Plate)
    assert (plate.name, plate.version) == ("my_wonderful_plate", "0.4")
    assert (plate.layout.rows, plate.layout.columns) == (("A", "B"), ("1", "2"))
    with pytest.raises(InputError, match="does not exist"):
        open_any(tmp_path / "nothing.zarr")


@pytest.mark.parametrize("path", ["", "../outside", 7])
def test_paths_that_lead_nowhere_or_out_are_refused(tmp_path: Path, path: Any) -> None:
    plate = make_plate(tmp_path / "plate.zarr", {})
    zarr.open_group(str(plate)).attrs["ome"] = {"version": "0.5", "plate": {"wells": [{"path": path}]}}
    with pytest.raises(InputError, match="has a well without a usable path"):
        list_fields(plate)
