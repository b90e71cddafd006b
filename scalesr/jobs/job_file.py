"""A run as one file: read, checked, and run."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from scalesr.jobs.declaring import settings_of
from scalesr.jobs.settings import RunSettings
from scalesr.jobs.values import OptionError, parse_store
from scalesr.secrecy import without_secrets

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from scalesr.engine import Callback, Options, Result
    from scalesr.jobs.declaring import Setting
    from scalesr.jobs.reading import Document

ENDINGS = (".yaml", ".yml")
"""How the name of a job file ends."""
BESIDE = ("dry-run", "json", "log", "quiet", "report", "traceback")
"""Options of `scalesr run` that say what it shows, and not what is run."""
_VARIABLE = re.compile(r"\$\w|\$\{|^~|%\w+%")
_OPTION = re.compile(r"--([a-z]+(?:-[a-z]+)*)")


@dataclass(frozen=True, kw_only=True)
class JobFile:
    """All that decides a run, as a file holds it: input, output, model, tiles, measurements, cluster.

    It is checked when it is read; what cannot be understood is an error that names the line.
    """

    path: str
    """Where the file lies, as it was named."""
    sha256: str
    """Of its bytes."""
    told: Mapping[str, Any]
    """What it sets, by the names of `RunSettings`, in the texts of the command line."""
    lines: Mapping[str, int]
    """Line of each setting, by its name on the command line."""

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read and check a job file.

        Names and values are those of the command line; numbers, lists and mappings are taken too. Paths are relative
        to the folder of the file. Variables of the environment are not looked at, and secrets are refused.

        Raises
        ------
        OptionError
            It cannot be read, sets something that there is not, or something twice, or holds what may be a secret.
        """
        from scalesr.jobs.reading import read_document  # noqa: PLC0415 commands without a job need no YAML

        name = str(path)
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            raise OptionError(f"{name} cannot be read: {error.strerror or error}.", remedy="Check the path.") from error
        document = read_document(content, name=name)
        _check_names(document, name=name)
        _check_texts(document, name=name)
        _check_values(document, name=name)
        told = {}
        for one in settings_of(RunSettings):
            value = document.values.get(one.name)
            if value is None:
                continue
            if one.natural is not None:
                value = one.natural.told(value)
            if one.place is not None and one.place.names_path(value):
                _check_path(one.name, value, f"{name}, line {document.line((one.name,))}")
                value = one.place.within(Path(path).parent, value)
            told[one.field] = value
        job = cls(
            path=name,
            sha256=hashlib.sha256(content).hexdigest(),
            told=told,
            lines={key: document.line((key,)) for key in document.values},
        )
        # What may be a secret is told before anything is done.
        for option in ("storage-options", "target-options"):
            with_line = told.get(option.replace("-", "_"))
            try:
                parse_store(with_line, f"--{option}")
            except OptionError as error:
                raise job.placed(error) from error
        return job

    @property
    def settings(self) -> RunSettings:
        """The settings of the run."""
        return RunSettings(**self.told)

    @property
    def origin(self) -> tuple[str, str]:
        """The absolute path of the file, and the SHA-256 of its bytes, as the manifest of the output keeps them."""
        return str(Path(self.path).absolute()), self.sha256

    def changed(self, **changes: Any) -> Self:
        """Return the job with other settings, by the names of `RunSettings` and in the texts of the command line.

        Raises
        ------
        OptionError
            There is no such setting.
        """
        known = {one.field: one.name for one in settings_of(RunSettings)}
        for name in changes:
            if name not in known:
                raise OptionError(f"A run has no setting {name!r}.", remedy=_nearest(name, known))
        names = {known[name] for name in changes}
        lines = {name: line for name, line in self.lines.items() if name not in names}
        return replace(self, told={**self.told, **changes}, lines=lines)

    def options(self) -> Options:
        """Return the options of the engine.

        Raises
        ------
        OptionError
            A text cannot be understood, or settings contradict each other; the message names the line.
        """
        try:
            return self.settings.options(job=self.origin)
        except OptionError as error:
            raise self.placed(error) from error

    def run(self, *, callbacks: Sequence[Callback] = ()) -> Result | Any:
        """Run the job; see `scalesr.run`: a `PlateResult` comes of a plate.

        Raises
        ------
        ScalesrError
            As `scalesr.run`.
        """
        options, settings = self.options(), self.settings
        from scalesr.report import run  # noqa: PLC0415 torch takes seconds

        return run(
            settings.open(),
            str(settings.target),
            options=options,
            callbacks=callbacks,
            target_options=settings.store_of_target(),
            fields=settings.patterns(),
            normalise_by=settings.normalise_by,
        )

    def placed(self, error: OptionError) -> OptionError:
        """Return an error with the line of the setting that it names, if the file sets that."""
        named = _OPTION.search(error.problem)
        line = None if named is None else self.lines.get(named[1])
        if line is None:
            return error
        return OptionError(f"{self.path}, line {line}: {error.problem}", remedy=error.remedy)


