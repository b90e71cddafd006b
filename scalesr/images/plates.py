"""Plates: wells in rows and columns, and the fields of view in them, each of which is an image."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

from scalesr.errors import InputError, ScalesrError
from scalesr.images.files import Files
from scalesr.images.locations import Location
from scalesr.images.opening import ome_attributes, open_group, open_image
from scalesr.images.plate_facts import plate_facts
from scalesr.images.plate_layout import (
    PlateLayout,
    Well,
    completed,
    parse_acquisitions,
    parse_fields,
    parse_names,
    parse_paths,
    well_name,
)
from scalesr.images.showing import Section, Sheet, Shown, counted
from scalesr.images.thumbnail import thumbnail
from scalesr.secrecy import without_secrets

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from scalesr.images.image import Image, Version

FieldState = Literal["whole", "begun", "absent"]
"""An image; what a run has not finished, or that is no image; or nothing."""

_READERS = 16
_SHOWN = 5
_ROWS, _COLUMNS = 16, 24
_REMEDY = "Copy the plate again, or take the well out of plate/wells."


@dataclass(frozen=True, kw_only=True, repr=False)
class Plate(Shown):
    """An OME-Zarr plate: what it and its wells say of themselves. Fields are paths until one is opened.

    There is no open handle in it, so that it travels cheaply to a worker. In a notebook it shows itself with a map of
    its wells and a small picture of its first field.
    """

    url: str
    """Absolute local path or URL of the plate's group."""
    version: Version
    """Version of OME-Zarr."""
    layout: PlateLayout
    """Rows, columns, acquisitions, and wells with their fields."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Wells that the plate lists and that are not in the layout, by path, with the reason: absent, damaged, empty."""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """All attributes of the plate's group as they were stored."""
    storage_options: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    """What fsspec needs to open `url`."""

    @property
    def name(self) -> str:
        """The plate's own name, or the last part of its address."""
        return self.layout.name

    @property
    def wells(self) -> tuple[Well, ...]:
        """The wells that have fields, in the order of the plate."""
        return self.layout.wells

    @property
    def fields(self) -> tuple[str, ...]:
        """Paths of all fields below the plate, such as ``B/3/0``, well by well."""
        return self.layout.fields

    def location(self, path: str) -> Location:
        """Return the place of a field or a well."""
        return Location(self.url, self.storage_options) / path

    def open_field(self, path: str) -> Image:
        """Open one field; only metadata is read.

        Raises
        ------
        InputError
            The plate has no such field, it is not there, or is no image.
        """
        if path not in self.fields:
            raise InputError(f"The plate {self.url} has no field {path}.", remedy=f"Name one such as {self.fields[0]}.")
        return open_image(self.location(path).url, storage_options=self.storage_options)

    def unusable(self, *patterns: str) -> dict[str, str]:
        """Return those wells of `left_out` that patterns name, with the reason; all of them without a pattern."""
        return {
            path: reason
            for path, reason in self.left_out.items()
            if not patterns or any(_fits(f"{path}/0", pattern) for pattern in patterns)
        }

    def select(self, *patterns: str) -> tuple[str, ...]:
        """Return the fields that patterns name, in the order of the plate; all of them without a pattern.

        Parameters
        ----------
        patterns
            A well (``B/3``, ``B3``, ``B03``), a field (``B/3/0``), or either with ``*``, ``?`` and ``[...]``: ``B/*``
            is row B, ``*/3/*`` column 3, ``*/0`` the field 0 of every well.

        Raises
        ------
        InputError
            A pattern fits no field.
        """
        if not patterns:
            return self.fields
        kept: set[str] = set()
        for pattern in patterns:
            found = [path for path in self.fields if _fits(path, pattern)]
            for reason in () if found else self.unusable(pattern).values():
                raise InputError(reason, remedy=_REMEDY)
            if not found:
                shown = ", ".join(self.fields[:_SHOWN])
                raise InputError(
                    f"No field of the plate {self.url} fits {pattern!r}.",
                    remedy=f"Its {len(self.fields):,} fields are {shown}, ...; B/* is all of row B.",
                )
            kept.update(found)
        return tuple(path for path in self.fields if path in kept)

    def __repr__(self) -> str:
        return f"Plate({self._title()}; {without_secrets(self.url)})"

    def _repr_html_(self) -> str:
        try:
            picture = thumbnail(self.open_field(self.fields[0]))
        except (ScalesrError, OSError):
            picture = None
        if picture is not None:
            picture = replace(picture, caption=f"field {self.fields[0]}, {picture.caption}")
        return self._sheet().html(picture)

    def _title(self) -> str:
        return f"{self.name}: {counted(len(self.wells), 'well')}, {counted(len(self.fields), 'field')}"

    def _sheet(self) -> Sheet:
        facts = [(name, without_secrets(words)) for name, words in plate_facts(self)]
        sections = [Section(rows=facts)]
        if len(self.layout.rows) <= _ROWS and len(self.layout.columns) <= _COLUMNS:
            count = {well.path: str(len(well.fields)) for well in self.wells}
            rows = [(row, *(count.get(f"{row}/{one}", "") for one in self.layout.columns)) for row in self.layout.rows]
            sections.append(Section(title="fields of each well", headers=("", *self.layout.columns), rows=rows))
        return Sheet(title=self._title(), sections=sections)


