"""Images as labelled arrays of xarray, and all of scalesr on any of these: ``array.scalesr``.

Importing this registers the accessor; `scalesr.open_xarray` does so too.
"""

from __future__ import annotations

from scalesr.accessor.accessor import ScalesrAccessor
from scalesr.accessor.backend import ScalesrBackend
from scalesr.accessor.coordinates import array_of
from scalesr.accessor.opening import open_datatree, open_xarray
from scalesr.engine.labelled import image_of

__all__ = ["ScalesrAccessor", "ScalesrBackend", "array_of", "image_of", "open_datatree", "open_xarray"]
