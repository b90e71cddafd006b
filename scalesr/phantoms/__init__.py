"""Synthetic samples with a known truth, for demonstrations, tests and training. They need numpy alone."""

from __future__ import annotations

from .degrading import degrade
from .nuclei import cells
from .phantom import Phantom
from .spectra import spectral_cube
from .structures import volume

__all__ = ["Phantom", "cells", "degrade", "spectral_cube", "volume"]
