"""Tables of objects: matched by label, written and read without loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from scalesr.analysis.tables import ObjectTable, read_parquet, to_anndata, write_anndata, write_parquet
from scalesr.analysis.tables.object_table import matched, stacked
from scalesr.errors import InputError, OutputError, PlanError

if TYPE_CHECKING:
    from pathlib import Path


def table() -> ObjectTable:
    return ObjectTable(
        columns={
            "label": np.array([3, 9, 4]),
            "area": np.array([10, 20, 30]),
            "centroid-0": np.array([1.0, 2.0, 3.0]),
            "centroid-1": np.array([4.0, 5.0, 6.0]),
            "mean": np.array([0.5, np.nan, 0.25]),
            "touches_edge": np.array([True, False, False]),
            "well": np.array(["A1", "A1", "B2"]),
        },
        left_out={"cut": 2},
        notes=("mind this",),
    )


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_parquet(table(), tmp_path / "t.parquet")
    found = read_parquet(tmp_path / "t.parquet")
    assert list(found.columns) == list(table().columns)
    for name, values in table().columns.items():
        np.testing.assert_array_equal(found[name], values)
    assert (found.left_out, found.notes) == ({"cut": 2}, ("mind this",))
    with pytest.raises(OutputError, match="exists"):
        write_parquet(table(), tmp_path / "t.parquet")
    write_parquet(table(), tmp_path / "t.parquet", mode="overwrite")
    with pytest.raises(InputError, match="does not exist"):
        read_parquet(tmp_path / "other.parquet")
    (tmp_path / "text").write_text("no table")
    with pytest.raises(InputError, match="no Parquet"):
        read_parquet(tmp_path / "text")


def test_tables_are_joined_by_label() -> None:
    other = ObjectTable(columns={"label": np.array([4, 5, 3]), "spots": np.array([1, 2, 7]), "area": np.zeros(3)})
    joined = table().joined(other)
    assert joined.labels.tolist() == [3, 4]
    assert joined["spots"].tolist() == [7, 1]
    assert joined["area"].tolist() == [10, 30]
    assert joined.left_out == {"cut": 2, "objects of the first table alone": 1, "objects of the second table alone": 1}
    assert table().where(table()["area"] > 10, reason="small").left_out == {"cut": 2, "small": 1}
    assert table().with_columns({"plate": "p1"})["plate"].tolist() == ["p1"] * 3
    both = stacked([table(), table()])
    assert both.labels.tolist() == [1, 2, 3, 4, 5, 6]
    assert both["label in image"].tolist() == [3, 9, 4] * 2
    assert both.left_out == {"cut": 4}


def test_objects_of_plates_are_matched_by_field_and_own_label() -> None:
    def field(name: str, labels: list[int]) -> ObjectTable:
        columns = {"label": np.array(labels), "area": np.array(labels) * 10}
        return ObjectTable(columns=columns).with_columns({"well": "A1", "field": name})

    whole = stacked([field("0", [1, 2, 3]), field("1", [1, 2])])
    # The other lacks an object, and so numbers those after it otherwise; its fields come in another order.
    other = stacked([field("1", [2, 1]), field("0", [3, 1])])
    one, two = matched(whole, other)
    assert one.labels.tolist() == two.labels.tolist() == [1, 3, 4, 5]
    assert one["area"].tolist() == two["area"].tolist() == [10, 30, 10, 20]
    joined = whole.joined(other)
    assert joined.left_out == {"objects of the first table alone": 1}
    bare = ObjectTable(columns={"label": np.array([2, 9]), "area": np.array([1, 1])})
    assert matched(whole, bare)[0].labels.tolist() == [2]
    assert whole.noted("one", "two").notes == ("one", "two")


def test_rows_and_frames_show_the_columns() -> None:
    assert table().rows()[0]["area"] == 10
    assert table().to_frame()["mean"].isna().sum() == 1
    assert table().features == ("area", "centroid-0", "centroid-1", "mean")


def test_bad_tables_are_refused() -> None:
    with pytest.raises(InputError, match="more than one row"):
        ObjectTable(columns={"label": np.array([1, 1])})
    with pytest.raises(ValueError, match="begins with"):
        ObjectTable(columns={"area": np.array([1, 1])})
    with pytest.raises(InputError, match="no column 'mass'"):
        table()["mass"]
    with pytest.raises(InputError, match="different columns"):
        stacked([])


def test_anndata_has_features_beside_what_is_known_of_objects(tmp_path: Path) -> None:
    pytest.importorskip("anndata")
    made = to_anndata(table())
    assert list(made.var_names) == ["area", "mean"]
    assert list(made.obs_names) == ["3", "9", "4"]
    assert list(made.obs["well"]) == ["A1", "A1", "B2"]
    np.testing.assert_array_equal(made.obsm["spatial"][0], [4, 1])
    np.testing.assert_array_equal(made.X[:, 0], [10, 20, 30])
    write_anndata(table(), tmp_path / "t.h5ad")
    assert (tmp_path / "t.h5ad").stat().st_size > 0


def test_anndata_needs_its_package_and_a_local_file(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match="no local file"):
        write_anndata(table(), "memory://t.h5ad")
    monkeypatch.setattr("scalesr.analysis.packages.find_spec", lambda _: None)
    with pytest.raises(PlanError, match="anndata"):
        to_anndata(table())
