"""A measurement as text, HTML, JSON, CSV, Parquet and a dataset."""

from __future__ import annotations

import csv
import importlib.util
import json
import math
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray
from hypothesis import given
from hypothesis import strategies as st

from scalesr.errors import OutputError
from scalesr.metrics import Frame, Measure, Measurement, Settings
from scalesr.metrics.rows import number_text
from scalesr.metrics.tables import COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

BANDS = ("DAPI", "GFP", "[red]<b>")
FRAME = Frame(
    bands=3,
    band_names=BANDS,
    shape=(64, 96),
    pixel_size=(0.5, 0.25),
    unit="micrometer",
    dtype="uint16",
    cell=(64, 96),
    has_reference=True,
    has_measured=False,
    ratio=(Fraction(1), Fraction(48, 13)),
)
PSNR = (
    Measure(metric="psnr", kind="mean of bands", value=31.23456789, unit="dB", n=18432, note="<i>one</i>"),
    *(
        Measure(metric="psnr", kind="band", value=value, unit="dB", n=6144, band=band, left_out={"border": 1234})
        for band, value in zip(BANDS, (29.0, math.inf, 33.5), strict=True)
    ),
)
PEARSON = Measure(metric="pearson", kind="mean of bands", value=None, n=0, note="all pixels are equal")
FRC = Measure(metric="frc", kind="resolution 1/7", value=0.71234, unit="micrometer", n=4, left_out={"cut tiles": 2})


def made(*measures: Measure, **changes: Any) -> Measurement:
    """Return a measurement that nobody made."""
    facts: dict[str, Any] = {"frame": FRAME, "settings": Settings(data_range=4095.0), "output": "/data/out.zarr"}
    return Measurement(measures=measures or (*PSNR, PEARSON, FRC), **(facts | changes))


def test_a_figure_is_found_by_what_it_is_of() -> None:
    found = made()
    assert found.value("psnr") == 31.23456789
    assert found.value("psnr", "band", band="GFP") == math.inf
    assert found.value("pearson") is None
    assert found.find("pearson").note == "all pixels are equal"
    with pytest.raises(KeyError, match="no figures of 'sam'; there are: psnr, pearson, frc"):
        found.value("sam")
    with pytest.raises(KeyError, match="kinds: 'mean of bands', 'band'; bands: 'DAPI', 'GFP'"):
        found.value("psnr", band="Cy5")


def test_headlines_come_first_and_bands_are_folded() -> None:
    rows = made().table()
    assert [(row.metric, row.rank) for row in rows] == [
        ("psnr", "headline"),
        ("pearson", "headline"),
        ("frc", "headline"),
        ("psnr", "detail"),
    ]
    folded = rows[-1]
    assert folded.figure == "band: min, median, max of 3 bands"
    assert folded.value == "[29.00, 33.50, infinite] dB"
    assert folded.n == "6,144 each"
    assert folded.left_out == "3,702 border"
    assert rows[1].value == "undefined"
    assert rows[1].notes == ("all pixels are equal",)
    each = made().table(bands="each")
    assert [row.figure for row in each[3:]] == ["band DAPI", "band GFP", "band [red]<b>"]
    assert each[3].left_out == "1,234 border"


def test_undefined_bands_do_not_hide_in_a_fold() -> None:
    bands = [
        Measure(metric="sam", kind="band", value=value, unit="degree", n=n, band=str(n), note="" if value else "zero")
        for n, value in enumerate((1.0, None, 3.0, 2.0))
    ]
    (row,) = made(*bands).table()
    assert row.value == "[1, 2, 3] degree"
    assert row.n == "0 to 3"
    assert row.notes == ("zero (1 of 4)", "1 of 4 are undefined and not among these three")
    (none,) = made(*(replace(band, value=None) for band in bands)).table()
    assert none.value == "undefined"
    assert none.notes == ("zero (1 of 4)",)


def test_what_several_notes_say_is_said_once() -> None:
    head = replace(PSNR[0], note="beware; identical")
    text = str(made(head, replace(PEARSON, note="all pixels are equal; beware")))
    assert text.splitlines()[-3:] == ["(1) beware", "(2) identical", "(3) all pixels are equal"]
    assert [line.split()[-2:] for line in text.splitlines()[2:4]] == [["1,", "2"], ["3,", "1"]]


def test_planes_are_folded_apart_from_the_whole_image_and_from_bands() -> None:
    planes = [measure.placed(f"z={z}") for z in range(5) for measure in PSNR]
    found = made(*PSNR, *planes)
    assert [(row.rank, row.figure) for row in found.table()] == [
        ("headline", "mean of bands"),
        ("detail", "band: min, median, max of 3 bands"),
        ("detail", "mean of bands: min, median, max of 5 planes"),
        ("detail", "band: min, median, max of 3 bands in 5 planes"),
    ]
    assert len(found.table(bands="each", places="each")) == 4 + 20
    assert len(found.table(places="each")) == 2 + 10
    assert {row.where for row in found.table(places="each")} == {"", *(f"z={z}" for z in range(5))}