def is_plate(url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> bool:
    """Say whether a place holds an OME-Zarr plate; one small file is read.

    Raises
    ------
    InputError
        There is nothing, or it is not Zarr.
    """
    group, version = open_group(Location.parse(url, storage_options))
    return isinstance(ome_attributes(dict(group.attrs), version).get("plate"), dict)


def open_plate(url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> Plate:
    """Open an OME-Zarr 0.4 or 0.5 plate; the metadata of plate and wells is read, several wells at a time.

    No field is looked at, so it is quick for thousands of them. A well that is listed and cannot be used is told in
    `Plate.left_out`; the rest of the plate can.

    Parameters
    ----------
    url
        Local path or any URL that fsspec knows.
    storage_options
        Credentials and the like, handed to fsspec.

    Raises
    ------
    InputError
        There is no plate, it lists no wells, or none of them can be used.
    """
    location = Location.parse(url, storage_options)
    group, version = open_group(location)
    attributes = dict(group.attrs)
    plate = ome_attributes(attributes, version).get("plate")
    if not isinstance(plate, dict):
        raise InputError(f"{location} is not a plate.", remedy="Name the group that has plate metadata.")
    paths = parse_paths(plate.get("wells"), problem=f"{location} has a well without a usable path.")
    if not paths:
        raise InputError(
            f"The plate {location} lists no wells.", remedy="Name them under plate/wells, or copy its metadata again."
        )
    paths = list(dict.fromkeys(paths))
    files = Files(location.url, location.options)
    with ThreadPoolExecutor(min(_READERS, len(paths))) as pool:
        found = list(pool.map(lambda path: _well(files, location, path, version), paths))
    wells = tuple(well for well in found if isinstance(well, Well))
    left = {path: reason for path, reason in zip(paths, found, strict=True) if isinstance(reason, str)}
    if not wells:
        raise InputError(next(iter(left.values())), remedy=_REMEDY)
    rows, columns = completed(parse_names(plate.get("rows")), parse_names(plate.get("columns")), wells)
    name = plate.get("name")
    return Plate(
        url=location.url,
        version=version,
        layout=PlateLayout(
            name=name if isinstance(name, str) and name else location.url.split("::")[0].rsplit("/", 1)[-1],
            rows=rows,
            columns=columns,
            wells=wells,
            acquisitions=parse_acquisitions(plate.get("acquisitions"), where=f"The plate {location}"),
        ),
        left_out=left,
        metadata=attributes,
        storage_options=location.options,
    )


def open_any(
    url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None, series: int | None = None
) -> Image | Plate:
    """Open what a place holds, an image or a plate; only metadata is read. See `open_image` and `open_plate`.

    Raises
    ------
    InputError
        It holds neither, or one that cannot be used.
    """
    try:
        return open_image(url, storage_options=storage_options, series=series)
    except InputError as error:
        try:
            plate = is_plate(url, storage_options=storage_options)
        except InputError:
            plate = False
        if not plate:
            raise error from error.__cause__
    return open_plate(url, storage_options=storage_options)


def list_fields(url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Return the fields of an OME-Zarr 0.4 or 0.5 plate as paths below it, such as ``A/1/0``; all wells must be there.

    Parameters
    ----------
    url
        Local path or any URL that fsspec knows.
    storage_options
        Credentials and the like, handed to fsspec.

    Raises
    ------
    InputError
        There is no plate, it lists no wells, or a well that it lists is absent or lists no fields.
    """
    plate = open_plate(url, storage_options=storage_options)
    for reason in plate.left_out.values():
        raise InputError(reason, remedy=_REMEDY)
    return plate.fields


def field_states(plate: Plate) -> dict[str, FieldState]:
    """Return for each field of a plate whether its image is there; one small file of each is read, several at a time.

    Raises
    ------
    InputError
        A file cannot be read.
    """
    files = Files(plate.url, plate.storage_options)
    with ThreadPoolExecutor(_READERS) as pool:
        states = list(pool.map(lambda path: _state(files, path, plate.version), plate.fields))
    return dict(zip(plate.fields, states, strict=True))


def group_attributes(files: Files, path: str, version: Version) -> dict[str, Any] | None:
    """Return the attributes of a Zarr group below a place by reading its one small file; ``None`` where there is none.

    Opening it as a group takes ten times as long, which shows when there are thousands.

    Raises
    ------
    ValueError
        The file is damaged.
    """
    below = f"{path}/" if path else ""
    content = files.get(f"{below}zarr.json" if version == "0.5" else f"{below}.zattrs")
    if content is None:
        return None
    values = json.loads(content)
    found = values.get("attributes", {}) if version == "0.5" else values
    if not isinstance(found, dict):
        raise ValueError("its attributes are no mapping")  # noqa: TRY004 what a file says is a value
    return found


def _well(files: Files, plate: Location, path: str, version: Version) -> Well | str:
    """Return a well, or why it cannot be used."""
    listed = f"The plate {plate} lists the well {path}, which cannot be opened"
    try:
        attributes = group_attributes(files, path, version)
    except (ValueError, OSError) as error:
        return f"{listed}: {error}."
    if attributes is None:
        return f"{listed}: it is not there."
    well = ome_attributes(attributes, version).get("well")
    raw = well.get("images") if isinstance(well, dict) else None
    try:
        fields = parse_fields(raw, problem=f"The well {path} of {plate} has a field without a usable path.")
    except InputError as error:
        return error.problem
    if not fields:
        return f"The well {path} of the plate {plate} lists no fields."
    return Well(path=path, fields=fields)


def _state(files: Files, path: str, version: Version) -> FieldState:
    try:
        attributes = group_attributes(files, path, version)
    except ValueError:
        return "begun"
    if attributes is None:
        return "absent"
    own = attributes.get("scalesr")
    finished = not isinstance(own, dict) or own.get("state") == "done"
    return "whole" if finished and "multiscales" in ome_attributes(attributes, version) else "begun"


def _fits(path: str, pattern: str) -> bool:
    well, _, _ = path.rpartition("/")
    wanted = pattern.strip("/")
    named = well_name(wanted)
    return fnmatchcase(path, wanted) or fnmatchcase(well, wanted) or (named is not None and named == well_name(well))
