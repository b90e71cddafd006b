"""`scalesr.plan`: what a run would do and need, before it is run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from scalesr.engine.options import Options
from scalesr.engine.plates import prepare_plate
from scalesr.engine.preparing import prepare, subject_of
from scalesr.errors import PlanError
from scalesr.images import Image, Plate, open_any

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from scalesr.engine.plates import PreparedPlate
    from scalesr.engine.preparing import Prepared


@overload
def plan(
    source: Image,
    *,
    options: Options | None = ...,
    storage_options: Mapping[str, Any] | None = ...,
    **changes: Any,
) -> Prepared: ...


@overload
def plan(
    source: Plate,
    *,
    options: Options | None = ...,
    storage_options: Mapping[str, Any] | None = ...,
    fields: Sequence[str] = ...,
    **changes: Any,
) -> PreparedPlate: ...


# As of `run`, what a path names shows when it is opened.
@overload
def plan(
    source: str | os.PathLike[str],
    *,
    options: Options | None = ...,
    storage_options: Mapping[str, Any] | None = ...,
    fields: Sequence[str] = ...,
    **changes: Any,
) -> Prepared | Any: ...


def plan(
    source: str | os.PathLike[str] | Image | Plate,
    *,
    options: Options | None = None,
    storage_options: Mapping[str, Any] | None = None,
    fields: Sequence[str] = (),
    **changes: Any,
) -> Prepared | PreparedPlate:
    """Return what `run` would do with an image or a plate: tiles, blocks, bytes, memory. No pixel is read or written.

    In a notebook, or printed, it says so in words. A plan that needs more memory than there is is returned all the
    same; `run` refuses it.

    Parameters
    ----------
    source, options, storage_options, fields, **changes
        As for `run`; what concerns the output is not looked at.

    Returns
    -------
    Prepared or PreparedPlate
        A `PreparedPlate` where `source` is a plate or names one: the plan of one field, and of how many.

    Raises
    ------
    ScalesrError
        As `run`, where image, model and options do not fit each other.
    """
    options = replace(options or Options(), **changes)
    found = source if isinstance(source, Image | Plate) else open_any(source, storage_options=storage_options)
    if isinstance(found, Plate):
        return prepare_plate(found, options, fields=fields)
    if fields:
        raise PlanError(f"{found.url} is an image, and has no fields to choose from.", remedy="Leave out the fields.")
    return prepare(subject_of(found, level=options.level), options)
