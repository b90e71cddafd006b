"""From what a user types to a reference: names, files and functions, checked and hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scalesr.errors import ModelError
from scalesr.models import architectures, baselines, checkpoint, factory, kernels
from scalesr.models.baselines import BASELINES
from scalesr.models.spec import ModelRef

if TYPE_CHECKING:
    from scalesr.models.checkpoint import Trust
    from scalesr.models.spec import Sampling, Strategy

Scale = float | str | Fraction | Sequence[float | str | Fraction]

_WEIGHTS = Path(__file__).parent / "weights"
_DEFAULT = "rrdb-x4"
_ALIASES = {"default": _DEFAULT}
_AXES = ("yx", "zyx")
_COARSEST = 256

_DESCRIPTIONS: dict[str, str] = {
    "nearest": "repeats the nearest pixel; any scale, planes and volumes",
    "linear": "linear interpolation, antialiased on shrinking; any scale, planes and volumes",
    "cubic": "cubic convolution (Keys, a = -1/2), antialiased on shrinking; any scale, planes and volumes",
    "identity": "returns its input; for checking a pipeline",
}


def available() -> list[tuple[str, str]]:
    """Return the models that can be named, with one line on each: built in, trained here, announced by packages."""
    trained = [
        (path.stem, _title(path) + ("; the default" if path.stem == _DEFAULT else ""))
        for path in sorted(_WEIGHTS.glob("*.safetensors"))
    ]
    others = [(name, f"from {value}") for name, value in sorted(factory.announced().items())]
    return [*_DESCRIPTIONS.items(), *trained, *others]


def resolve(
    model: str,
    *,
    scale: Scale | None = None,
    axes: str | None = None,
    strategy: Strategy = "auto",
    sampling: Literal["auto"] | Sampling = "auto",
    image_channels: int | None,
    image_axes: str,
    trust: Trust = "safe",
    options: Mapping[str, Any] | None = None,
) -> ModelRef:
    """Name a model so that any process can load it; the weights are hashed and not kept.

    Parameters
    ----------
    model
        A name from `available` (``default`` is ``rrdb-x4``), a path to a file of weights, or
        ``package.module:function``.
    scale
        Output pixels for each input pixel, one for all axes or one for each, as number, ``"48/13"`` or Fraction. The
        interpolations need one; a network has its own, which is checked against it, or leaves it open along z, where
        one number is the scale along z.
    axes
        ``"yx"`` or ``"zyx"``. Interpolations mix ``"yx"`` unless told, or given three scales.
    strategy
        How channels are cut; see `Strategy`.
    sampling
        What the planes of a volume stand for; see `Sampling`. Interpolations of ``"zyx"`` believe it, pixels along y
        and x standing for areas; the others have their own, which is checked against it.
    image_channels, image_axes
        Channels of the image (None: it has no such axis) and its axes in order, such as ``"tczyx"``.
    trust
        Whether pickles may be read.
    options
        Keyword arguments for a function, or what an announced architecture can be told; must go into JSON.

    Returns
    -------
    ModelRef
        Whose hash `load` insists on.

    Raises
    ------
    ModelError
        If there is no such model, its file is a pickle that is not trusted, the image lacks the axes, or the scale is
        missing or not a fraction that a lattice can be built on.
    """
    if axes is not None and axes not in _AXES:
        raise ModelError(f"A model cannot mix the axes '{axes}'.", remedy="Use 'yx' or 'zyx'.")
    name = _ALIASES.get(model, model)
    given = _fractions(scale)
    settings: dict[str, Any] = {
        "strategy": strategy,
        "image_channels": image_channels,
        "image_axes": image_axes,
        "axes": axes,
        # As text: options travel through JSON, which would turn a tuple into a list.
        "scale": None if given is None else ",".join(map(str, given)),
    }
    if sampling != "auto":
        settings["sampling"] = sampling
    if name in BASELINES:
        _refuse_options(name, options)
        mixed, factors = _interpolated(name, given, axes)
        check_axes(name, mixed, image_axes)
        _check_sampling(name, mixed, sampling)
        settings.update(axes=mixed, scale=",".join(map(str, factors)))
        return ModelRef(source=f"builtin:{name}", sha256=baseline_hash(), options=_frozen(settings))
    path = _file_of(name)
    if path is not None:
        builtin = path.parent == _WEIGHTS
        if not builtin:
            checkpoint.refuse_pickle(path, trust=trust)
            settings["trust"] = trust
        said = architectures.header(path)
        if architectures.function_of(said) is None:
            _refuse_options(name, options)
        else:
            settings["options"] = json.dumps(dict(options or {}), sort_keys=True)
        if given is not None and len(given) == 1 and architectures.leaves_open(said):
            settings["scale"] = f"{given[0]},1,1"
        source = f"builtin:{name}" if builtin else f"file:{path.resolve()}"
        return ModelRef(source=source, sha256=checkpoint.fingerprint(path), options=_frozen(settings))
    function = factory.announced().get(name, name)
    if ":" in function:
        settings["options"] = json.dumps(dict(options or {}), sort_keys=True)
        sha256 = factory.fingerprint(function, factory.build(function, json.loads(settings["options"])))
        return ModelRef(source=f"factory:{function}", sha256=sha256, options=_frozen(settings))
    names = ", ".join(name for name, _ in available())
    raise ModelError(
        f"There is no model '{model}'.",
        remedy=f"Use one of {names}, a path to a .safetensors file, or 'package.module:function'.",
    )


def leaves_scale_open(model: str) -> bool:
    """Return whether a model needs to be told how far apart the planes of a volume are, in pixels: its scale along z.

    Parameters
    ----------
    model
        As for `resolve`.
    """
    path = _file_of(_ALIASES.get(model, model))
    return path is not None and path.is_file() and architectures.leaves_open(architectures.header(path))


def baseline_hash() -> str:
    """Return the hash of the source of the interpolations, which have no weights."""
    digest = hashlib.sha256()
    for module in (baselines, kernels):
        digest.update(Path(str(module.__file__)).read_bytes())
    return digest.hexdigest()


def weights_of(name: str) -> Path:
    """Return the file of weights of a model that was trained here."""
    return _WEIGHTS / f"{name}.safetensors"


def check_axes(name: str, axes: str, image_axes: str) -> None:
    """Refuse an image that lacks an axis that a model mixes."""
    missing = [axis for axis in axes if axis not in image_axes]
    if missing:
        raise ModelError(
            f"The model '{name}' works along '{axes}', and the image has the axes '{image_axes}'.",
            remedy="Use a model of planes ('yx') for planes, and one of volumes ('zyx') for volumes.",
        )


def _file_of(name: str) -> Path | None:
    """Return the file of weights that a name means: one that was trained here, or a path; None for anything else."""
    own = weights_of(name)
    if own.parent == _WEIGHTS and own.is_file():
        return own
    path = Path(name)
    return path if path.exists() or path.suffix.lower() in (".safetensors", *checkpoint.PICKLES) else None


def _refuse_options(name: str, options: Mapping[str, Any] | None) -> None:
    if options:
        raise ModelError(
            f"The model '{name}' takes no options, and {', '.join(options)} was given.",
            remedy="Leave out the options: only functions and architectures that packages announce have any.",
        )


def _check_sampling(name: str, axes: str, sampling: Literal["auto"] | Sampling) -> None:
    if sampling == "point" and axes != "zyx":
        raise ModelError(
            f"The model '{name}' works on each plane by itself, and planes that stand for points were asked for.",
            remedy="Work along z as well, such as --model-axes zyx --scale 4,1,1, or leave out --sampling.",
        )


def _interpolated(name: str, scale: tuple[Fraction, ...] | None, axes: str | None) -> tuple[str, tuple[Fraction, ...]]:
    """Complete the axes and the scale of an interpolation."""
    if scale is None and name == "identity":
        scale = (Fraction(1),)
    if scale is None:
        raise ModelError(
            f"The model '{name}' has no scale of its own.",
            remedy="Give one, such as --scale 4, or --scale isotropic for a volume whose voxel sizes are known.",
        )
    if axes is None:
        axes = "zyx" if len(scale) == 3 else "yx"
    if len(scale) == 1:
        scale *= len(axes)
    if len(scale) != len(axes):
        raise ModelError(
            f"{len(scale)} scales were given for the axes '{axes}'.", remedy="Give one scale, or one for each axis."
        )
    return axes, scale


def _fractions(scale: Scale | None) -> tuple[Fraction, ...] | None:
    if scale is None:
        return None
    factors = scale if isinstance(scale, Sequence) and not isinstance(scale, str) else (scale,)
    return tuple(_fraction(factor) for factor in factors)


def _fraction(factor: float | str | Fraction) -> Fraction:
    try:
        # By way of text, as 3.69 means 369/100 and not the nearest binary fraction.
        exact = Fraction(str(factor))
    except (ValueError, ZeroDivisionError) as error:
        raise ModelError(f"'{factor}' is no scale.", remedy="Give a number or a fraction such as 48/13.") from error
    if exact <= 0 or exact.denominator > _COARSEST or exact.numerator > _COARSEST * _COARSEST:
        raise ModelError(
            f"A scale of {factor} cannot be used: cells must be whole pixels on both grids.",
            remedy=f"Give a positive fraction with a denominator of at most {_COARSEST}, "
            f"such as {exact.limit_denominator(16) if exact > 0 else 4}.",
        )
    return exact


def _title(path: Path) -> str:
    metadata = architectures.header(path)
    return str(metadata.get("title", f"{metadata.get('architecture', 'network')} trained for scalesr"))


def _frozen(settings: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(settings.items()))
