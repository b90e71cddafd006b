"""Plates that are written: valid before there is any data, and read back as they were."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from ome_zarr_models.v04.hcs import HCS as HCS4
from ome_zarr_models.v05.hcs import HCS as HCS5
from small_plates import WELLS, pixels_of, voxels, write_field, write_plate

from scalesr.errors import InputError, OutputError
from scalesr.images import (
    Acquisition,
    Field,
    PlateLayout,
    Well,
    create_plate,
    field_states,
    mark_plate,
    open_plate,
    well_name,
)

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.images.image import Version

VERSIONS: tuple[Version, ...] = ("0.4", "0.5")
NAMES = st.text("abcXYZ019", min_size=1, max_size=4)


@st.composite
def layouts(draw: st.DrawFn) -> PlateLayout:
    """Return any layout that OME-Zarr allows."""
    numbers = draw(st.lists(st.integers(0, 9), unique=True, max_size=3))
    rows, columns = (draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)) for _ in range(2))
    places = draw(
        st.lists(st.tuples(st.sampled_from(rows), st.sampled_from(columns)), min_size=1, max_size=6, unique=True)
    )
    of_which = st.sampled_from([None, *numbers])
    wells = []
    for row, column in places:
        names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
        fields = tuple(Field(path=name, acquisition=draw(of_which)) for name in names)
        wells.append(Well(path=f"{row}/{column}", fields=fields))
    return PlateLayout(
        name=draw(st.text(min_size=1, max_size=5)),
        rows=tuple(rows),
        columns=tuple(columns),
        wells=tuple(wells),
        acquisitions=tuple(Acquisition(id=n, name=f"day {n}", maximum_field_count=3, start_time=n) for n in numbers),
    )


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=25)
@given(layout=layouts())
def test_any_layout_comes_back_and_is_valid(
    tmp_path_factory: pytest.TempPathFactory, version: Version, layout: PlateLayout
) -> None:
    folder = tmp_path_factory.mktemp("plates") / "plate.zarr"
    made = create_plate(folder, layout, version=version)
    found = open_plate(folder)
    assert found.layout == made.layout == layout
    assert found.version == version
    assert not found.left_out
    group = zarr.open_group(folder, mode="r")
    hcs = HCS5.from_zarr(group) if version == "0.5" else HCS4.from_zarr(group)
    assert hcs.n_wells == len(layout.wells)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plate_with_its_images_is_valid_and_comes_back(tmp_path: Path, version: Version) -> None:
    plate = write_plate(tmp_path / "plate.zarr", version=version)
    found = open_plate(tmp_path / "plate.zarr")
    assert found == plate
    assert set(field_states(found).values()) == {"whole"}
    for number, path in enumerate(found.fields):
        image = found.open_field(path)
        assert image.version == version
        assert np.array_equal(voxels(found, path), pixels_of(number))
    group = zarr.open_group(tmp_path / "plate.zarr", mode="r")
    hcs: Any = HCS5.from_zarr(group) if version == "0.5" else HCS4.from_zarr(group)
    assert sum(1 for _ in hcs.well_groups) == len(WELLS)


def test_wells_and_fields_can_be_added_and_nothing_else_is_touched(tmp_path: Path) -> None:
    layout = PlateLayout.of_wells("plate", WELLS)
    some = create_plate(tmp_path / "plate.zarr", layout.of_fields(["A/1/1"]))
    write_field(some, "A/1/1", pixels_of(1))
    before = (tmp_path / "plate.zarr/A/1/1/zarr.json").stat().st_mtime_ns
    whole = create_plate(tmp_path / "plate.zarr", layout, mode="resume")
    assert sorted(whole.fields) == sorted(layout.fields)
    assert open_plate(tmp_path / "plate.zarr").layout == whole.layout
    assert field_states(whole)["A/1/1"] == "whole"
    assert (tmp_path / "plate.zarr/A/1/1/zarr.json").stat().st_mtime_ns == before
    again = create_plate(tmp_path / "plate.zarr", layout, mode="resume")
    assert again.layout == whole.layout


def test_what_is_there_is_refused(tmp_path: Path) -> None:
    layout = PlateLayout.of_wells("plate", WELLS)
    create_plate(tmp_path / "plate.zarr", layout)
    with pytest.raises(OutputError, match="already exists"):
        create_plate(tmp_path / "plate.zarr", layout)
    with pytest.raises(OutputError, match=r"of OME-Zarr 0\.5, to which wells of 0\.4"):
        create_plate(tmp_path / "plate.zarr", layout, mode="resume", version="0.4")
    assert create_plate(tmp_path / "plate.zarr", layout, mode="overwrite", version="0.4").version == "0.4"
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.txt").write_text("mine")
    foreign = zarr.create_group(tmp_path / "foreign.zarr")
    foreign.attrs["ome"] = {"version": "0.5", "plate": {}}
    for name, words in (("papers", "is no plate; scalesr will not"), ("foreign.zarr", "no plate that scalesr wrote")):
        for mode in ("overwrite", "resume"):
            with pytest.raises(OutputError, match=words):
                create_plate(tmp_path / name, layout, mode=mode)
    assert (tmp_path / "papers" / "thesis.txt").read_text() == "mine"


def test_a_plate_that_was_killed_while_it_was_made_is_made_again(tmp_path: Path) -> None:
    layout = PlateLayout.of_wells("plate", WELLS)
    folder = tmp_path / "plate.zarr"
    folder.mkdir()
    (folder / "zarr.json.1234.partial").write_text("{")
    assert create_plate(folder, layout).layout == layout
    (folder / "A" / "1" / "zarr.json").unlink()
    assert create_plate(folder, layout, mode="resume").layout.of_fields(layout.fields).fields
    assert set(open_plate(folder).fields) == set(layout.fields)


@pytest.mark.parametrize(
    ("wells", "words"),
    [
        ({"A/1": ("0_sr",)}, "well A/1 has a field named '0_sr'"),
        ({"A/1": ("0", "0")}, "well A/1 has a field named '0' more than once"),
        ({"A-1/1": ("0",)}, "has a row named 'A-1'"),
        ({"A": ("0",)}, "has a row named ''"),
        ({"A/1": ()}, "A/1 has no fields"),
        ({}, "has no wells"),
    ],
)
def test_what_ome_zarr_does_not_allow_is_refused_before_anything_is_written(
    tmp_path: Path, wells: Any, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        create_plate(tmp_path / "plate.zarr", PlateLayout.of_wells("plate", wells))
    assert not (tmp_path / "plate.zarr").exists()


def test_a_field_of_an_unknown_acquisition_is_refused(tmp_path: Path) -> None:
    layout = PlateLayout.of_wells("plate", {"A/1": ("0",)})
    well = Well(path="A/1", fields=(Field(path="0", acquisition=7),))
    strange = replace(layout, wells=(well,), acquisitions=(Acquisition(id=1),))
    with pytest.raises(InputError, match="of the acquisition 7"):
        create_plate(tmp_path / "plate.zarr", strange)


def test_the_state_of_a_plate(tmp_path: Path) -> None:
    plate = create_plate(tmp_path / "plate.zarr", PlateLayout.of_wells("plate", WELLS))
    assert plate.metadata["scalesr"]["state"] == "running"
    assert mark_plate(plate, state="done").metadata == open_plate(tmp_path / "plate.zarr").metadata


@given(
    row=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=2),
    column=st.integers(1, 48),
    between=st.sampled_from(["", "/", "-", "_", " "]),
    zeros=st.integers(0, 2),
    lower=st.booleans(),
)
def test_all_spellings_of_a_well_are_one_name(row: str, column: int, between: str, zeros: int, lower: bool) -> None:  # noqa: FBT001
    text = f"{row}{between}{'0' * zeros}{column}"
    assert well_name(text.lower() if lower else text) == f"{row}{column}"


@pytest.mark.parametrize("text", ["", "A", "12", "A0", "A1B", "1/A", "A/1/0", "A 1 2"])
def test_what_is_no_name_of_a_well(text: str) -> None:
    assert well_name(text) is None
