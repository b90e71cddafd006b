"""Feature extractors: what turns patches of an image into vectors, whose distributions are then compared.

The choice is a text, so that it travels to every process:

``small``
    The built-in bank of filters, `scalesr.metrics.filters`.
``package.module:factory``
    A function without arguments that returns an ``nn.Module``.
``export:FILE.pt2``
    A program saved by `torch.export.save`, for batches of 32 patches or of any size.
``jit:FILE.pt``
    A program saved by `torch.jit.save`.

A module gets float32 patches in [0, 1] of shape (32, 3, edge, edge), or (32, 1, edge, edge) if it takes no others, and
returns features of shape (32, D), on the CPU. One that wants them otherwise, such as the Inception-v3 of
torch-fidelity, which takes bytes and returns a tuple, is wrapped in the factory. Reading a file of either program can
run code that its author put in, and calling a factory does run it: by the prefix you say that you trust them.
"""

from __future__ import annotations

import hashlib
import io
import re
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from torch import nn

from scalesr.errors import InputError, ModelError
from scalesr.metrics import filters
from scalesr.models import determinism, factory

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BATCH = 32
"""Patches that an extractor always sees at once: the last bits of a network's output depend on it."""
MOST_FEATURES = 4096
"""More have a covariance that no machine wants to add up."""
SMALLEST_PATCH = 8

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_PROGRAM = re.compile(r"(export|jit):(.+)", re.DOTALL)

_factories: dict[str, tuple[nn.Module, str]] = {}
_programs: dict[tuple[str, str], Callable[[torch.Tensor], Any]] = {}
_opened: dict[tuple[str, str, int], FeatureExtractor] = {}
_lock = threading.RLock()


class FeatureExtractor(Protocol):
    """Turns patches into vectors. Each vector depends on its own patch only."""

    @property
    def name(self) -> str:
        """Name that every figure carries; for a program or a function with the start of its SHA-256."""

    @property
    def dimension(self) -> int:
        """Features of a patch."""

    @property
    def colour(self) -> Literal["rgb", "grey"]:
        """``rgb``: takes patches of three channels as well, and images of three bytes a pixel are given as such."""

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the features, shape (n, D), of patches in [0, 1] of shape (n, 1 or 3, edge, edge)."""


class TorchFeatures:
    """The features that a torch program computes on the CPU.

    Parameters
    ----------
    program
        Takes a batch of patches and returns a tensor of shape (n, D), or (n, D, 1, ...).
    name
        What it is called in figures.
    edge
        Pixels along the edges of the patches; it is tried out on them.

    Raises
    ------
    InputError
        If it takes neither patches of three nor of one channel, or returns something else.
    """

    def __init__(self, program: Callable[[torch.Tensor], Any], *, name: str, edge: int) -> None:
        self.name = name
        self._program = program
        self._channels, self.dimension = self._tried(edge)
        self.colour: Literal["rgb", "grey"] = "rgb" if self._channels == 3 else "grey"

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the features; a grey patch is given three times to a program that takes colours."""
        shape = (len(patches), self._channels, *patches.shape[2:])
        with torch.inference_mode():
            found = self._program(torch.from_numpy(np.broadcast_to(patches, shape).copy()))
            features: NDArray[np.float64] = found.double().reshape(len(patches), self.dimension).numpy()
        return features

    def _tried(self, edge: int) -> tuple[int, int]:
        problems = []
        for channels in (3, 1):
            shape = (BATCH, channels, edge, edge)
            try:
                with torch.inference_mode():
                    found = self._program(torch.zeros(shape))
            except Exception as error:  # noqa: BLE001 whatever a stranger's program raises
                problems.append(f"patches of shape {shape} fail: {(str(error) or repr(error)).splitlines()[0]}")
                continue
            if not isinstance(found, torch.Tensor) or found.ndim < 2 or found.numel() != BATCH * found.shape[1]:
                problems.append(f"patches of shape {shape} give {getattr(found, 'shape', type(found).__name__)}")
            elif found.shape[1] > MOST_FEATURES:
                problems.append(f"{found.shape[1]} features are more than {MOST_FEATURES}")
            else:
                return channels, found.shape[1]
        raise InputError(
            f"The features '{self.name}' cannot be used: {'; '.join(problems)}.",
            remedy=f"Give a program that turns ({BATCH}, 3 or 1, {edge}, {edge}) float32 into ({BATCH}, features), "
            "or another size of patches.",
        )


