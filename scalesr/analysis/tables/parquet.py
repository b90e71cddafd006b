"""Tables of objects as Parquet files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from scalesr.analysis.packages import need
from scalesr.analysis.tables.object_table import ObjectTable
from scalesr.errors import InputError
from scalesr.images import Files, Location
from scalesr.metrics.tables import check_new

if TYPE_CHECKING:
    import os

    from scalesr.metrics.tables import Mode

ROWS = 2**16
"""Rows of a group, which readers can take on their own."""
_KEY = b"scalesr"


def write_parquet(table: ObjectTable, path: str | os.PathLike[str], *, mode: Mode = "create") -> None:
    """Write a table as Parquet; what was left out and the notes travel in the file's metadata.

    Parameters
    ----------
    table
        The table.
    path
        Local path or fsspec URL.
    mode
        ``create`` refuses a file that is there, ``overwrite`` replaces it.

    Raises
    ------
    OutputError
        The file exists, or cannot be written.
    PlanError
        pyarrow is not installed.
    """
    arrow = need("pyarrow", extra="tables", purpose="A Parquet file")
    parquet = need("pyarrow.parquet", extra="tables", purpose="A Parquet file")
    check_new(path, mode=mode)
    facts = json.dumps({"left_out": dict(table.left_out), "notes": list(table.notes)})
    made = arrow.table({name: arrow.array(values) for name, values in table.columns.items()})
    sink = arrow.BufferOutputStream()
    parquet.write_table(made.replace_schema_metadata({_KEY: facts.encode()}), sink, row_group_size=ROWS)
    folder, _, name = Location.parse(path).url.rpartition("/")
    Files(folder).put(name, sink.getvalue().to_pybytes())


def read_parquet(path: str | os.PathLike[str]) -> ObjectTable:
    """Read a table that `write_parquet` wrote, or any other with a column ``label``.

    Raises
    ------
    InputError
        There is no such file, it is no Parquet, or has no labels.
    PlanError
        pyarrow is not installed.
    """
    arrow = need("pyarrow", extra="tables", purpose="A Parquet file")
    parquet = need("pyarrow.parquet", extra="tables", purpose="A Parquet file")
    folder, _, name = Location.parse(path).url.rpartition("/")
    content = Files(folder).get(name)
    if content is None:
        raise InputError(f"{path} does not exist.", remedy="Check the path.")
    try:
        found = parquet.read_table(arrow.BufferReader(content))
    except arrow.ArrowInvalid as error:
        raise InputError(f"{path} is no Parquet file: {error}.", remedy="Name a table of objects.") from error
    facts = json.loads((found.schema.metadata or {}).get(_KEY, b"{}"))
    columns = {column: found[column].to_numpy() for column in found.column_names}
    if "label" not in columns:
        raise InputError(
            f"{path} has the columns {', '.join(columns)} and no labels.", remedy="Name the objects in a column label."
        )
    columns = {"label": columns["label"], **columns}
    return ObjectTable(columns=columns, left_out=facts.get("left_out", {}), notes=tuple(facts.get("notes", ())))
