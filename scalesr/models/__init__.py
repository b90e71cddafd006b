"""What a model is, and where one comes from: interpolations, files of weights, functions."""

from __future__ import annotations

from scalesr.models.cache import key_of, recall, remember
from scalesr.models.catalogue import available, leaves_scale_open, resolve
from scalesr.models.checkpoint import convert
from scalesr.models.eigen import Eigen
from scalesr.models.eigen_basis import EigenBasis, mix
from scalesr.models.enlarging import cubic, cubic_reach
from scalesr.models.loading import load
from scalesr.models.spec import (
    Cost,
    Model,
    ModelRef,
    ModelSpec,
    Percentiles,
    Precision,
    Sampling,
    Strategy,
    Tailored,
    row_of,
)
from scalesr.models.spectral_sums import SpectralSums

__all__ = [
    "Cost",
    "Eigen",
    "EigenBasis",
    "Model",
    "ModelRef",
    "ModelSpec",
    "Percentiles",
    "Precision",
    "Sampling",
    "SpectralSums",
    "Strategy",
    "Tailored",
    "available",
    "convert",
    "cubic",
    "cubic_reach",
    "key_of",
    "leaves_scale_open",
    "load",
    "mix",
    "recall",
    "remember",
    "resolve",
    "row_of",
]
