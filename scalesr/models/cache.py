"""Remembers on this machine what was measured of a network, as measuring a large one takes seconds."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import platformdirs
import torch

_VERSION = 2
"""Counts changes of what is measured or how; entries of another version are not found."""


def key_of(kind: str, *facts: object) -> str:
    """Return the key of what was measured under some facts, which show all that matters in their `repr`."""
    return f"{kind}-{hashlib.sha256(repr(facts).encode()).hexdigest()[:24]}"


def recall(key: str) -> dict[str, Any] | None:
    """Return what `remember` was given for a key, or None. Never fails: a damaged entry is as good as none."""
    try:
        entry = json.loads(_path(key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return entry if isinstance(entry, dict) else None


def remember(key: str, entry: dict[str, Any]) -> None:
    """Keep an entry, in one atomic step. Never fails: without a writable folder, the next process measures again."""
    path = _path(key)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(entry, file, indent=1)
        Path(name).replace(path)
    except OSError:
        return


def _path(key: str) -> Path:
    version = f"{_VERSION}-torch{torch.__version__}"
    return Path(platformdirs.user_cache_dir("scalesr")) / "models" / version / f"{key}.json"
