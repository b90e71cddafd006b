"""How to make an output again: the command and the call that ask for the same run, from what the ledger noted."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from scalesr.engine.asked import OF_THE_MACHINE, calibrated, plain, tupled
from scalesr.engine.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalesr.tiling import Plan

FLAGS = {
    "model": "--model",
    "scale": "--scale",
    "axes": "--model-axes",
    "sampling": "--sampling",
    "strategy": "--strategy",
    "level": "--level",
    "cell": "--cell",
    "halo": "--halo",
    "blend": "--blend",
    "block": "--block",
    "shard": "--shard",
    "batch": "--batch",
    "precision": "--precision",
    "device": "--device",
    "threads": "--threads",
    "normalise": "--normalise",
    "flux": "--flux",
    "deviation": "--deviation",
    "mask": "--mask",
    "missing_planes": "--missing-planes",
    "out_dtype": "--out-dtype",
    "on_bad_block": "--on-bad-block",
    "on_nan": "--on-nan",
    "metrics": "--metrics",
    "reference": "--reference",
}
"""Options of the command line by the names of `Options`."""


def changes(options: Mapping[str, Any], plan: Plan | None) -> dict[str, Any]:
    """Return the options that differ from the defaults; what was measured on a machine as the sizes that it gave."""
    default = vars(Options())
    found = {name: value for name, value in options.items() if name in default and plain(default[name]) != value}
    if found.pop("calibrate", "never") != "never" and plan is not None:
        found |= {name: plain(value) for name, value in calibrated(plan).items()}
    return {name: value for name, value in found.items() if name not in (*OF_THE_MACHINE, "job")}


def command(source: str, target: str, options: Mapping[str, Any]) -> str:
    """Return the command line that asks for the same run, as a shell takes it.

    Parameters
    ----------
    source, target
        Input and output.
    options
        From `changes`.
    """
    words = ["scalesr", "run", source, target]
    for name, value in options.items():
        if name == "model_options":
            words += [word for key, said in value for word in ("--set", f"{key}={said}")]
        elif name == "settings":
            if isinstance(value, dict) and value.get("data_range") is not None:
                words += ["--data-range", f"{value['data_range']:g}"]
        elif name in FLAGS and value is not None and value != []:
            words += [FLAGS[name], _word(value)]
    return shlex.join(words)


def call(source: str, target: str, options: Mapping[str, Any]) -> str:
    """Return the call in Python that asks for the same run."""
    lines = ["import scalesr", "", "scalesr.run(", f"    {source!r},", f"    {target!r},"]
    given = {name: value for name, value in options.items() if name != "settings"}
    lines += [f"    {name}={tupled(value)!r}," for name, value in given.items()]
    lines.append(")")
    settings = options.get("settings")
    if isinstance(settings, dict):
        lines.insert(1, "from scalesr.metrics import Settings")
        said = ", ".join(f"{name}={tupled(value)!r}" for name, value in settings.items() if value is not None)
        lines.insert(-1, f"    settings=Settings({said}),")
    return "\n".join(lines)


def _word(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
