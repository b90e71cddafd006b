"""What a model is, and where one comes from: interpolations, files of weights, functions."""

from __future__ import annotations

from scalesr.models.cache import recall, remember
from scalesr.models.catalogue import available, resolve
from scalesr.models.checkpoint import convert
from scalesr.models.loading import load
from scalesr.models.spec import Model, ModelRef, ModelSpec, Precision, Strategy

__all__ = [
    "Model",
    "ModelRef",
    "ModelSpec",
    "Precision",
    "Strategy",
    "available",
    "convert",
    "load",
    "recall",
    "remember",
    "resolve",
]
