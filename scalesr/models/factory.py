"""Networks that a Python function builds: ``package.module:function``, and those that packages announce.

The function is called with the options that the caller gives and returns an ``nn.Module`` or a `Model`. All that a
module does not say is tried out: channels, multiple, minimum, scale, receptive field, memory. What it knows it may say
in an attribute ``facts``, a mapping with some of the fields of `Facts`::

    class Denoiser(nn.Module):
        facts = {"channels": 1, "multiple": 8, "tile": 256}
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
from collections.abc import Mapping
from dataclasses import fields
from fractions import Fraction
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from scalesr.errors import ModelError
from scalesr.models.spec import Model
from scalesr.models.trial import Facts

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

GROUP = "scalesr.models"
"""Entry points of this group name functions as here."""


def announced() -> dict[str, str]:
    """Return the functions that installed packages announce, as ``package.module:function`` by name."""
    return {point.name: point.value for point in metadata.entry_points(group=GROUP)}


def build(name: str, options: Mapping[str, Any]) -> nn.Module | Model:
    """Call a function by name; torch's generator is seeded, so that untrained weights are the same in every process.

    Raises
    ------
    ModelError
        If the module cannot be imported, has no such function, or it fails or returns something else.
    """
    function = find(name)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            built = function(**options)
    except ModelError:
        raise
    except Exception as error:
        given = ", ".join(f"{key}={value!r}" for key, value in options.items())
        raise ModelError(
            f"{name}({given}) failed: {type(error).__name__}: {error}", remedy="Correct the function or its options."
        ) from error
    if isinstance(built, nn.Module):
        return built.eval()
    if isinstance(built, Model):
        return built
    raise ModelError(
        f"{name} returned a {type(built).__name__}.", remedy="Return an nn.Module or a scalesr.models.Model."
    )


def fingerprint(name: str, built: nn.Module | Model) -> str:
    """Return the SHA-256 of the source file of the function and, for a network, of its weights.

    What the source imports is not part of it.
    """
    digest = hashlib.sha256(name.encode())
    source = inspect.getsourcefile(inspect.unwrap(find(name)))
    if source is not None:
        digest.update(Path(source).read_bytes())
    if isinstance(built, nn.Module):
        for key, tensor in sorted(built.state_dict().items()):
            digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
            # As bytes, since numpy knows no bfloat16.
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def facts(name: str, module: nn.Module, *, axes: str | None, scale: tuple[Fraction, ...] | None) -> Facts:
    """Put together what the caller and the module say.

    Raises
    ------
    ModelError
        If the module's ``facts`` are no mapping, or have a field that there is not.
    """
    said = getattr(module, "facts", {})
    known = {field.name for field in fields(Facts)}
    if not isinstance(said, Mapping) or not set(said) <= known:
        raise ModelError(
            f"The attribute 'facts' of the network from {name} is not understood: {said!r}.",
            remedy=f"Make it a mapping with some of: {', '.join(sorted(known))}.",
        )
    merged = {"name": name, **said}
    if axes is not None:
        merged["axes"] = axes
    if scale is not None:
        merged["scale"] = scale
    elif "scale" in merged:
        merged["scale"] = tuple(Fraction(str(factor)) for factor in merged["scale"])
    return Facts(**merged)


def find(name: str) -> Callable[..., Any]:
    """Import what ``package.module:function`` names.

    Raises
    ------
    ModelError
        If the module cannot be imported, or has no such function.
    """
    module, _, attribute = name.partition(":")
    try:
        found: Any = _imported(module)
    except Exception as error:
        raise ModelError(
            f"The module '{module}' cannot be imported: {error}",
            remedy="Install its package, or work in the folder where it lies; workers need it too.",
        ) from error
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise ModelError(
            f"The module '{module}' has no function '{attribute}'.", remedy="Give it as 'package.module:function'."
        )
    function: Callable[..., Any] = found
    return function


def _imported(module: str) -> ModuleType:
    """Import a module, also one that lies in the current folder, where the command line's own Python does not look."""
    here = str(Path.cwd())
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0] or here in sys.path:
            raise
    # Last, and only for this: no file of the folder shall stand in for a library.
    sys.path.append(here)
    try:
        importlib.invalidate_caches()
        return importlib.import_module(module)
    finally:
        sys.path.remove(here)
