"""`scalesr.run`: from what a caller names, an image or a plate, to the run of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from scalesr.engine.options import Options
from scalesr.engine.plates import PlateResult, run_plate
from scalesr.engine.running import Result, run_image
from scalesr.errors import PlanError
from scalesr.images import Image, Plate, open_any

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from scalesr.engine.events import Callback, Event
    from scalesr.engine.plates import NormaliseBy


@overload
def run(
    source: Image,
    target: str | os.PathLike[str],
    *,
    options: Options | None = ...,
    callbacks: Sequence[Callback] = ...,
    storage_options: Mapping[str, Any] | None = ...,
    target_options: Mapping[str, Any] | None = ...,
    **changes: Any,
) -> Result: ...


@overload
def run(
    source: Plate,
    target: str | os.PathLike[str],
    *,
    options: Options | None = ...,
    callbacks: Sequence[Callback] = ...,
    storage_options: Mapping[str, Any] | None = ...,
    target_options: Mapping[str, Any] | None = ...,
    fields: Sequence[str] = ...,
    normalise_by: NormaliseBy = ...,
    **changes: Any,
) -> PlateResult: ...


# What a path names shows when it is opened. A union would make everybody ask who knows what lies there.
@overload
def run(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    options: Options | None = ...,
    callbacks: Sequence[Callback] = ...,
    storage_options: Mapping[str, Any] | None = ...,
    target_options: Mapping[str, Any] | None = ...,
    fields: Sequence[str] = ...,
    normalise_by: NormaliseBy = ...,
    **changes: Any,
) -> Result | Any: ...


def run(
    source: str | os.PathLike[str] | Image | Plate,
    target: str | os.PathLike[str],
    *,
    options: Options | None = None,
    callbacks: Sequence[Callback] = (),
    storage_options: Mapping[str, Any] | None = None,
    target_options: Mapping[str, Any] | None = None,
    fields: Sequence[str] = (),
    normalise_by: NormaliseBy = "plate",
    **changes: Any,
) -> Result | PlateResult:
    """Super-resolve or restore an image of any size, tile by tile, into an OME-Zarr image; or each field of a plate.

    Every tile is computed once. The output is the same bytes for any block size, number of workers, executor and
    order, and after a crash and resume, on one class of device and version of torch. Memory does not grow with the
    image. Until the run ends the output does not count as an image, and nothing that is done is lost when it stops.

    Of a plate, the metadata of plate and wells is written first, and then each field by itself. A field that cannot be
    run does not stop the others; the result names it.

    Parameters
    ----------
    source
        OME-Zarr image or plate: a path, an fsspec URL, or an opened one.
    target
        Where the output goes: a path or an fsspec URL.
    options
        All options; the defaults when not given.
    callbacks
        Called with each event, in this process.
    storage_options, target_options
        Handed to fsspec for input and output.
    fields
        Which fields of a plate, as patterns (``B/*``, see `Plate.select`); all when not given.
    normalise_by
        ``plate``: one normalisation for all fields of a plate, whichever are run, so that intensities stay comparable
        between wells. ``field``: each field by its own figures.
    **changes
        Single options by name, on top of `options`.

    Returns
    -------
    Result or PlateResult
        A `PlateResult` where `source` is a plate or names one.

    Raises
    ------
    ScalesrError
        What is wrong and what to do about it: InputError, ModelError, PlanError, OutputError, LedgerError before
        anything is written; StorageError, OutputError and InterruptedRunError in mid-run, which can be resumed.
    """
    options = replace(options or Options(), **changes)

    def tell(event: Event) -> None:
        for callback in callbacks:
            callback(event)

    found = source if isinstance(source, Image | Plate) else open_any(source, storage_options=storage_options)
    if isinstance(found, Plate):
        if options.share != "nothing":
            raise PlanError(
                f"{found.url} is a plate, whose blocks cannot be shared.",
                remedy="Leave out --share: its fields are run side by side as it is.",
            )
        return run_plate(
            found,
            target,
            options,
            fields=fields,
            normalise_by=normalise_by,
            target_options=target_options,
            tell=tell,
        )
    if fields:
        raise PlanError(f"{found.url} is an image, and has no fields to choose from.", remedy="Leave out the fields.")
    return run_image(found, target, options, target_options=target_options, tell=tell)
