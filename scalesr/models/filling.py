"""Networks whose sizes a file claims, and whose weights are in it: no memory is taken on its word."""

from __future__ import annotations

import threading
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch.nn.modules import module

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import nn

Network = TypeVar("Network", bound="nn.Module")

MORE = 64
"""Parameters that a network may have beyond the tensors of its file before it is given up."""


def filled(make: Callable[[], Network], tensors: Mapping[str, torch.Tensor]) -> Network:
    """Return a network with its weights.

    It is first built without memory, and its parameters are compared with what is there: a file of kilobytes that
    claims a network of terabytes, or of millions of layers, is refused in milliseconds.

    Parameters
    ----------
    make
        Builds the network with the sizes that the file claims; called twice.
    tensors
        All that is in its state dict.

    Raises
    ------
    RuntimeError
        Sizes and tensors do not go together.
    """
    here, seen = threading.get_ident(), 0

    def count(*_: Any) -> None:
        nonlocal seen
        if threading.get_ident() == here:
            seen += 1
            if seen > len(tensors) + MORE:
                raise RuntimeError(f"it claims more than {seen - 1} parameters, and {len(tensors)} tensors are there")

    hook = module.register_module_parameter_registration_hook(count)
    try:
        with warnings.catch_warnings(), torch.device("meta"):
            # Layers without features warn; that they do not fit is told below.
            warnings.simplefilter("ignore")
            claimed = make().state_dict()
    except (OverflowError, MemoryError) as error:
        raise RuntimeError(f"it claims sizes that no network can have ({error})") from error
    finally:
        hook.remove()
    wrong = [name for name in claimed if name in tensors and claimed[name].shape != tensors[name].shape]
    for name in wrong[:1]:
        raise RuntimeError(
            f"{name} has shape {tuple(tensors[name].shape)}, and {tuple(claimed[name].shape)} is claimed"
        )
    missing, beyond = sorted(claimed.keys() - tensors.keys()), sorted(tensors.keys() - claimed.keys())
    if missing or beyond:
        raise RuntimeError(f"{missing[0]} is missing" if missing else f"{beyond[0]} has no place in it")
    network = make()
    network.load_state_dict(tensors)
    return network
