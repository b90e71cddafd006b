"""What lies in storage: OME-Zarr images, the files beside them, and the ways to make images of other formats."""

from __future__ import annotations

from scalesr.images.arrays import ArrayImage
from scalesr.images.axes import Axis, AxisKind, Channel
from scalesr.images.downsample import downsample
from scalesr.images.files import Files
from scalesr.images.image import Image, Level
from scalesr.images.importing import import_image
from scalesr.images.imzml_export import export_imzml
from scalesr.images.layout import ImageLayout, LevelLayout, halved_axes, level_steps, pyramid_layout, scaled_geometry
from scalesr.images.locations import Location
from scalesr.images.opening import open_image
from scalesr.images.plate_layout import Acquisition, Field, PlateLayout, Well, well_name
from scalesr.images.plates import Plate, field_states, is_plate, list_fields, open_any, open_plate
from scalesr.images.plates_writing import check_plate_place, clear_field, create_plate, mark_plate
from scalesr.images.pyramid import build_pyramid, coarse_region, count_shards, shard_regions
from scalesr.images.reading import BadChunk
from scalesr.images.removing import remove_image, sweep_levels
from scalesr.images.spectral import SpectralAxis, read_spectral, write_spectral
from scalesr.images.statistics import Statistics, StatisticsAccumulator, apart, image_statistics
from scalesr.images.writer import OWN, ImageWriter, begin_image, create_image

__all__ = [
    "OWN",
    "Acquisition",
    "ArrayImage",
    "Axis",
    "AxisKind",
    "BadChunk",
    "Channel",
    "Field",
    "Files",
    "Image",
    "ImageLayout",
    "ImageWriter",
    "Level",
    "LevelLayout",
    "Location",
    "Plate",
    "PlateLayout",
    "SpectralAxis",
    "Statistics",
    "StatisticsAccumulator",
    "Well",
    "apart",
    "begin_image",
    "build_pyramid",
    "check_plate_place",
    "clear_field",
    "coarse_region",
    "count_shards",
    "create_image",
    "create_plate",
    "downsample",
    "export_imzml",
    "field_states",
    "halved_axes",
    "image_statistics",
    "import_image",
    "is_plate",
    "level_steps",
    "list_fields",
    "mark_plate",
    "open_any",
    "open_image",
    "open_plate",
    "pyramid_layout",
    "read_spectral",
    "remove_image",
    "scaled_geometry",
    "shard_regions",
    "sweep_levels",
    "well_name",
    "write_spectral",
]
