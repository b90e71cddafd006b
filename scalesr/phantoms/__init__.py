"""Synthetic samples with a known truth, for demonstrations, tests and training. They need numpy alone."""

from __future__ import annotations

from .degrading import degrade
from .nuclei import cells
from .phantom import Phantom
from .screen import ScreenCells, screen_cells
from .spectra import spectral_cube
from .structures import volume

__all__ = ["Phantom", "ScreenCells", "cells", "degrade", "screen_cells", "spectral_cube", "volume"]
