"""From a reference to a model, once in each process."""

from __future__ import annotations

import json
import threading
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from scalesr.errors import ModelError
from scalesr.models import architectures, catalogue, checkpoint, determinism, factory, spandrel, trial
from scalesr.models.baselines import BASELINES, Interpolation
from scalesr.models.channels import fitted
from scalesr.models.edsr import EDSR
from scalesr.models.filling import filled
from scalesr.models.network import Network
from scalesr.models.rrdb import RRDBNet
from scalesr.models.trial import Facts

if TYPE_CHECKING:
    from scalesr.models.checkpoint import Checkpoint
    from scalesr.models.spec import Flux, Model, ModelRef, ModelSpec, Precision, Sampling

_OWN: dict[str, type[nn.Module]] = {"edsr": EDSR, "rrdb": RRDBNet, "rrdbnet": RRDBNet}
_ABOUT = ("architecture", "title", "name", "tile", "flux")

_loaded: dict[tuple[ModelRef, str, Precision], Model] = {}
_lock = threading.RLock()


def load(ref: ModelRef, *, device: str = "cpu", precision: Precision = "fp32") -> Model:
    """Load a model once in each process, whatever thread asks; asking again is free.

    Parameters
    ----------
    ref
        From `resolve`.
    device, precision
        Where and in which number format it runs.

    Returns
    -------
    Model
        Fitted to the channels of the image that `ref` was made for.

    Raises
    ------
    ModelError
        If the weights are absent or not those of the hash, or the model does not fit the image, device or precision.
    """
    with _lock:
        model = _loaded.get((ref, device, precision))
        if model is None:
            determinism.settle()
            # The caller may be inside inference mode, where nothing can be measured by gradients.
            with torch.inference_mode(mode=False):
                plain = _loaded.get((ref, "cpu", "fp32")) or _built(ref)
                _loaded[ref, "cpu", "fp32"] = plain
                model = _loaded[ref, device, precision] = plain.to(device=device, precision=precision)
        return model


def _built(ref: ModelRef) -> Model:
    settings = dict(ref.options)
    scale = None if settings["scale"] is None else tuple(map(Fraction, settings["scale"].split(",")))
    kind, _, what = ref.source.partition(":")
    if kind == "builtin" and what in BASELINES:
        _insist(ref, catalogue.baseline_hash())
        kernel = next(name for name in BASELINES if name == what)
        points = settings.get("sampling") == "point"
        return Interpolation(
            kernel, axes=settings["axes"], scale=scale or (), sampling=("point", "area", "area") if points else None
        )
    model = (_from_function if kind == "factory" else _from_file)(ref, settings, scale)
    spec = model.spec
    catalogue.check_axes(spec.name, spec.axes, settings["image_axes"])
    if settings["axes"] not in (None, spec.axes):
        raise ModelError(
            f"The model '{spec.name}' mixes the axes '{spec.axes}', and '{settings['axes']}' was asked for.",
            remedy="Leave out the axes, or use another model.",
        )
    if not _same_scale(scale, spec):
        assert scale is not None
        own, asked = (" x ".join(map(str, factors)) for factors in (spec.scale, scale))
        raise ModelError(
            f"The model '{spec.name}' scales by {own}, and {asked} was asked for.",
            remedy="Leave out the scale, or use a model made for the one you want.",
        )
    _check_sampling(settings.get("sampling"), spec)
    return fitted(model, strategy=settings["strategy"], image_channels=settings["image_channels"])


def _same_scale(scale: tuple[Fraction, ...] | None, spec: ModelSpec) -> bool:
    """Return whether a scale that was asked for is the model's.

    One number means all axes, or z where z alone grows, or all but that of objects.
    """
    if scale is None or scale == spec.scale:
        return True
    rest, one = len(spec.axes) - 1, (Fraction(1),)
    return len(scale) == 1 and spec.scale in (scale * (1 + rest), (*scale, *one * rest), (*one, *scale * rest))


def _check_sampling(asked: Sampling | None, spec: ModelSpec) -> None:
    """Refuse another meaning of the first axis than the model has."""
    own = spec.sampling[0] if spec.sampling is not None else "area"
    if asked not in (None, own):
        raise ModelError(
            f"The model '{spec.name}' takes the pixels along {spec.axes[0]} for {own}s, and {asked}s were asked for.",
            remedy="Leave out --sampling, or use another model.",
        )


def _from_function(ref: ModelRef, settings: dict[str, Any], scale: tuple[Fraction, ...] | None) -> Model:
    name = ref.source.partition(":")[2]
    built = factory.build(name, json.loads(settings["options"]))
    _insist(ref, factory.fingerprint(name, built))
    if not isinstance(built, nn.Module):
        return built
    facts = factory.facts(name, built, axes=settings["axes"], scale=scale)
    return Network(built, trial.examine(built, facts, sha256=ref.sha256))


def _from_file(ref: ModelRef, settings: dict[str, Any], scale: tuple[Fraction, ...] | None) -> Model:
    kind, _, what = ref.source.partition(":")
    path = catalogue.weights_of(what) if kind == "builtin" else Path(what)
    weights = checkpoint.read(path, sha256=ref.sha256, trust=settings.get("trust", "safe"))
    function = architectures.function_of(weights.metadata)
    if function is not None:
        return architectures.build(
            function,
            weights,
            scale=scale if architectures.leaves_open(weights.metadata) else None,
            image_channels=settings["image_channels"],
            options=json.loads(settings["options"]),
        )
    module, facts = _own(weights) if "architecture" in weights.metadata else spandrel.describe(weights)
    return Network(module, trial.examine(module, facts, sha256=ref.sha256))


def _own(weights: Checkpoint) -> tuple[nn.Module, Facts]:
    """Build a network of this package from the sizes in the metadata of its file."""
    metadata = weights.metadata
    architecture = metadata["architecture"].lower()
    if architecture not in _OWN:
        raise ModelError(
            f"{weights.path} names the architecture '{metadata['architecture']}', which is not known here.",
            remedy=f"Install the package that announces it. Known are "
            f"{', '.join(sorted({*_OWN, *architectures.announced()}))}; networks of spandrel need no such name.",
        )
    try:
        # A name with a dot, such as `training.steps`, is a note and no size.
        sizes = {name: json.loads(text) for name, text in metadata.items() if name not in _ABOUT and "." not in name}
        module = filled(partial(_OWN[architecture], **sizes), weights.tensors)
        tile = int(metadata["tile"]) if "tile" in metadata else None
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"The metadata and the weights of {weights.path} do not go together: {error}",
            remedy="Write the sizes of the network into the metadata, as named by its class.",
        ) from error
    facts = Facts(
        name=metadata.get("name", weights.path.stem),
        axes="yx",
        # The first convolution of a network that folds pixels into channels sees more of them than the image has.
        channels=sizes.get("in_channels", 1),
        tile=tile,
        flux=_flux(weights),
    )
    return module.float().eval(), facts


def _flux(weights: Checkpoint) -> Flux:
    """Return what a file of weights says of the flux; one that says nothing leaves it free."""
    match weights.metadata.get("flux", "free"):
        case "free" | "conserved" as said:
            return said
        case other:
            raise ModelError(
                f"The metadata of {weights.path} say flux = {other!r}.", remedy="Write 'conserved' or 'free'."
            )


def _insist(ref: ModelRef, found: str) -> None:
    if found != ref.sha256:
        raise ModelError(
            f"The source of the model '{ref.source}' has changed: its SHA-256 is {found}, not {ref.sha256}.",
            remedy="Install the version that the run was planned with on every worker, or start a new run.",
        )
