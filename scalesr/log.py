"""A log of a run for programs: one JSON object on each line."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TextIO

from scalesr.errors import OutputError
from scalesr.secrecy import without_secrets
from scalesr.tiling import Plan

if TYPE_CHECKING:
    from scalesr.engine import Event


class JsonLog:
    """Writes each event of a run as one line of JSON, flushed at once, so that a crash loses none.

    A line has ``time`` (UTC, ISO 8601), ``event`` (the event's class) and the event's fields. The last line of a run
    is ``RunFinished`` or, written on leaving the context with an error, ``RunStopped``. Secrets in addresses are
    blacked out; options of storage are never part of an event.

    Parameters
    ----------
    target
        A file, to which lines are appended, or a text stream, which stays open.

    Raises
    ------
    OutputError
        The file cannot be written.
    """

    def __init__(self, target: str | os.PathLike[str] | TextIO) -> None:
        self._target = target
        self._stack = ExitStack()
        self._stream: TextIO | None = None

    def __enter__(self) -> Self:
        if isinstance(self._target, str | os.PathLike):
            path = Path(self._target)
            try:
                self._stream = self._stack.enter_context(path.open("a", encoding="utf-8"))
            except OSError as error:
                raise OutputError(
                    f"The log {path} cannot be written ({error.strerror}).", remedy="Give another file to --log."
                ) from error
        else:
            self._stream = self._target
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self._write({"event": "RunStopped", "kind": type(error).__name__, "error": str(error)})
        self._stack.close()
        self._stream = None

    def __call__(self, event: Event) -> None:
        """Write one line."""
        self._write({"event": type(event).__name__, **{f.name: plain(getattr(event, f.name)) for f in fields(event)}})

    def _write(self, values: dict[str, Any]) -> None:
        if self._stream is None:
            raise ValueError("a JsonLog is used inside `with`")
        line = {"time": datetime.now(UTC).isoformat(timespec="milliseconds"), **cleaned(values)}
        self._stream.write(json.dumps(line, default=str) + "\n")
        self._stream.flush()


def plain(value: Any) -> Any:
    """Return what JSON can hold of a field of an event."""
    if isinstance(value, Plan):
        return value.to_json()
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def cleaned(value: Any) -> Any:
    """Return a value with the secrets in all its texts blacked out."""
    if isinstance(value, dict):
        return {key: cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(item) for item in value]
    return without_secrets(value) if isinstance(value, str) else value
