"""What the ledger of an output says to those who look at the image alone: by what, and from what, it was made."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scalesr.errors import StorageError
from scalesr.images.files import Files
from scalesr.images.locations import Location
from scalesr.images.stores import StoreError
from scalesr.images.writer import OWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalesr.images.image import Image

MANIFEST = "manifest.json"
"""Name of the file of a ledger that says what the run was."""
LARGEST = 2**28
"""Bytes of a file of a ledger at most; they have kilobytes."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a ledger is found to say; nothing where there is none, or a damaged one: a ledger is an extra."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    """For the reader: ``source``, ``model``, versions."""
    sha256: str | None = None
    """Of the manifest."""


def provenance_of(image: Image) -> Provenance:
    """Return what the ledger inside an image says of how it was made.

    Raises
    ------
    StoreError
        The store refuses, or does not answer.
    """
    try:
        place = Location(image.url, image.storage_options) / OWN
        stored = Files(place.url, place.options).get(MANIFEST, at_most=LARGEST)
        if stored is None:
            return Provenance()
        return Provenance(facts={**json.loads(stored)["provenance"]}, sha256=hashlib.sha256(stored).hexdigest())
    except StoreError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError, StorageError):
        return Provenance()