def open_extractor(choice: str, *, edge: int, sha256: str | None = None) -> tuple[FeatureExtractor, str]:
    """Return an extractor and its SHA-256, loaded once in each process.

    Parameters
    ----------
    choice
        As in the module's docstring.
    edge
        Pixels along the edges of the patches.
    sha256
        The hash that it must have; as found when not given.

    Raises
    ------
    InputError
        If the text is not understood, or the program does not take such patches.
    ModelError
        If the program cannot be loaded, or is not that of the hash.
    """
    with _lock:
        if sha256 is not None and (choice, sha256, edge) in _opened:
            return _opened[choice, sha256, edge], sha256
        if edge < SMALLEST_PATCH:
            raise InputError(
                f"Patches of {edge} pixels are too small for features.", remedy=f"Choose {SMALLEST_PATCH} or more."
            )
        program, found, name = _loaded(choice)
        if sha256 not in (None, found):
            raise ModelError(
                f"The features '{choice}' have changed: their SHA-256 is {found}, not {sha256}.",
                remedy="Install the version that the run was planned with on every worker, or start a new run.",
            )
        if (choice, found, edge) not in _opened:
            _opened[choice, found, edge] = (
                filters.FilterBank() if program is None else TorchFeatures(program, name=name, edge=edge)
            )
        return _opened[choice, found, edge], found


def extract(extractor: FeatureExtractor, patches: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the features of up to `BATCH` patches, which are filled up to that with zeros.

    They are rounded to float32, in which networks compute, so that sums and kept rows are of the same numbers.
    """
    full = np.zeros((BATCH, *patches.shape[1:]), np.float32)
    full[: len(patches)] = patches
    with np.errstate(over="ignore"):
        return extractor(full)[: len(patches)].astype(np.float32).astype(np.float64)


def _loaded(choice: str) -> tuple[Callable[[torch.Tensor], Any] | None, str, str]:
    """Return the program, `None` for the built-in one, its hash and its name."""
    if choice == filters.FilterBank.name:
        return None, hashlib.sha256(Path(filters.__file__).read_bytes()).hexdigest(), choice
    determinism.settle()
    if match := _PROGRAM.fullmatch(choice):
        return _from_file(match[1], Path(match[2]))
    if not _FACTORY.fullmatch(choice):
        raise InputError(
            f"The features '{choice}' are not understood.",
            remedy="Choose 'small', 'package.module:factory', 'export:FILE.pt2' or 'jit:FILE.pt'; a file of weights "
            "alone needs a factory that builds its network.",
        )
    if choice not in _factories:
        built = factory.build(choice, {})
        if not isinstance(built, nn.Module):
            raise ModelError(f"{choice} returned a {type(built).__name__}.", remedy="Return an nn.Module.")
        _factories[choice] = built, factory.fingerprint(choice, built)
    module, sha256 = _factories[choice]
    return module, sha256, f"{choice} {sha256[:8]}"


def _from_file(kind: str, path: Path) -> tuple[Callable[[torch.Tensor], Any], str, str]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}.", remedy="Check the path.") from error
    sha256 = hashlib.sha256(data).hexdigest()
    if (kind, sha256) not in _programs:
        try:
            with warnings.catch_warnings():
                # Old formats are announced as such, which only the author of the file could change.
                warnings.simplefilter("ignore")
                if kind == "jit":
                    program = torch.jit.load(io.BytesIO(data), map_location="cpu").eval()  # type: ignore[no-untyped-call]
                else:
                    program = torch.export.load(io.BytesIO(data)).module()
        except Exception as error:
            reason = (str(error) or repr(error)).splitlines()[0]
            raise ModelError(
                f"{path} cannot be read as a program of torch.{kind}: {reason}",
                remedy="Use export: for files of torch.export.save and jit: for those of torch.jit.save.",
            ) from error
        _programs[kind, sha256] = program
    return _programs[kind, sha256], sha256, f"{kind}:{path.name} {sha256[:8]}"
