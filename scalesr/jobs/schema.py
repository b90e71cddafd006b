"""What a job file may hold, derived from the settings of a run: its model, its schema, a file with defaults."""

from __future__ import annotations

from functools import cache
from textwrap import wrap
from typing import TYPE_CHECKING, Any, get_args

from scalesr.jobs.declaring import settings_of
from scalesr.jobs.settings import RunSettings

if TYPE_CHECKING:
    from pydantic import BaseModel

    from scalesr.jobs.declaring import Setting

REQUIRED = {"source": "in.ome.zarr", "target": "out.ome.zarr"}
"""Settings that a file must hold, and what stands there as an example."""
TITLE = "A run of scalesr"
ABOUT = (
    "All that decides a run of scalesr, in one file: `scalesr run job.yaml`. Names and values are those of the command "
    "line; paths are relative to the folder of the file."
)
_WIDTH = 100


@cache
def job_model() -> type[BaseModel]:
    """Return the pydantic model of a job file: a field for each setting, nothing else, and no conversion of types."""
    from pydantic import ConfigDict, Field, create_model  # noqa: PLC0415 takes a tenth of a second

    fields: dict[str, Any] = {
        one.field: (
            _kind(one),
            Field(... if one.name in REQUIRED else one.default, alias=one.name, description=about(one), ge=one.least),
        )
        for one in settings_of(RunSettings)
    }
    rules = ConfigDict(extra="forbid", strict=True, title=TITLE, protected_namespaces=())
    return create_model("JobModel", __config__=rules, __doc__=ABOUT, **fields)


def job_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a job file, with which editors complete and check it."""
    schema = job_model().model_json_schema(by_alias=True)
    for one in schema["properties"].values():
        # Made of the name, which stands there anyway.
        one.pop("title", None)
        if one.get("default", ...) is None:
            del one["default"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def job_defaults() -> str:
    """Return a job file that holds every setting with its help and its default, all but the places commented out."""
    lines = ["# yaml-language-server: $schema=job.schema.json", *_comment(ABOUT)]
    panel = None
    for one in sorted(settings_of(RunSettings), key=lambda one: _panels().index(one.panel)):
        if one.panel != panel:
            panel = one.panel
            lines += ["", "", f"# === {panel or 'What'} ==="]
        lines += ["", *_comment(f"{one.help} ({one.values_in_file})")]
        if one.name in REQUIRED:
            lines.append(f"{one.name}: {REQUIRED[one.name]}")
        elif one.default is None:
            lines.append(f"#{one.name}:" + (f"  # {one.otherwise}" if one.otherwise else ""))
        else:
            lines.append(f"#{one.name}: {_yaml(one.default)}")
    return "\n".join([*lines, ""])


def about(setting: Setting) -> str:
    """Return the help of a setting, and what holds where it is not given."""
    return f"{setting.help} Default: {setting.otherwise}." if setting.otherwise else setting.help


def _kind(setting: Setting) -> Any:
    """Return the type of a setting in a file: that of the command line, or what is natural there."""
    if setting.natural is None:
        return setting.kind if setting.name not in REQUIRED else str
    # Several texts of the command line are a mapping in a file.
    several = list[str] in get_args(setting.kind)
    return setting.natural.kind | (None if several else setting.kind)


@cache
def _panels() -> list[str]:
    return list(dict.fromkeys(one.panel for one in settings_of(RunSettings)))


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in wrap(text, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)]


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
