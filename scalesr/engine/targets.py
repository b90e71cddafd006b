"""Places that something is about to be written to."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from scalesr.errors import OutputError
from scalesr.images import OWN, Files

if TYPE_CHECKING:
    from scalesr.images import Location


def exists(location: Location) -> bool:
    """Return whether there is something at a place already.

    Raises
    ------
    OutputError
        Nobody may write there.
    """
    if location.path is not None:
        parent = location.nearest_parent()
        if parent is not None and not os.access(parent, os.W_OK):
            raise OutputError(f"{parent} cannot be written to.", remedy="Choose another place, or ask for permission.")
        return location.path.is_file() or (location.path.is_dir() and any(location.path.iterdir()))
    files = Files(location.url, location.options)
    return any(files.get(key) is not None for key in ("zarr.json", ".zgroup"))


def begun(location: Location) -> bool:
    """Return whether scalesr began an image there, and did not end."""
    return _state(location) == "running"


def ended(location: Location) -> bool:
    """Return whether scalesr wrote an image there, and came to its end."""
    return _state(location) == "done"


def _state(location: Location) -> str | None:
    stored = Files(location.url, location.options).get("zarr.json")
    try:
        state = json.loads(stored or b"{}").get("attributes", {}).get(OWN, {})
    except (ValueError, AttributeError):
        return None
    return state.get("state") if isinstance(state, dict) else None
