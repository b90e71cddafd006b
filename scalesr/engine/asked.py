"""What a run was asked for, kept in the manifest of its output, so that it can be done again without being asked.

An output may come from a stranger. What is read back decides nothing but the run that it describes: it names no storage
options, and what would run code of its choosing is refused unless the caller says so.
"""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scalesr.engine.ledger import MANIFEST
from scalesr.engine.options import Options
from scalesr.errors import LedgerError, ModelError
from scalesr.images import Location
from scalesr.metrics import Settings
from scalesr.secrecy import without_secrets

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from scalesr.engine.ledger import Manifest
    from scalesr.models import ModelRef
    from scalesr.tiling import Plan

KEY = "options"
"""Where, in the provenance, the options lie."""
OF_THE_MACHINE = ("mode", "scheduler", "workers", "memory", "share", "trust")
"""Options that say how a run is done and not what, or that nobody but the user may give."""
Trust = Literal["safe", "pickle"]
"""``pickle``: what a manifest names may run code, being weights that are a pickle, or a function of a package."""


def noted(options: Options, ref: ModelRef) -> dict[str, Any]:
    """Return options as the manifest keeps them: JSON values, places in full, the model by where it was found."""
    places = {
        "model": ref.source.removeprefix("file:") if ref.source.startswith("file:") else options.model,
        "deviation": _place(options.deviation, "beside", "none"),
        "mask": _place(options.mask, "auto", "none"),
        "reference": None if options.reference is None else _place(options.reference),
    }
    given = {field.name: getattr(options, field.name) for field in fields(options) if field.name not in OF_THE_MACHINE}
    return {name: plain(value) for name, value in {**given, **places}.items()}


def _place(text: str, *words: str) -> str:
    return text if text in words else without_secrets(Location.parse(text).url)


def plain(value: Any) -> Any:
    """Return the value of an option as JSON has it."""
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, Settings):
        return asdict(value)
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def asked(manifest: Manifest, plan: Plan, *, model: str | None, trust: Trust) -> Options:
    """Return the options of the run that a manifest describes, to resume it with.

    Parameters
    ----------
    manifest, plan
        The manifest, and the plan in it.
    model
        Where the model lies now; where it lay when not given.
    trust
        Whether what the manifest names may run code.

    Raises
    ------
    LedgerError
        The manifest has no options, being of an earlier version, or they are damaged.
    ModelError
        Code would run that nobody but the manifest asks for.
    """
    stored = manifest.provenance.get(KEY)
    if not isinstance(stored, dict):
        raise LedgerError(
            f"The manifest of {manifest.where} does not say with which options the run was made: it is of an earlier "
            "version of scalesr.",
            remedy="Start again with --overwrite, or delete the records of the blocks in question from "
            "scalesr/blocks and repeat the command of the run with --resume.",
        )
    known = {field.name for field in fields(Options)} - set(OF_THE_MACHINE)
    try:
        values = {name: tupled(value) for name, value in stored.items()}
        _check_names(values.keys() - known)
        if values.get("settings") is not None:
            values["settings"] = Settings(**values["settings"])
        if values.get("calibrate") != "never":
            # What was measured then, on that machine, is what counts.
            values |= {**calibrated(plan), "calibrate": "never"}
        options = Options(**{**values, "mode": "resume"})
        _check_texts(options)
    except (ValueError, TypeError, AttributeError) as error:
        raise LedgerError(
            f"The options in the {MANIFEST} of {manifest.where} are damaged ({error}).",
            remedy="Start again with --overwrite.",
        ) from error
    if trust == "safe":
        _refuse_code(options, model=model)
    return replace(options, model=model or options.model, trust="safe" if trust == "safe" else "pickle")


def calibrated(plan: Plan) -> dict[str, Any]:
    """Return the options that a calibration gave: the cell of the axes that the model mixes, and the batch."""
    mixed = zip(plan.lattice.axes, plan.mixed, strict=True)
    return {"cell": tuple(axis.cell for axis, is_mixed in mixed if is_mixed), "batch": plan.batch}


def tupled(value: Any) -> Any:
    """Return a value as options have it, of what JSON made of it: lists are tuples."""
    if isinstance(value, list):
        return tuple(tupled(item) for item in value)
    if isinstance(value, dict):
        return {name: tupled(item) for name, item in value.items()}
    return value


def _check_texts(options: Options) -> None:
    for name in ("model", "strategy", "device", "deviation", "mask", "precision"):
        if not isinstance(getattr(options, name), str):
            raise TypeError(f"{name} is no text")


def _check_names(unknown: AbstractSet[str]) -> None:
    if unknown:
        raise ValueError(f"this version of scalesr does not know {', '.join(sorted(unknown))}")


def _refuse_code(options: Options, *, model: str | None) -> None:
    code = []
    # What the caller names is the caller's wish.
    if model is None and ":" in options.model and not Path(options.model).is_file():
        code.append(f"the model {options.model}")
    features = options.settings.features if options.settings is not None else "small"
    if features != "small":
        code.append(f"the features {features}")
    if code:
        raise ModelError(
            f"The run was made with {' and '.join(code)}, code that would run again because the output says so.",
            remedy="If you know it, pass --trust pickle.",
        )
