"""Architectures that packages add to those of scalesr: functions that make a model of a file of weights.

A safetensors file whose metadata names an ``architecture`` that is none of this package's own networks is handed to the
function that an installed package announces for it under the entry-point group ``scalesr.architectures``::

    [project.entry-points."scalesr.architectures"]
    mine = "package.module:build"

    def build(
        weights: Checkpoint,
        *,
        scale: tuple[Fraction, ...] | None,
        image_channels: int | None,
        options: Mapping[str, Any],
    ) -> Model: ...

A file with a key ``scale`` in its metadata has a scale of its own, and the function gets None. In one without, the
scale is open along z: the function gets that of the three axes, ``(r, 1, 1)``, or None where nobody gave one. It says
itself which options it knows, and refuses others by a `ModelError`.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

import safetensors

from scalesr.errors import ModelError, ScalesrError
from scalesr.models import factory
from scalesr.models.spec import Model

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction
    from pathlib import Path

    from scalesr.models.checkpoint import Checkpoint

GROUP = "scalesr.architectures"
"""Entry points of this group name functions as here; the name is that of the architecture."""
OWN = {
    "msdsr": "scalesr.msdsr.model:build",
    "msdsr-fast": "scalesr.msdsr.student:build",
    "msdsr-slices": "scalesr.msdsr.slice_net:build",
    "rls": "scalesr.rls.model:build",
    "rls-unet": "scalesr.rls.unet:build",
}
"""What this package announces itself, also where its metadata were installed before these were in it."""


def announced() -> dict[str, str]:
    """Return the functions that installed packages announce, as ``package.module:function`` by architecture."""
    return {point.name.lower(): point.value for point in metadata.entry_points(group=GROUP)} | OWN


def function_of(said: Mapping[str, str]) -> str | None:
    """Return the function for a file with such metadata; None where no package announces one."""
    return announced().get(said.get("architecture", "").lower())


def leaves_open(said: Mapping[str, str]) -> bool:
    """Return whether a file with such metadata is of an announced architecture and has no scale of its own."""
    return function_of(said) is not None and "scale" not in said


def header(path: Path) -> dict[str, str]:
    """Return the metadata of a file of weights without reading the weights; none of a file that is no safetensors."""
    try:
        with safetensors.safe_open(path, framework="np") as file:
            return dict(file.metadata() or {})
    except (safetensors.SafetensorError, OSError):
        return {}


def build(
    function: str,
    weights: Checkpoint,
    *,
    scale: tuple[Fraction, ...] | None,
    image_channels: int | None,
    options: Mapping[str, Any],
) -> Model:
    """Call the function of an architecture.

    Raises
    ------
    ModelError
        If it cannot be imported, fails, or returns something else than a model.
    """
    called = factory.find(function)
    try:
        built = called(weights, scale=scale, image_channels=image_channels, options=options)
    except ScalesrError:
        raise
    except Exception as error:
        raise ModelError(
            f"{function} made no model of {weights.path}: {type(error).__name__}: {error}",
            remedy="Correct the file or the options, or install the version of the package that wrote it.",
        ) from error
    if not isinstance(built, Model):
        raise ModelError(f"{function} returned a {type(built).__name__}.", remedy="Return a scalesr.models.Model.")
    return built
