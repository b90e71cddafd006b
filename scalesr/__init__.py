"""Super-resolve, restore and measure bioimages that are larger than memory.

``scalesr.run`` takes an OME-Zarr image or plate to another one; ``scalesr.lazy`` gives the same voxels as a dask array;
``scalesr.measure`` says how good an image is;
``scalesr.open_image`` and ``scalesr.import_image`` bring images in.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scalesr.accessor import open_datatree, open_xarray
    from scalesr.engine import Options, PlateResult, Result, lazy, measure, plan
    from scalesr.errors import ScalesrError
    from scalesr.images import Image, Plate, import_image, open_image, open_plate
    from scalesr.jobs import run_job
    from scalesr.metrics import Measurement
    from scalesr.report import run
    from scalesr.viewer import view

__version__ = version("scalesr")
__all__ = [
    "Image",
    "Measurement",
    "Options",
    "Plate",
    "PlateResult",
    "Result",
    "ScalesrError",
    "import_image",
    "lazy",
    "measure",
    "open_datatree",
    "open_image",
    "open_plate",
    "open_xarray",
    "plan",
    "run",
    "run_job",
    "view",
]

_ROOMS = {
    **dict.fromkeys(("open_datatree", "open_xarray"), "scalesr.accessor"),
    **dict.fromkeys(("Options", "PlateResult", "Result", "lazy", "measure", "plan"), "scalesr.engine"),
    "Measurement": "scalesr.metrics",
    "ScalesrError": "scalesr.errors",
    "run": "scalesr.report",
    "run_job": "scalesr.jobs",
    "view": "scalesr.viewer",
    **dict.fromkeys(("Image", "Plate", "import_image", "open_image", "open_plate"), "scalesr.images"),
}


def __getattr__(name: str) -> Any:
    # Importing torch takes seconds, and the help text of the command line needs none of it.
    if name not in _ROOMS:
        raise AttributeError(f"module 'scalesr' has no attribute {name!r}")
    return getattr(import_module(_ROOMS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
