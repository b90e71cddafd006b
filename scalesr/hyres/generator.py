"""Generators from files and into files: those of scalesr and those that the field publishes."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
import torch

from scalesr.errors import ModelError, OutputError
from scalesr.models import checkpoint, resolve
from scalesr.models.baselines import BASELINES
from scalesr.models.catalogue import weights_of
from scalesr.models.filling import filled
from scalesr.models.rrdb import RRDBNet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalesr.models.checkpoint import Checkpoint, Trust
    from scalesr.models.spec import Flux

_ARCHITECTURES = ("rrdb", "rrdbnet")
_NOTES = "training."
"""Begins the names of metadata that are no size of the network; `scalesr.models.load` passes over names with a dot."""

_BLOCK = r"(\d+)\.(?:RDB|rdb)([123])\.(conv[1-5])"
_NAMES: tuple[tuple[str, str], ...] = (
    # ESRGAN as first published (2018): a flat list of layers, of which upsamplings and rectifiers have no weights.
    (r"model\.0", "conv_first"),
    (rf"model\.1\.sub\.{_BLOCK}\.0", r"body.\1.rdb\2.\3"),
    (r"model\.1\.sub\.\d+", "conv_body"),
    (r"model\.3", "conv_up1"),
    (r"model\.6", "conv_up2"),
    (r"model\.8", "conv_hr"),
    (r"model\.10", "conv_last"),
    # ESRGAN as published later, BSRGAN and RealSR.
    (rf"RRDB_trunk\.{_BLOCK}", r"body.\1.rdb\2.\3"),
    (r"trunk_conv", "conv_body"),
    (r"upconv([12])", r"conv_up\1"),
    (r"HRconv", "conv_hr"),
    # Real-ESRGAN, whose names are ours.
    (rf"body\.{_BLOCK}", r"body.\1.rdb\2.\3"),
    (r"(conv_first|conv_body|conv_up1|conv_up2|conv_hr|conv_last)", r"\1"),
)
"""Names of layers in published files, and what they are called here; the first that fits."""


def load_generator(source: str | Path, *, trust: Trust = "safe") -> RRDBNet:
    """Build the RRDB network that a file of weights holds, to be trained further.

    The sizes come from the tensors. Files of scalesr say their scale. Others do not, and are taken as Real-ESRGAN makes
    them: a network whose first convolution takes as many channels as the last one returns enlarges four times, one that
    takes four times as many folds 2 x 2 pixels into channels and enlarges twice.

    Parameters
    ----------
    source
        A name of trained weights in `scalesr.models.available`, such as ``rrdb-x4``, or a file: scalesr's own, or
        ESRGAN's, BSRGAN's or Real-ESRGAN's, such as ``RealESRGAN_x4plus.pth`` or ``RealESRGAN_x2plus.pth``.
    trust
        Whether a pickle may be read.

    Returns
    -------
    RRDBNet
        On the CPU, in float32 whatever the file holds, in training mode.

    Raises
    ------
    ModelError
        If the file is absent, damaged or an untrusted pickle, or holds another network: of another architecture, with
        other layers, or with another number of doublings.
    """
    if str(source) in BASELINES:
        raise ModelError(f"'{source}' is an interpolation and learns nothing.", remedy="Name a file of weights.")
    ref = resolve(str(source), image_channels=None, image_axes="yx", trust=trust)
    kind, _, what = ref.source.partition(":")
    path = weights_of(what) if kind == "builtin" else Path(what)
    found = checkpoint.read(path, sha256=ref.sha256, trust=trust)
    architecture = found.metadata.get("architecture", _ARCHITECTURES[0])
    if architecture.lower() not in _ARCHITECTURES:
        raise _unfit(path, f"it names the architecture '{architecture}'")
    tensors = _renamed(found)
    try:
        first, last = tensors["conv_first.weight"], tensors["conv_last.weight"]
        features, growth = len(first), len(tensors["body.0.rdb1.conv1.weight"])
        scale = _scale(found, inputs=first.shape[1], outputs=len(last))
        make = partial(
            RRDBNet,
            first.shape[1] * scale**2 // 16,
            len(last),
            features=features,
            growth=growth,
            blocks=len({name.split(".")[1] for name in tensors if name.startswith("body.")}),
            scale=scale,
        )
        network = filled(make, tensors)
    except KeyError as error:
        raise _unfit(path, f"it lacks {error}") from error
    except (RuntimeError, IndexError, TypeError) as error:
        raise _unfit(path, str(error).splitlines()[-1].strip()) from error
    return network


def save_generator(
    network: RRDBNet,
    path: str | Path,
    *,
    title: str,
    flux: Flux = "free",
    extra: Mapping[str, str | float] | None = None,
) -> Path:
    """Write a generator such that the file is at any time whole: the former one or this one.

    Equal networks with equal notes give equal bytes.

    Parameters
    ----------
    network
        On any device; its weights are written in float32.
    path
        ``.safetensors``: what ``scalesr run --model`` reads, with the sizes in its metadata. ``.pth``: a pickle of
        plain tensors under ``params_ema``, which BasicSR and Real-ESRGAN fine-tune from and test with; title, flux and
        notes have no place in it. Spandrel knows both from the names of the parameters where the growth is 32, and
        takes any network with four times as many channels on input as on output for one that enlarges twice.
    title
        One line for ``scalesr models`` and for model cards.
    flux
        What a run does with this network unless told; see `scalesr.models.spec.Flux`.
    extra
        Notes on how it was trained, each put into the metadata as ``training.<name>``.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    ModelError
        If the name ends otherwise.
    OutputError
        If the file cannot be written.
    """
    goal = Path(path)
    state = {
        name: value.detach().to("cpu", torch.float32).contiguous().clone()
        for name, value in network.state_dict().items()
    }
    fresh = goal.with_name(goal.name + ".new")
    try:
        if goal.suffix == ".safetensors":
            metadata = {
                "architecture": "RRDBNet",
                "title": title,
                "flux": flux,
                **_sizes(network),
                **{f"{_NOTES}{name}": str(value) for name, value in (extra or {}).items()},
            }
            fresh.write_bytes(_encoded(state, metadata))
        elif goal.suffix == ".pth":
            torch.save({"params_ema": state}, fresh)
        else:
            raise ModelError(
                f"Weights are not written as '{goal.suffix}' ({goal}).", remedy="Use .safetensors, or .pth for BasicSR."
            )
        fresh.replace(goal)
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{goal} cannot be written: {error}.", remedy="Check the folder and the space.") from error
    return goal


def _renamed(found: Checkpoint) -> dict[str, torch.Tensor]:
    """Give the layers their names here."""
    tensors = {}
    for name, tensor in found.tensors.items():
        layer, _, kind = name.removeprefix("module.").rpartition(".")
        known = next((match.expand(new) for old, new in _NAMES if (match := re.fullmatch(old, layer))), None)
        if known is None or kind not in ("weight", "bias"):
            raise _unfit(found.path, f"it holds '{name}'")
        tensors[f"{known}.{kind}"] = tensor
    if len(tensors) < len(found.tensors):
        raise _unfit(found.path, "it holds the same layer under two names")
    return tensors


def _scale(found: Checkpoint, *, inputs: int, outputs: int) -> int:
    said = found.metadata.get("scale")
    if said is None and inputs == outputs:
        return 4
    if said == "4":
        return 4
    if said in (None, "2") and inputs % 4 == 0 and (said or inputs == 4 * outputs):
        return 2
    raise _unfit(
        found.path, f"it takes {inputs} channels, returns {outputs} and enlarges {said or 'who knows how many'} times"
    )


def _sizes(network: RRDBNet) -> dict[str, str]:
    """Return the arguments that make the network again, as text."""
    sizes = {
        "in_channels": network.conv_first.in_channels // network.fold**2,
        "out_channels": network.conv_last.out_channels,
        "features": network.conv_first.out_channels,
        "growth": network.state_dict()["body.0.rdb1.conv1.bias"].numel(),
        "blocks": len(network.body),
        "scale": network.scale,
    }
    return {name: str(size) for name, size in sizes.items()}


def _encoded(state: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return a safetensors file whose metadata are in a fixed order, which those of the library are not."""
    data = safetensors.torch.save(dict(state))
    length = int.from_bytes(data[:8], "little")
    header = {"__metadata__": dict(sorted(metadata.items())), **json.loads(data[8 : 8 + length])}
    text = json.dumps(header, separators=(",", ":")).encode()
    # Tensors begin at a multiple of eight bytes.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _unfit(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"{path} does not hold an RRDB network that enlarges 2 or 4 times: {reason}.",
        remedy="Use the weights of ESRGAN, BSRGAN, Real-ESRGAN (not its compact variants) or scalesr.",
    )
