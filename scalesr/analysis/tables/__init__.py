"""Tables with one row for each object, column by column, and the files that other programs read them from."""

from __future__ import annotations

from scalesr.analysis.tables.annotated import to_anndata, write_anndata
from scalesr.analysis.tables.object_table import ObjectTable
from scalesr.analysis.tables.parquet import read_parquet, write_parquet

__all__ = ["ObjectTable", "read_parquet", "to_anndata", "write_anndata", "write_parquet"]
