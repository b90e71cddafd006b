"""Super-resolve, restore and measure bioimages that are larger than memory.

``scalesr.run`` takes an OME-Zarr image to an OME-Zarr image; ``scalesr.lazy`` gives the same voxels as a dask array;
``scalesr.open_image`` and ``scalesr.import_image`` bring images in.
"""

from importlib.metadata import version

from scalesr.engine import Options, Result, lazy, run
from scalesr.errors import ScalesrError
from scalesr.images import Image, import_image, open_image

__version__ = version("scalesr")
__all__ = ["Image", "Options", "Result", "ScalesrError", "import_image", "lazy", "open_image", "run"]