def test_fields_become_one_measurement() -> None:
    note = "The images are 1 px apart."
    fields = {
        "A/1/0": made(*PSNR, PEARSON, notes=(note,), seconds=1.0, maps={"frc": "/m/A/1/0/frc.ome.zarr"}),
        "B/2/0": made(*PSNR, PEARSON.placed("t=1"), notes=(note, "Odd."), seconds=2.0, bad_chunks=("0/0",)),
    }
    plate = Measurement.of_fields(fields, output="/plate", reference="/truth")
    assert (plate.output, plate.reference, plate.measured, plate.seconds) == ("/plate", "/truth", None, 3.0)
    assert plate.value("psnr", where="B/2/0") == 31.23456789
    assert plate.find("pearson", where="B/2/0, t=1").note == PEARSON.note
    assert plate.maps == {"A/1/0 frc": "/m/A/1/0/frc.ome.zarr"}
    assert plate.bad_chunks == ("B/2/0/0/0",)
    assert plate.notes == (note, "B/2/0: Odd.")
    head = plate.table()[0]
    assert (head.rank, head.figure) == ("headline", "mean of bands: min, median, max of 2 fields")
    fields["B/2/0"] = replace(fields["B/2/0"], frame=replace(FRAME, shape=(8, 8)))
    assert "Fields differ" in Measurement.of_fields(fields, output="/plate").notes[-1]


def test_the_text_can_be_read_by_people() -> None:
    text = str(made(reference="/data/truth.zarr", notes=("Not quite aligned.",)))
    assert text == repr(made(reference="/data/truth.zarr", notes=("Not quite aligned.",)))
    lines = text.splitlines()
    assert lines[0] == "Figures of /data/out.zarr, compared with /data/truth.zarr"
    assert lines[1].split() == ["metric", "figure", "value", "n", "left", "out", "note"]
    assert "31.23 dB" in lines[2]
    assert lines[2].endswith("1")
    assert "0.7123 micrometer" in text
    assert lines[-3:] == ["(1) <i>one</i>", "(2) all pixels are equal", "Note: Not quite aligned."]
    assert len({line.index("mean") for line in lines[2:4]}) == 1


def test_columns_that_say_nothing_are_left_away() -> None:
    text = str(made(replace(PSNR[0], note="")))
    assert text.splitlines()[1].split() == ["metric", "figure", "value", "n"]


