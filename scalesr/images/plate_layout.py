"""What a plate consists of, in OME-Zarr's words: wells in rows and columns, their fields, acquisitions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scalesr.images.image import Version

_NAME = re.compile(r"[A-Za-z0-9]+")
_POSITION = re.compile(r"([A-Za-z]+)[\s/_-]*0*([1-9][0-9]*)")
_PROPER = "Use letters and digits alone, as OME-Zarr demands of rows, columns and fields."


@dataclass(frozen=True, kw_only=True)
class Acquisition:
    """One time that a plate was on the microscope."""

    id: int
    """What fields refer to."""
    name: str | None = None
    """Its name."""
    description: str | None = None
    """What was done."""
    maximum_field_count: int | None = None
    """Most fields of a well."""
    start_time: int | None = None
    """Seconds since 1970."""
    end_time: int | None = None
    """Seconds since 1970."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """One field of view of a well: an image."""

    path: str
    """Its path below the well, such as ``0``."""
    acquisition: int | None = None
    """In which acquisition it was taken; ``None`` where the plate does not say."""


@dataclass(frozen=True, kw_only=True)
class Well:
    """One well of a plate, and its fields."""

    path: str
    """Its path below the plate: row, slash, column, such as ``B/3``."""
    fields: tuple[Field, ...]
    """Its fields of view, in its own order."""

    @property
    def row(self) -> str:
        """Name of its row, such as ``B``."""
        return self.path.rpartition("/")[0]

    @property
    def column(self) -> str:
        """Name of its column, such as ``3``."""
        return self.path.rpartition("/")[2]

    @property
    def name(self) -> str:
        """What people call it, such as ``B3``; its path where that is not a letter and a number."""
        return well_name(self.path) or self.path


@dataclass(frozen=True, kw_only=True)
class PlateLayout:
    """All that the metadata of a plate and of its wells say; no field is looked at."""

    name: str
    """Name of the plate."""
    rows: tuple[str, ...]
    """Names of its rows, from the top."""
    columns: tuple[str, ...]
    """Names of its columns, from the left."""
    wells: tuple[Well, ...]
    """Its wells, in the order of the plate."""
    acquisitions: tuple[Acquisition, ...] = ()
    """Its acquisitions, if it tells."""

    @classmethod
    def of_wells(cls, name: str, wells: Mapping[str, Sequence[str]]) -> Self:
        """Return the layout of a plate that has these wells and fields, its rows and columns in the order they come in.

        Parameters
        ----------
        name
            Name of the plate.
        wells
            Paths of fields such as ``0`` by path of the well such as ``B/3``.
        """
        made = tuple(Well(path=path, fields=tuple(Field(path=f) for f in fields)) for path, fields in wells.items())
        rows, columns = completed((), (), made)
        return cls(name=name, rows=rows, columns=columns, wells=made)

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Paths of all fields below the plate, such as ``B/3/0``, well by well."""
        return tuple(f"{well.path}/{field.path}" for well in self.wells for field in well.fields)

    def of_fields(self, paths: Iterable[str]) -> PlateLayout:
        """Return the layout of the same plate with some of its fields, and the wells that they are in."""
        kept = set(paths)
        some = ((well, tuple(f for f in well.fields if f"{well.path}/{f.path}" in kept)) for well in self.wells)
        wells = tuple(Well(path=well.path, fields=fields) for well, fields in some if fields)
        return PlateLayout(
            name=self.name, rows=self.rows, columns=self.columns, wells=wells, acquisitions=self.acquisitions
        )

    def joined(self, other: PlateLayout) -> PlateLayout:
        """Return this layout with what another has beside it; what is in this one comes first."""
        more = {well.path: well for well in other.wells}
        wells = []
        for well in self.wells:
            own = {field.path for field in well.fields}
            added = tuple(f for f in more[well.path].fields if f.path not in own) if well.path in more else ()
            wells.append(Well(path=well.path, fields=well.fields + added))
        own = {well.path for well in self.wells}
        wells += [well for well in other.wells if well.path not in own]
        known = {acquisition.id for acquisition in self.acquisitions}
        return PlateLayout(
            name=self.name,
            rows=tuple(dict.fromkeys(self.rows + other.rows)),
            columns=tuple(dict.fromkeys(self.columns + other.columns)),
            wells=tuple(wells),
            acquisitions=self.acquisitions + tuple(a for a in other.acquisitions if a.id not in known),
        )

    def check(self) -> None:
        """Refuse what OME-Zarr 0.4 and 0.5 do not allow.

        Raises
        ------
        InputError
            A name holds something else than letters and digits, a well lies in no row or column, something is there
            twice, a well has no field, there is no well, or a field names an acquisition that the plate does not.
        """
        for what, names in (("row", self.rows), ("column", self.columns)):
            _check_names(f"The plate {self.name!r} has a {what}", names)
        _check_once(f"The plate {self.name!r} has the well", [well.path for well in self.wells])
        if not self.wells:
            raise InputError(f"The plate {self.name!r} has no wells.", remedy="Name at least one.")
        known = {acquisition.id for acquisition in self.acquisitions}
        for well in self.wells:
            if well.row not in self.rows or well.column not in self.columns:
                raise InputError(
                    f"The well {well.path} lies in no row and column of the plate {self.name!r}.",
                    remedy="Name wells by row, slash and column, such as B/3.",
                )
            if not well.fields:
                raise InputError(f"The well {well.path} has no fields.", remedy="Leave it out, or name its fields.")
            _check_names(f"The well {well.path} has a field", [field.path for field in well.fields])
            strange = {field.acquisition for field in well.fields} - known - {None}
            if self.acquisitions and strange:
                raise InputError(
                    f"Fields of the well {well.path} are of the acquisition {min(strange, key=str)}, which the plate "
                    "does not have.",
                    remedy="Name it among the plate's acquisitions.",
                )

    def plate_attributes(self, version: Version) -> dict[str, Any]:
        """Return the attributes of the plate's group, checked by the models of ome-zarr-models."""
        plate: dict[str, Any] = {
            "name": self.name,
            "rows": [{"name": name} for name in self.rows],
            "columns": [{"name": name} for name in self.columns],
            "wells": [
                {
                    "path": well.path,
                    "rowIndex": self.rows.index(well.row),
                    "columnIndex": self.columns.index(well.column),
                }
                for well in self.wells
            ],
            "field_count": max(len(well.fields) for well in self.wells),
            "version": version,
        }
        if self.acquisitions:
            plate["acquisitions"] = [_dumped(acquisition) for acquisition in self.acquisitions]
        return _checked({"plate": plate}, version)

    def well_attributes(self, well: Well, version: Version) -> dict[str, Any]:
        """Return the attributes of a well's group, checked by the models of ome-zarr-models."""
        images = [
            {"path": field.path} | ({} if field.acquisition is None else {"acquisition": field.acquisition})
            for field in well.fields
        ]
        return _checked({"well": {"images": images} | ({"version": "0.4"} if version == "0.4" else {})}, version)


