"""From what a person names to the images that are shown: fields of plates, and the input that made an output."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from scalesr.errors import InputError, ScalesrError
from scalesr.images import Image, Plate, open_any
from scalesr.images.provenance import provenance_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Source = str | os.PathLike[str] | Image
"""An image or a plate by its path or URL, or an image that is open."""


@dataclass(frozen=True)
class Chosen:
    """What is to be shown, and what is to be said of the choice."""

    images: tuple[Image, ...]
    """The first is that which was asked for; the others go beside it."""
    notes: tuple[str, ...]
    """What was chosen or left out without being asked, and why."""


def choose(
    source: Source,
    *,
    beside: Sequence[Source],
    field: str | None,
    storage_options: Mapping[str, Any] | None,
) -> Chosen:
    """Open what is to be shown; only metadata is read.

    Where nothing is named to go beside an image that scalesr made, its ledger tells what it was made from. That is
    opened with the storage options only if it lies in the same store: a ledger may be a stranger's.

    Parameters
    ----------
    source
        An image, or a plate.
    beside
        Images, or plates whose field of the same path is taken.
    field
        Well or field of a plate; None takes the first field.
    storage_options
        For all that are named by their places.

    Raises
    ------
    InputError
        Something that was named cannot be opened, or has no such field.
    """
    notes: list[str] = []
    image, path = _opened(source, field, storage_options, notes)
    if field is not None and path is None:
        raise InputError(f"{image.url} is one image and has no field {field}.", remedy="Leave the field out.")
    if beside:
        others = [_opened(one, path, storage_options, notes)[0] for one in beside]
        return Chosen((image, *others), tuple(notes))
    made_from = input_of(image)
    if made_from is None:
        return Chosen((image,), tuple(notes))
    options = storage_options if _store(made_from) == _store(image.url) else None
    try:
        found, _ = _opened(made_from, path, options, notes)
    except (ScalesrError, OSError) as error:
        words = error.problem if isinstance(error, ScalesrError) else str(error)
        notes.append(f"What it was made from is not shown beside it: {words} Name it with --beside if it has moved.")
        return Chosen((image,), tuple(notes))
    return Chosen((image, found), tuple(notes))


def input_of(image: Image) -> str | None:
    """Return the place of what an image was made from, as its ledger says; ``None`` where it does not."""
    try:
        found = provenance_of(image).facts.get("source")
    except (ScalesrError, OSError):
        # A ledger is an extra: one that cannot be read is no reason not to show the image.
        return None
    return found if isinstance(found, str) else None


def _opened(
    source: Source, field: str | None, options: Mapping[str, Any] | None, notes: list[str]
) -> tuple[Image, str | None]:
    """Return an image, and the path of the field where it is one of a plate."""
    found = source if isinstance(source, Image) else open_any(source, storage_options=options)
    return (found, None) if isinstance(found, Image) else _field(found, field, notes)


def _field(plate: Plate, field: str | None, notes: list[str]) -> tuple[Image, str]:
    paths = plate.select(*([] if field is None else [field]))
    if field is None:
        notes.append(
            f"{plate.name} is a plate of {len(plate.fields):,} fields: this is {paths[0]}. Name another one with "
            f"--field, such as {paths[-1]}."
        )
    elif len(paths) > 1:
        notes.append(f"{field} has {len(paths)} fields: this is {paths[0]}.")
    return plate.open_field(paths[0]), paths[0]


def _store(url: str) -> tuple[str, str]:
    parts = urlsplit(url.rpartition("::")[2])
    return parts.scheme, parts.netloc