def run_job(path: str | os.PathLike[str], *, callbacks: Sequence[Callback] = (), **changes: Any) -> Result | Any:
    """Run what a job file describes, as ``scalesr run job.yaml`` does.

    Parameters
    ----------
    path
        The file.
    callbacks
        Called with each event, in this process.
    **changes
        Settings that win over those of the file, in the texts of the command line: ``resume=True``, ``scale="2"``.

    Returns
    -------
    Result or PlateResult
        A `PlateResult` where the input is a plate.

    Raises
    ------
    ScalesrError
        What is wrong with the file, naming the line, or as `scalesr.run`.
    """
    return JobFile.read(path).changed(**changes).run(callbacks=callbacks)


def names_job(text: str | None) -> bool:
    """Return whether a text names a job file and no image."""
    return text is not None and text.lower().endswith(ENDINGS)


def _nearest(name: str, known: Mapping[str, str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return (f"Did you mean {near[0]}? " if near else "") + "`scalesr schema --defaults` names all."


def _check_names(document: Document, *, name: str) -> None:
    known = {one.name: one.name for one in settings_of(RunSettings)}
    for key in document.values:
        where = f"{name}, line {document.line((key,))}"
        if key in BESIDE:
            raise OptionError(
                f"{where}: {key} says what the command shows, and not what is run.",
                remedy=f"Leave it out, and give --{key} beside the file.",
            )
        if key not in known:
            raise OptionError(f"{where}: there is no setting {key!r}.", remedy=_nearest(key.replace("_", "-"), known))


def _check_texts(document: Document, *, name: str) -> None:
    """Refuse addresses with passwords or signatures in them."""
    for where, text in _texts(document.values, ()):
        if without_secrets(text) != text:
            raise OptionError(
                f"{name}, line {document.line(where)}: {where[0]} holds what looks like a secret.",
                remedy="Leave it out: keys are found where the tools of the store look for them, such as AWS_PROFILE.",
            )


def _texts(value: Any, where: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _texts(item, (*where, key))


def _check_values(document: Document, *, name: str) -> None:
    from pydantic import ValidationError  # noqa: PLC0415 takes a tenth of a second

    from scalesr.jobs.schema import REQUIRED, job_model  # noqa: PLC0415

    for key in REQUIRED:
        if document.values.get(key) is None:
            raise OptionError(f"{name} sets no {key}.", remedy=f"Add a line such as `{key}: {REQUIRED[key]}`.")
    try:
        job_model().model_validate(document.values)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        setting = next(one for one in settings_of(RunSettings) if one.name == key)
        raise OptionError(
            f"{name}, line {document.line((key,))}: {key} is {_short(document.values[key])}, which it cannot be.",
            remedy=_such(setting),
        ) from error


def _short(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _such(setting: Setting) -> str:
    return f"Give {setting.values_in_file}. {setting.help}"


def _check_path(name: str, text: str, where: str) -> None:
    if _VARIABLE.search(text):
        raise OptionError(
            f"{where}: {name} is {text!r}; neither variables nor ~ are filled in.",
            remedy=f"Write the path, or give --{name} beside the file."
            if name not in ("source", "target")
            else "Write the path, or one that is relative to the file.",
        )
