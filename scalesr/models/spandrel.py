"""The published single-image networks, by way of spandrel, which knows them from the names of their weights."""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
import types
import warnings
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

from torch import nn

from scalesr.errors import ModelError
from scalesr.models.trial import Facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from scalesr.models.checkpoint import Checkpoint
    from scalesr.models.spec import Precision

_PACKAGE = "torchvision"
_MODULES = (_PACKAGE, f"{_PACKAGE}.transforms", f"{_PACKAGE}.transforms.functional")

_import = threading.Lock()


class Described(nn.Module):
    """A network called as its descriptor calls it, but without the clipping to 0..1 that follows there.

    Images are normalised by percentiles and reach beyond 0..1; clipping would cut their brightest and darkest pixels.
    """

    def __init__(self, descriptor: Any) -> None:
        super().__init__()
        self.network: nn.Module = descriptor.model
        self.call = descriptor._call_fn  # noqa: SLF001  # the public call clips, and takes 2-D tiles one by one
        self.square = bool(descriptor.size_requirements.square)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Run a batch of tiles."""
        if self.square and image.shape[-1] != image.shape[-2]:
            raise ModelError(
                f"The network accepts square tiles only, and was given {image.shape[-2]} x {image.shape[-1]} px.",
                remedy="Use the same tile edge along y and x.",
            )
        output: torch.Tensor = self.call(self.network, image)
        return output


def describe(checkpoint: Checkpoint) -> tuple[nn.Module, Facts]:
    """Recognise the architecture of a checkpoint and build its network.

    Parameters
    ----------
    checkpoint
        Weights under the names that their authors publish.

    Returns
    -------
    nn.Module, Facts
        The network on the CPU in float32, and what spandrel knows of it.

    Raises
    ------
    ModelError
        If spandrel is absent, does not know the network, or the network is not for this: inpainting, faces.
    """
    spandrel = load_spandrel()
    try:
        with warnings.catch_warnings():
            # Published architectures call torch in ways that newer versions comment on.
            warnings.simplefilter("ignore")
            descriptor = spandrel.ModelLoader().load_from_state_dict(dict(checkpoint.tensors))
    except spandrel.UnsupportedModelError as error:
        raise ModelError(
            f"{checkpoint.path} is of no architecture that spandrel {spandrel.__version__} knows.",
            remedy="Write a function that builds the network and give its name as 'package.module:function'; "
            "for EDSR and RRDB, convert the file with metadata {'architecture': 'edsr'} and its sizes.",
        ) from error
    except (RuntimeError, KeyError, ValueError, TypeError, AssertionError) as error:
        raise ModelError(
            f"The weights in {checkpoint.path} do not fit the architecture that they resemble: {error}",
            remedy="Fetch the file again, or give the network as 'package.module:function'.",
        ) from error
    if descriptor.purpose not in ("SR", "Restoration"):
        raise ModelError(
            f"{checkpoint.path} is a {descriptor.architecture.name} network for the purpose '{descriptor.purpose}'.",
            remedy="Use a network for super-resolution or restoration.",
        )
    needs = descriptor.size_requirements
    precisions: list[Precision] = ["fp32"]
    if descriptor.supports_bfloat16:
        precisions.append("bf16")
    if descriptor.supports_half:
        precisions.append("fp16")
    facts = Facts(
        name=f"{checkpoint.path.stem} ({descriptor.architecture.name})",
        axes="yx",
        scale=(Fraction(descriptor.scale),) * 2,
        channels=descriptor.input_channels,
        multiple=needs.multiple_of,
        minimum=max(needs.minimum, needs.multiple_of),
        precisions=tuple(precisions),
    )
    return Described(descriptor).float().eval(), facts


def load_spandrel() -> Any:
    """Import spandrel, with or without a torchvision that works.

    Spandrel needs it for one inpainting and one face network, and its wheels each fit a single build of torch. Where it
    is absent or broken, an empty one stands in for it while spandrel is imported, and is taken away again.
    """
    with _import:
        present = sys.modules.get("spandrel")
        if present is not None:
            return present
        with contextlib.nullcontext() if _torchvision_works() else _stand_in():
            try:
                return importlib.import_module("spandrel")
            except ImportError as error:
                raise ModelError(
                    f"Published networks are read by spandrel, which cannot be imported: {error}.",
                    remedy='Install it with: pip install "scalesr[networks]"',
                ) from error


def _torchvision_works() -> bool:
    before = set(sys.modules)
    try:
        importlib.import_module(_MODULES[-1])
    except Exception:  # noqa: BLE001  # a wheel for another torch raises RuntimeError or OSError, an absent one ImportError
        for name in set(sys.modules) - before:
            if name.split(".")[0] == _PACKAGE:
                del sys.modules[name]
        return False
    return True


@contextlib.contextmanager
def _stand_in() -> Iterator[None]:
    saved = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == _PACKAGE}
    modules = [types.ModuleType(name) for name in _MODULES]
    for parent, child in pairwise(modules):
        parent.__path__ = []
        setattr(parent, child.__name__.rpartition(".")[2], child)
    functional = modules[-1]
    functional.__dict__.update(
        InterpolationMode=types.SimpleNamespace(NEAREST="nearest", BILINEAR="bilinear"),
        rotate=_absent,
        normalize=_absent,
    )
    sys.modules.update(zip(_MODULES, modules, strict=True))
    try:
        yield
    finally:
        for name in _MODULES:
            sys.modules.pop(name, None)
        sys.modules.update(saved)


def _absent(*_args: object, **_options: object) -> NoReturn:
    raise ModelError(
        "This network needs torchvision, which is absent or made for another build of torch.",
        remedy="Install the torchvision that goes with your torch.",
    )
