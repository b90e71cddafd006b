"""Widgets for napari: restore an image as it is looked at, and measure it. ``napari.yaml`` names them to napari.

napari itself is imported where it is there only: its types are names in annotations, which napari understands. Reading
OME-Zarr is left to napari-ome-zarr.
"""

from __future__ import annotations

from scalesr.napari.layers import image_of
from scalesr.napari.measuring import figures, measure
from scalesr.napari.restoring import restore, restored

__all__ = ["figures", "image_of", "measure", "restore", "restored"]
