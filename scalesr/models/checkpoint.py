"""Weights on disk: safetensors are read, pickles are refused or converted, and every file is known by its hash."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import safetensors
import safetensors.torch
import torch

from scalesr.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

Trust = Literal["safe", "pickle"]
"""Whether a file may be read that can run code while it is read."""

PICKLES = (".pth", ".pt", ".ckpt", ".bin", ".pkl")

_WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "model", "g_ema", "G_ema")


@dataclass(frozen=True)
class Checkpoint:
    """The contents of one file of weights."""

    path: Path
    """Where it was read."""
    tensors: dict[str, torch.Tensor]
    """The state dict."""
    metadata: dict[str, str]
    """What the author wrote into the header of a safetensors file."""


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file of weights.

    Raises
    ------
    ModelError
        If there is no such file, or it is a folder.
    """
    _present(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_pickle(path: Path, *, trust: Trust) -> None:
    """Refuse a file that can run code when it is read, whatever it is called, unless the caller trusts it.

    Raises
    ------
    ModelError
        If there is no such file, it is a folder, or a pickle that is not trusted.
    """
    _present(path)
    with path.open("rb") as file:
        head = file.read(9)
    if trust == "safe" and _is_pickle(path, head):
        raise ModelError(
            f"{path} is a pickle: reading one can run any program that its author has put in.",
            remedy=f"Convert it once with scalesr.models.convert('{path}', 'weights.safetensors'), which runs none, "
            "or load it with --trust pickle if you trust its author.",
        )


def read(path: Path, *, sha256: str, trust: Trust = "safe") -> Checkpoint:
    """Read a file of weights, exactly the one that was hashed; nothing in it is run unless `trust` says so.

    Parameters
    ----------
    path
        A safetensors file, or a pickle if trusted.
    sha256
        The hash that it must have.
    trust
        ``pickle`` also reads pickles: without running code where that is enough, and else as they are.

    Raises
    ------
    ModelError
        If the file is absent, another one, damaged, or a pickle that is not trusted.
    """
    refuse_pickle(path, trust=trust)
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ModelError(
            f"{path} has changed: its SHA-256 is {found}, and {sha256} was expected.",
            remedy="Restore the file, or start a new run with this one.",
        )
    if _is_pickle(path, data[:9]):
        return Checkpoint(path, _unpickled(path, data, trust=trust), {})
    try:
        tensors = safetensors.torch.load(data)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path} is damaged or no safetensors file: {error}.",
            remedy="Fetch it again and compare its size and SHA-256 with those of its source.",
        ) from error
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return Checkpoint(path, tensors, dict(header.get("__metadata__", {})))


def convert(path: str | Path, target: str | Path, *, metadata: Mapping[str, str] | None = None) -> Path:
    """Turn a pickled state dict into a safetensors file without running code from it.

    Parameters
    ----------
    path
        A ``.pth``, ``.pt``, ``.ckpt`` or ``.bin`` file that holds tensors by name, perhaps one or two dictionaries deep
        (``params_ema``, ``params``, ``state_dict``, ``model``, ``g_ema``); everything else in it is left out.
    target
        The safetensors file to write; must not exist.
    metadata
        Written into its header, such as ``{"architecture": "edsr", "features": "64"}``.

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    ModelError
        If the file is absent, holds more than data, holds no tensors, or the target exists.
    """
    source, goal = Path(path), Path(target)
    _present(source)
    if goal.exists():
        raise ModelError(f"{goal} exists.", remedy="Choose another name or remove it.")
    tensors = _unpickled(source, source.read_bytes(), trust="safe")
    # Safetensors refuses shared and strided storage, which state dicts of tied layers have.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    safetensors.torch.save_file(plain, goal, metadata=dict(metadata) if metadata else None)
    return goal


def _present(path: Path) -> None:
    if path.is_dir():
        raise ModelError(f"{path} is a folder.", remedy="Name the file of weights in it.")
    if not path.is_file():
        raise ModelError(f"There is no file {path}.", remedy="Check the path of the weights.")


def _is_pickle(path: Path, head: bytes) -> bool:
    if head[8:9] == b"{":
        return False
    # A zip archive is what torch.save writes, and 0x80 opens a pickle of protocol 2 or later.
    return path.suffix.lower() in PICKLES or head[:4] == b"PK\x03\x04" or head[:1] == b"\x80"


def _unpickled(path: Path, data: bytes, *, trust: Trust) -> dict[str, torch.Tensor]:
    try:
        content = _loaded(data, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if trust == "safe":
            raise ModelError(
                f"{path} cannot be read as plain tensors: {reason}",
                remedy="Ask its author for safetensors, or load it with --trust pickle if you trust them.",
            ) from error
        try:
            content = _loaded(data, weights_only=False)
        except Exception as inner:
            raise ModelError(
                f"{path} cannot be read as a pickle: {inner}",
                remedy="Fetch it again, or ask its author for safetensors.",
            ) from inner
    tensors = _state_dict(content)
    if not tensors:
        raise ModelError(
            f"{path} holds no state dict: tensors by name.",
            remedy="Save `network.state_dict()` of the network, not the network.",
        )
    return tensors


def _loaded(data: bytes, *, weights_only: bool) -> Any:
    with warnings.catch_warnings():
        # Old files of torchscript and typed storages warn about what only their author could change.
        warnings.simplefilter("ignore")
        # Training scripts keep their command line beside the weights: names and values, whose class runs nothing.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=weights_only)


def _state_dict(content: Any) -> dict[str, torch.Tensor]:
    """Find the tensors by name in what training scripts save around them."""
    if isinstance(content, torch.nn.Module):
        return content.state_dict()
    if not isinstance(content, dict):
        return {}
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), (dict, torch.nn.Module)):
            return _state_dict(content[wrapper])
    return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
