"""Making OME-Zarr images of other formats, in bounded memory."""

from __future__ import annotations

from scalesr.images.importing.run import import_image
from scalesr.images.importing.source import Facts, Source

__all__ = ["Facts", "Source", "import_image"]
