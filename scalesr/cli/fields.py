"""Measuring a plate: each of its fields with the same field of the plates that it is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scalesr.engine import Callback
    from scalesr.metrics import Measurement

_WORDS = {"reference": "--reference", "measured": "--input", "mask": "--mask"}


def measure_plate(
    output: str,
    *,
    partners: Mapping[str, str],
    maps: str | None,
    callbacks: Sequence[Callback],
    **options: Any,
) -> Measurement:
    """Return the figures of every field of a plate.

    Parameters
    ----------
    output
        The plate that is judged.
    partners
        Plates with the same fields, by ``reference``, ``measured`` and ``mask``; a mask may be one image for all.
    maps
        Folder for the maps, one folder below it for each field.
    callbacks
        Told of each field that is done.
    **options
        As for `scalesr.measure`.

    Raises
    ------
    InputError
        Something is not a plate, or lacks a field of the output, before a pixel is read.
    """
    from scalesr.engine import StageAdvanced, StageStarted, measure  # noqa: PLC0415 torch takes seconds
    from scalesr.images import Location, list_fields  # noqa: PLC0415
    from scalesr.metrics import Measurement  # noqa: PLC0415

    fields = list_fields(output)
    split = [what for what, url in partners.items() if _has_fields(what, url, output=output, fields=fields)]

    def below(url: str, field: str) -> str:
        return (Location.parse(url) / field).url

    for callback in callbacks:
        callback(StageStarted(name="fields", total=len(fields)))
    found = {}
    for field in fields:
        own: dict[str, Any] = {what: below(url, field) if what in split else url for what, url in partners.items()}
        found[field] = measure(
            below(output, field),
            **own,
            maps=None if maps is None else below(maps, field),
            **options,
        )
        for callback in callbacks:
            callback(StageAdvanced(name="fields"))
    whole = {what: Location.parse(url).url for what, url in partners.items() if what != "mask"}
    return Measurement.of_fields(found, output=Location.parse(output).url, **whole)


def _has_fields(what: str, url: str, *, output: str, fields: Sequence[str]) -> bool:
    """Say whether a partner is a plate with the same fields, and refuse one that is of no use."""
    from scalesr.images import is_plate, list_fields  # noqa: PLC0415 zarr takes most of a second

    if not is_plate(url):
        if what == "mask":
            return False
        raise InputError(
            f"{output} is a plate, and {url} is not.",
            remedy=f"Give a plate with the same fields to {_WORDS[what]}, or measure one field: {output}/{fields[0]}.",
        )
    there = set(list_fields(url))
    missing = [field for field in fields if field not in there]
    if missing:
        more = f" and {len(missing) - 1:,} other fields" if len(missing) > 1 else ""
        raise InputError(
            f"{url} has no field {missing[0]}{more}, which {output} has.",
            remedy=f"Give the plate that belongs to it to {_WORDS[what]}, or measure single fields: "
            f"{output}/{fields[0]}.",
        )
    return True
