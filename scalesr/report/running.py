"""`scalesr.report.run`: a run that leaves its report behind."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, overload

from scalesr.engine import run as run_engine
from scalesr.engine.job import ledger_files
from scalesr.engine.plates import PlateResult
from scalesr.errors import ScalesrError
from scalesr.images import Image, Location, Plate
from scalesr.report.journal import Notes
from scalesr.report.writing import write_report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scalesr.engine import Callback, Options, Result
    from scalesr.engine.plates import NormaliseBy

Report = Literal["html", "none"]
"""``html``: a run leaves a report in its output. ``none``: it does not."""
SWITCH = "SCALESR_REPORT"
"""Environment variable that says which of the two where nobody else does; ``html`` where it is not set."""

_log = logging.getLogger("scalesr.report")


@overload
def run(
    source: Image,
    target: str | os.PathLike[str],
    *,
    report: Report | None = ...,
    told: Callable[[str], None] | None = ...,
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
    report: Report | None = ...,
    told: Callable[[str], None] | None = ...,
    options: Options | None = ...,
    callbacks: Sequence[Callback] = ...,
    storage_options: Mapping[str, Any] | None = ...,
    target_options: Mapping[str, Any] | None = ...,
    fields: Sequence[str] = ...,
    normalise_by: NormaliseBy = ...,
    **changes: Any,
) -> PlateResult: ...


@overload
def run(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    report: Report | None = ...,
    told: Callable[[str], None] | None = ...,
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
    report: Report | None = None,
    told: Callable[[str], None] | None = None,
    callbacks: Sequence[Callback] = (),
    storage_options: Mapping[str, Any] | None = None,
    target_options: Mapping[str, Any] | None = None,
    **asked: Any,
) -> Any:
    """Do what `scalesr.engine.run` does, return what it returns, and leave a report in the output.

    A report never fails a run: where it cannot be written, a warning says why, and how to write it later.

    Parameters
    ----------
    source, target, callbacks, storage_options, target_options, **asked
        As of `scalesr.engine.run`.
    report
        ``html``, or ``none`` for no report; what the environment variable ``SCALESR_REPORT`` says when not given, and
        ``html`` where it says nothing.
    told
        Called with the place of the report once it is written.

    Returns
    -------
    Result or PlateResult
        As of `scalesr.engine.run`.

    Raises
    ------
    ScalesrError
        As `scalesr.engine.run`; nothing that has to do with the report.
    """
    notes = None if (report or os.environ.get(SWITCH, "html")) == "none" else Notes()
    try:
        result = run_engine(
            source,
            target,
            callbacks=callbacks if notes is None else (*callbacks, notes),
            storage_options=storage_options,
            target_options=target_options,
            **asked,
        )
    except BaseException:
        # What is done of it will be gone on with; an output that refused this run is left alone.
        if notes is not None and notes.worked:
            begun = Location.parse(target, target_options)
            with suppress(ScalesrError, OSError):
                notes.keep(ledger_files(begun.url, begun.options))
        raise
    if notes is None:
        return result
    output = result.plate if isinstance(result, PlateResult) else result.image
    try:
        notes.keep(ledger_files(output.url, output.storage_options))
        place = write_report(
            output, storage_options=storage_options, source=source if isinstance(source, Image) else None
        )
    except Exception as error:  # noqa: BLE001 whatever it is, the run is done
        _log.warning("The report could not be written: %s To write it later: scalesr report %s", error, output.url)
        return result
    if told is not None:
        told(place)
    return result
