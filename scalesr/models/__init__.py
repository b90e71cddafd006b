"""What a model is, and where one comes from: interpolations, files of weights, functions."""

from __future__ import annotations

from scalesr.models.cache import recall, remember
from scalesr.models.catalogue import available, resolve
from scalesr.models.checkpoint import convert
from scalesr.models.eigen import Eigen
from scalesr.models.eigen_basis import EigenBasis, mix
from scalesr.models.enlarging import cubic, cubic_reach
from scalesr.models.loading import load
from scalesr.models.spec import Model, ModelRef, ModelSpec, Precision, Strategy
from scalesr.models.spectral_sums import SpectralSums

__all__ = [
    "Eigen",
    "EigenBasis",
    "Model",
    "ModelRef",
    "ModelSpec",
    "Precision",
    "SpectralSums",
    "Strategy",
    "available",
    "convert",
    "cubic",
    "cubic_reach",
    "load",
    "mix",
    "recall",
    "remember",
    "resolve",
]
