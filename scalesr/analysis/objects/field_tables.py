"""Measuring the objects of an image, or of all fields of a plate in turn, as one table."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from scalesr.analysis.objects.assay import Assay
from scalesr.analysis.objects.field import Field, NoObjectError, open_label_field
from scalesr.analysis.objects.sites import Missing, Site, Visits, name_in
from scalesr.analysis.objects.telling import steps
from scalesr.analysis.tables.object_table import FIELD, LABEL, WELL, ObjectTable, stacked
from scalesr.analysis.tables.parquet import read_parquet, write_parquet
from scalesr.errors import InputError
from scalesr.images import Files, Location

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scalesr.analysis.cube import Source
    from scalesr.engine import Callback

MEASURING = "measuring fields"
_KEPT = re.compile(r"[0-9a-f]{24}\.parquet")
"""Names of the tables that wait."""


def measure_fields(
    source: Source,
    *,
    labels: Source | None = None,
    name: str | None = None,
    assay: Assay | None = None,
    missing: Missing = "stop",
    kept: str | None = None,
    begin: Literal["anew", "resume"] = "resume",
    callbacks: Sequence[Callback] = (),
    storage_options: Mapping[str, Any] | None = None,
) -> ObjectTable:
    """Measure the objects of an image, or of all fields of a plate, as one table.

    Objects of a plate are numbered anew from 1, in the order of its fields; ``label in image``, ``well`` and ``field``
    say where each comes from. Channels are those of the first field, and are found by name in the others, whatever
    their order there, where they have names. Fields without objects have no rows and are counted in the notes. Memory:
    a block, and the figures of all objects.

    Parameters
    ----------
    source
        OME-Zarr image or plate.
    labels
        Image of labels; for a plate, a folder with the same paths, or a plate whose fields have labels beside them.
        Beside each image when not given.
    name
        Name of labels beside an image, in its folder ``labels``; ``objects`` when neither this nor `labels` is given.
    assay
        What is measured; shape, place and the intensities of all channels when not given.
    missing
        See `Missing`; such fields are counted in the notes.
    kept
        Folder in which the table of each field waits until all are done, so that who was killed goes on with the
        next field. Removed at the end. An image by itself is measured again from its beginning.
    begin
        ``resume`` takes the tables that are kept already, of the same fields, labels and assay; ``anew`` does not.
    callbacks
        Told of each field that is done, or of each block of an image by itself.
    storage_options
        Handed to fsspec, for all images.

    Raises
    ------
    InputError
        There are no images or labels, they do not fit, a field lacks a channel, or there is no object at all.
    PlanError
        pyarrow is needed to keep tables, and is not installed.
    """
    visits, wanted = Visits.of(source, missing=missing, storage_options=storage_options), assay or Assay()
    sites, name = visits.sites, name_in(labels, name, storage_options=storage_options)
    if not sites[0].path:
        place = sites[0].labels(labels, name)
        return wanted.measure(place, source, callbacks=callbacks, storage_options=storage_options)
    tables, named = [], None
    shelf = None if kept is None else _Shelf(kept, begin)
    for site in steps(sites, name=MEASURING, callbacks=callbacks):
        place = site.labels(labels, name)
        try:
            field = Field.open(site.source, storage_options=storage_options)
            open_label_field(place, storage_options=storage_options)
        except InputError as error:
            visits.lacks(site, error)
            continue
        named = named or wanted.of(field)
        identity = f"{site.url} {place} {named}"
        table = None if shelf is None else shelf.taken(identity)
        if table is None:
            try:
                table = named.measure(place, field.image, storage_options=storage_options)
            except NoObjectError:
                visits.empty.append(site.path)
                continue
            if shelf is not None:
                shelf.put(identity, table)
        tables.append(_placed(table, site))
    if not tables:
        raise NoObjectError(
            f"None of the {len(sites)} fields of {source} holds an object.", remedy="Label with a lower threshold."
        )
    whole = stacked(tables).noted(*visits.notes)
    if shelf is not None:
        shelf.clear()
    return whole


def _placed(table: ObjectTable, site: Site) -> ObjectTable:
    """Return a table with the well and the field before its figures."""
    placed = table.with_columns({WELL: site.well, FIELD: site.field})
    return replace(placed, columns={name: placed[name] for name in (LABEL, WELL, FIELD, *table.columns)})


class _Shelf:
    """Tables of fields that are done, each under a name that tells apart what was measured of what."""

    def __init__(self, folder: str, begin: Literal["anew", "resume"]) -> None:
        self._files = Files(Location.parse(folder).url)
        self._begin = begin

    def taken(self, identity: str) -> ObjectTable | None:
        """Return the table of a field, if it is done."""
        if self._begin == "anew" or self._files.get(_key(identity)) is None:
            return None
        return read_parquet(f"{self._files.url}/{_key(identity)}")

    def put(self, identity: str, table: ObjectTable) -> None:
        """Keep the table of a field."""
        write_parquet(table, f"{self._files.url}/{_key(identity)}", mode="overwrite")

    def clear(self) -> None:
        """Remove what was kept, and the folder if nothing else is in it."""
        for key in self._files.list():
            if _KEPT.fullmatch(key):
                self._files.delete(key)
        path = Location.parse(self._files.url).path
        if path is not None:
            with suppress(OSError):
                path.rmdir()


def _key(identity: str) -> str:
    return f"{hashlib.sha256(identity.encode()).hexdigest()[:24]}.parquet"