class Balanced(HTMLParser):
    """Notes the tags, and that each one is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_notebook_shows_an_escaped_table_with_caption_and_headers() -> None:
    html = made(output="<script>x</script>", notes=("a < b",))._repr_html_()
    parser = Balanced()
    parser.feed(html)
    assert not parser.open
    assert parser.seen == {"table", "caption", "thead", "tbody", "tr", "th", "td", "strong", "ol", "li", "p"}
    assert "&lt;script&gt;" in html
    assert 'scope="col"' in html
    assert 'scope="row"' in html


def test_json_is_complete_and_comes_back() -> None:
    document = made(notes=("one",), maps={"frc": "/maps/frc.ome.zarr"}).to_json()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["figures"][2]["value"] == "infinite"
    assert document["figures"][1]["left_out"] == {"border": 1234}
    assert document["frame"]["ratio"] == ["1", "48/13"]
    assert document["settings"]["data_range"] == 4095.0
    assert document["maps"] == {"frc": "/maps/frc.ome.zarr"}
    assert {"python", "scalesr", "numpy", "scipy", "torch"} <= set(document["versions"])


def test_csv_has_every_digit_and_a_line_for_each_figure(tmp_path: Path) -> None:
    made().to_csv(tmp_path / "new" / "figures.csv")
    with (tmp_path / "new" / "figures.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(COLUMNS)
    assert len(rows) == len(made().measures)
    assert float(rows[0]["value"]) == 31.23456789
    assert float(rows[2]["value"]) == math.inf
    assert rows[1]["left_out"] == "1234 border"
    assert rows[4]["value"] == ""
    with pytest.raises(OutputError, match="already exists"):
        made().to_csv(tmp_path / "new" / "figures.csv")
    made(FRC).to_csv(tmp_path / "new" / "figures.csv", mode="overwrite")
    assert len((tmp_path / "new" / "figures.csv").read_text().splitlines()) == 2
    with pytest.raises(OutputError, match="is a folder"):
        made().to_csv(tmp_path / "new", mode="overwrite")


def test_csv_goes_to_urls() -> None:
    made().to_csv("memory://measured/figures.csv", mode="overwrite")
    with pytest.raises(OutputError, match="already exists"):
        made().to_csv("memory://measured/figures.csv")


def test_parquet_holds_figures_and_how_they_were_made(tmp_path: Path) -> None:
    made().to_parquet(tmp_path / "figures.parquet")
    table = pq.read_table(tmp_path / "figures.parquet")
    assert table.column_names == list(COLUMNS)
    rows = table.to_pylist()
    assert rows[0]["value"] == 31.23456789
    assert rows[1]["left_out"] == [("border", 1234)]
    assert rows[2]["value"] == math.inf
    assert rows[4]["value"] is None
    document = json.loads(table.schema.metadata[b"scalesr"])
    assert document == {key: value for key, value in made().to_json().items() if key != "figures"}


def test_a_dataset_has_a_variable_for_each_kind() -> None:
    places = [replace(measure, value=float(z)).placed(f"z={z}") for z in (11, 2) for measure in PSNR]
    data = made(*PSNR, PEARSON, FRC, *places).to_xarray()
    assert set(data.data_vars) == {"psnr_mean_of_bands", "psnr_band", "pearson_mean_of_bands", "frc_resolution_1_7"}
    assert data.psnr_band.dims == ("band", "where")
    assert list(data.band.values) == list(BANDS)
    assert list(data["where"].values) == ["", "z=11", "z=2"]
    assert float(data.psnr_band.sel(band="DAPI", where="")) == 29.0
    assert data.psnr_mean_of_bands.dims == ("where",)
    assert float(data.psnr_mean_of_bands.sel(where="z=2")) == 2.0
    assert data.psnr_band.attrs["n"] == [6144] * 9
    assert json.loads(data.psnr_band.attrs["left_out"]) == {"border": [1234] * 9}
    assert data.frc_resolution_1_7.attrs["units"] == "micrometer"
    assert data.pearson_mean_of_bands.attrs["notes"] == "all pixels are equal"
    assert math.isnan(float(data.pearson_mean_of_bands))
    assert all(isinstance(value, str | int | list) for array in data.values() for value in array.attrs.values())
    assert data.attrs["output"] == "/data/out.zarr"
    assert json.loads(data.attrs["settings"])["data_range"] == 4095.0


def test_a_dataset_can_be_stored(tmp_path: Path) -> None:
    made(notes=("one", "two")).to_xarray().to_netcdf(tmp_path / "figures.nc", engine="scipy")
    with xarray.open_dataset(tmp_path / "figures.nc", engine="scipy") as data:
        assert float(data.psnr_mean_of_bands) == 31.23456789
        assert data.attrs["notes"] == "one\ntwo"


def test_all_bands_and_each_may_have_one_kind() -> None:
    found = made(replace(FRC, kind="rmse"), *(replace(FRC, kind="rmse", band=band) for band in BANDS))
    data = found.to_xarray()
    assert data.frc_rmse.dims == ()
    assert data.frc_rmse_by_band.dims == ("band",)
    assert [row.figure for row in found.table(bands="each")][:2] == ["rmse", "rmse, band DAPI"]
    assert found.find("frc", "rmse").band is None


def test_bands_of_the_same_name_stay_apart_in_a_dataset() -> None:
    data = made(*(replace(measure, band="DAPI") for measure in PSNR[1:])).to_xarray()
    assert list(data.band.values) == ["DAPI", "DAPI (2)", "DAPI (3)"]
    np.testing.assert_array_equal(data.psnr_band.values, [29.0, math.inf, 33.5])


@pytest.mark.parametrize("package", ["pyarrow", "xarray"])
def test_an_absent_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("scalesr.metrics.tables.find_spec", lambda name: None if name == package else find(name))
    found = made()
    make = {"pyarrow": lambda: found.to_parquet(tmp_path / "f.parquet"), "xarray": found.to_xarray}[package]
    with pytest.raises(OutputError, match=rf'{package}.* pip install "scalesr\[tables\]"'):
        make()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "dB", "undefined"),
        (math.nan, "", "undefined"),
        (math.inf, "dB", "infinite"),
        (-math.inf, "", "-infinite"),
        (31.23456, "dB", "31.23 dB"),
        (0.0, "", "0"),
        (1.0, "", "1"),
        (0.98765432, "", "0.9877"),
        (0.9987654, "", "0.9988"),
        (0.99998, "", "0.999980"),
        (-0.99998, "", "-0.999980"),
        (0.5, "", "0.5000"),
        (999.96, "", "1000"),
        (123456.7, "", "123,457"),
        (0.00012345, "", "0.0001234"),
        (1.5e-9, "", "1.5e-09"),
        (2.5e9, "", "2.5e+09"),
        (0.7123, "micrometer", "0.7123 micrometer"),
    ],
)
def test_numbers_have_the_digits_that_matter(value: float | None, unit: str, text: str) -> None:
    assert number_text(value, unit) == text


@given(st.floats(-1e300, 1e300))
def test_no_number_is_misread(value: float) -> None:
    text = number_text(value)
    assert float(text.replace(",", "")) == pytest.approx(value, rel=6e-4)
    if 0.99 < abs(value) < 1 - 1e-12:
        assert abs(float(text)) < 1