def well_name(text: str) -> str | None:
    """Return the name of a well in one spelling: ``A1`` for ``A/1``, ``A01`` and ``a-1``; ``None`` for all else."""
    found = _POSITION.fullmatch(text.strip())
    return None if found is None else f"{found[1].upper()}{found[2]}"


def completed(
    rows: Sequence[str], columns: Sequence[str], wells: Iterable[Well]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of rows and columns, with those of wells that lie in none of them at the end."""
    wells = tuple(wells)
    return (
        tuple(dict.fromkeys([*rows, *(well.row for well in wells)])),
        tuple(dict.fromkeys([*columns, *(well.column for well in wells)])),
    )


def parse_acquisitions(raw: object, *, where: str) -> tuple[Acquisition, ...]:
    """Return the acquisitions of a plate; parts that are absent or odd are left out.

    Raises
    ------
    InputError
        One has no number that fields could refer to.
    """
    made = []
    for entry in raw if isinstance(raw, list) else []:
        facts = entry if isinstance(entry, dict) else {}
        number = _whole(facts.get("id"))
        if number is None:
            raise InputError(f"{where} has an acquisition without an id.", remedy="Give it a whole number of its own.")
        made.append(
            Acquisition(
                id=number,
                name=_text(facts.get("name")),
                description=_text(facts.get("description")),
                maximum_field_count=_whole(facts.get("maximumfieldcount")),
                start_time=_whole(facts.get("starttime")),
                end_time=_whole(facts.get("endtime")),
            )
        )
    return tuple(made)


def parse_names(raw: object) -> tuple[str, ...]:
    """Return the names of rows or columns; entries without one are left out."""
    entries = raw if isinstance(raw, list) else []
    names = (entry.get("name") if isinstance(entry, dict) else None for entry in entries)
    return tuple(dict.fromkeys(str(name) for name in names if isinstance(name, str | int)))


def parse_fields(raw: object, *, problem: str) -> tuple[Field, ...]:
    """Return the fields that a well lists, each once; see `parse_paths`."""
    entries = raw if isinstance(raw, list) else []
    paths = parse_paths(raw, problem=problem)
    numbers = {
        path: _whole(entry.get("acquisition")) for path, entry in reversed(list(zip(paths, entries, strict=True)))
    }
    return tuple(Field(path=path, acquisition=numbers[path]) for path in dict.fromkeys(paths))


def parse_paths(raw: object, *, problem: str) -> list[str]:
    """Return the path of each entry that a plate or a well lists.

    Raises
    ------
    InputError
        An entry has none, or one that leads out.
    """
    paths = []
    for entry in raw if isinstance(raw, list) else []:
        path = entry.get("path") if isinstance(entry, dict) else None
        # What lies beside a plate is none of its parts, and maps are written to folders of the same names.
        if not isinstance(path, str) or not path.strip("/") or ".." in path.split("/"):
            raise InputError(problem, remedy="Write the path of each into the metadata.")
        paths.append(path.strip("/"))
    return paths


def _dumped(acquisition: Acquisition) -> dict[str, Any]:
    facts = {
        "id": acquisition.id,
        "name": acquisition.name,
        "description": acquisition.description,
        "maximumfieldcount": acquisition.maximum_field_count,
        "starttime": acquisition.start_time,
        "endtime": acquisition.end_time,
    }
    return {key: value for key, value in facts.items() if value is not None}


def _checked(facts: dict[str, Any], version: Version) -> dict[str, Any]:
    # Imported late: pydantic models take a good part of a second.
    if version == "0.5":
        from ome_zarr_models.v05.hcs import HCSAttrs as Plate5  # noqa: PLC0415
        from ome_zarr_models.v05.well import WellAttrs as Well5  # noqa: PLC0415

        facts = {"version": "0.5", **facts}
        (Plate5 if "plate" in facts else Well5).model_validate(facts)
        return {"ome": facts}
    from ome_zarr_models.v04.hcs import HCSAttrs as Plate4  # noqa: PLC0415
    from ome_zarr_models.v04.well import WellAttrs as Well4  # noqa: PLC0415

    (Plate4 if "plate" in facts else Well4).model_validate(facts)
    return facts


def _check_names(what: str, names: Sequence[str]) -> None:
    for name in names:
        if _NAME.fullmatch(name) is None:
            raise InputError(f"{what} named {name!r}.", remedy=_PROPER)
    _check_once(f"{what} named", names)


def _check_once(what: str, names: Sequence[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise InputError(f"{what} {twice!r} more than once.", remedy="Name each once.")


def _text(raw: object) -> str | None:
    return raw if isinstance(raw, str) and raw else None


def _whole(raw: object) -> int | None:
    whole = isinstance(raw, int) or (isinstance(raw, float) and raw.is_integer())
    return int(raw) if whole and not isinstance(raw, bool) and raw >= 0 else None  # type: ignore[call-overload, operator]
