"""Packages that are extras: asked for where they are needed, with a remedy where they are absent."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from scalesr.errors import PlanError


def need(module: str, *, extra: str, purpose: str) -> Any:
    """Return a module of an optional package.

    Parameters
    ----------
    module
        Full name of the module.
    extra
        Name of scalesr's extra that brings the package.
    purpose
        What needs it, as the subject of a sentence.

    Raises
    ------
    PlanError
        The package is not installed.
    """
    package = module.partition(".")[0]
    if find_spec(package) is None:
        raise PlanError(
            f"{purpose} needs the package {package}, which is not installed.",
            remedy=f'Install it: pip install "scalesr[{extra}]".',
        )
    return import_module(module)
