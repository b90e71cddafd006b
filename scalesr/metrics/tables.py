"""A measurement as tables for other programs: CSV, Parquet, and a dataset of xarray."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import Counter
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scalesr.errors import OutputError
from scalesr.images import Files, Location

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from types import ModuleType

    import xarray
    from numpy.typing import NDArray

    from scalesr.metrics.measure import Measure
    from scalesr.metrics.measurement import Measurement

Mode = Literal["create", "overwrite"]
"""What happens to a file that is there: ``create`` refuses, ``overwrite`` replaces it."""
COLUMNS = ("metric", "kind", "band", "where", "value", "unit", "n", "left_out", "note")
"""Columns of the tables."""


def check_new(path: str | os.PathLike[str], *, mode: Mode) -> None:
    """Refuse a file that exists, unless it may be replaced.

    Raises
    ------
    OutputError
        The file exists and the mode is ``create``, or it is a folder.
    """
    location = Location.parse(path)
    system, inner = location.filesystem()
    if system.isdir(inner):
        raise OutputError(f"{location} is a folder.", remedy="Name a file in it.")
    if mode == "create" and system.exists(inner):
        raise OutputError(f"{location} already exists.", remedy="Choose another name, or replace it with --overwrite.")


def check_packages(kind: Literal["parquet", "xarray"]) -> None:
    """Refuse what needs a package that is not installed.

    Raises
    ------
    OutputError
        The package is absent.
    """
    name, words = {"parquet": ("pyarrow", "A Parquet file"), "xarray": ("xarray", "A dataset")}[kind]
    if find_spec(name) is None:
        raise OutputError(
            f"{words} needs the package {name}, which is not installed.",
            remedy='Install it: pip install "scalesr[tables]".',
        )


def write_csv(measurement: Measurement, path: str | os.PathLike[str], *, mode: Mode) -> None:
    """Write the figures as CSV in UTF-8, one line each; see `Measurement.to_csv`."""
    check_new(path, mode=mode)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for m in measurement.measures:
        value = "" if m.value is None else repr(float(m.value))
        left = "; ".join(f"{count} {reason}" for reason, count in m.left_out.items())
        writer.writerow((m.metric, m.kind, m.band or "", m.where, value, m.unit, m.n, left, m.note))
    _put(path, stream.getvalue().encode())


def write_parquet(measurement: Measurement, path: str | os.PathLike[str], *, mode: Mode) -> None:
    """Write the figures as Parquet; see `Measurement.to_parquet`."""
    check_packages("parquet")
    check_new(path, mode=mode)
    import pyarrow as pa  # noqa: PLC0415 an extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    kinds = dict.fromkeys(COLUMNS, pa.string()) | {
        "value": pa.float64(),
        "n": pa.int64(),
        "left_out": pa.map_(pa.string(), pa.int64()),
    }
    document = measurement.to_json()
    del document["figures"]
    schema = pa.schema(list(kinds.items()), metadata={"scalesr": json.dumps(document)})
    columns: dict[str, list[Any]] = {name: [getattr(m, name) for m in measurement.measures] for name in COLUMNS}
    columns["left_out"] = [list(m.left_out.items()) for m in measurement.measures]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=schema), sink)
    _put(path, sink.getvalue().to_pybytes())


def dataset_of(measurement: Measurement) -> xarray.Dataset:
    """Return the figures as a dataset; see `Measurement.to_xarray`."""
    check_packages("xarray")
    import xarray as xr  # noqa: PLC0415 an extra

    groups: dict[tuple[str, str, bool], list[Measure]] = {}
    for m in measurement.measures:
        groups.setdefault((m.metric, m.kind, m.band is not None), []).append(m)
    keys = _keys(measurement.measures)
    coordinates = {
        "band": list(dict.fromkeys(band for band, _ in keys if band)),
        "where": list(dict.fromkeys(where for _, where in keys)),
    }
    variables: dict[str, xarray.DataArray] = {}
    for (metric, kind, banded), group in groups.items():
        # Some metrics give a figure of all bands and those of each under one name.
        ending = " by band" if banded and (metric, kind, False) in groups else ""
        name = re.sub(r"\W+", "_", f"{metric} {kind}{ending}").strip("_")
        while name in variables:
            name += "_"
        variables[name] = _variable(group, coordinates, xr)
    document = measurement.to_json()
    facts = {key: document[key] for key in ("output", "reference", "measured") if document[key] is not None}
    texts = {key: json.dumps(document[key]) for key in ("frame", "settings", "versions")}
    return xr.Dataset(variables, attrs=facts | texts | {"notes": "\n".join(measurement.notes)})


def _variable(group: Sequence[Measure], coordinates: Mapping[str, list[str]], xr: ModuleType) -> xarray.DataArray:
    """Return the figures of one kind, along all bands and places of the dataset where they have any."""
    has = {"band": any(m.band is not None for m in group), "where": any(m.where for m in group)}
    own = {axis: names for axis, names in coordinates.items() if has[axis]}
    shape = tuple(len(names) for names in own.values())
    values = np.full(shape, math.nan)
    counts = np.zeros(shape, np.int64)
    left: dict[str, NDArray[np.int64]] = {}
    notes = []
    for (band, where), measure in zip(_keys(group), group, strict=True):
        key = {"band": band, "where": where}
        place = tuple(names.index(key[axis]) for axis, names in own.items())
        values[place] = math.nan if measure.value is None else measure.value
        counts[place] = measure.n
        for reason, count in measure.left_out.items():
            left.setdefault(reason, np.zeros(shape, np.int64))[place] = count
        if measure.note:
            notes.append(": ".join(filter(None, (where, band, measure.note))))
    units = {m.unit for m in group if m.unit}
    attributes: dict[str, Any] = {
        "metric": group[0].metric,
        "kind": group[0].kind,
        "units": units.pop() if len(units) == 1 else "1",
        # Attributes of file formats are numbers in a row, or one text.
        "n": counts.ravel().tolist() if shape else int(counts),
        "left_out": json.dumps({reason: count.ravel().tolist() for reason, count in left.items()}),
        "notes": "\n".join(notes),
    }
    array: xarray.DataArray = xr.DataArray(values, coords=own, dims=tuple(own), attrs=attributes)
    return array


def _keys(measures: Sequence[Measure]) -> list[tuple[str, str]]:
    """Return band and place of each figure; bands of the same name are told apart by a number."""
    seen: Counter[tuple[str, ...]] = Counter()
    keys = []
    for measure in measures:
        key = (measure.metric, measure.kind, measure.band or "", measure.where)
        seen[key] += 1
        again = f" ({seen[key]})" if measure.band is not None and seen[key] > 1 else ""
        keys.append((f"{measure.band or ''}{again}", measure.where))
    return keys


def _put(path: str | os.PathLike[str], content: bytes) -> None:
    location = Location.parse(path)
    if location.path is not None:
        Files(str(location.path.parent)).put(location.path.name, content)
    else:
        folder, _, name = location.url.rpartition("/")
        Files(folder).put(name, content)
