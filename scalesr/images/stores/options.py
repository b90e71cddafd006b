"""The options with which a store is opened, and what of them may be seen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, get_args

from scalesr.errors import InputError
from scalesr.secrecy import HIDDEN, lock_away, take_out

if TYPE_CHECKING:
    from collections.abc import Iterator

Client = Literal["auto", "fsspec", "obstore"]
"""Who talks to the store: obstore knows S3 only and is faster; ``auto`` takes it there if it is installed."""

OWN = "scalesr"
"""Name of the options that are not for the client but for scalesr; see `StoreSettings`."""

_VARIABLE = "SCALESR_STORE_"
_OPEN = frozenset(
    {
        *("anon", "client", "endpoint", "endpoint_url", "profile", "profile_name", "region", "region_name"),
        *("addressing_style", "signature_version", "mode", "protocol", "target_protocol", "remote_protocol", "host"),
        *("project", "requester_pays", "compression", "request_checksum_calculation", "response_checksum_validation"),
    }
)
"""Names of texts that may be seen. Whatever is not known to be harmless is a secret."""


class StoreOptions(Mapping[str, Any]):
    """What fsspec or obstore is told to open a store: hashable, and its secrets stay in this process.

    Shown, it names its options and blacks out all but the harmless ones. Pickled, it holds tokens in their place,
    which only processes understand that were told the values; see `scalesr.secrecy`. Any process can unpickle it, show
    it and pickle it again, as the scheduler of a cluster does, which is told nothing.
    """

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        # At once: whoever hands secrets over must know them before the first task is pickled.
        self._sealed = _closed(values or {})

    @classmethod
    def of(cls, values: Mapping[str, Any] | None) -> StoreOptions:
        """Return options as these, unless they are already."""
        return values if isinstance(values, cls) else cls(values)

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sealed)

    def __len__(self) -> int:
        return len(self._sealed)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and self._values == dict(other)

    def __repr__(self) -> str:
        return f"StoreOptions({_shown(self._sealed)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self._sealed,)

    @cached_property
    def _values(self) -> dict[str, Any]:
        try:
            return _opened(self._sealed)
        except KeyError as error:
            raise InputError(
                "This process was not told the secrets of a store: they do not travel in graphs.",
                remedy="Let scalesr hand them over (scalesr.run with a scheduler's address), or give the workers the "
                "credentials themselves: AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
            ) from error

    @cached_property
    def _hash(self) -> int:
        return hash(_frozen(self._values))


def _restored(sealed: dict[str, Any]) -> StoreOptions:
    found = StoreOptions()
    found._sealed = sealed  # noqa: SLF001 its own, as it was pickled
    return found


@dataclass(frozen=True)
class _Token:
    """Stands for a value in what is pickled."""

    token: str


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """How scalesr itself deals with a store; given as the option ``scalesr`` or in the environment."""

    client: Client = "auto"
    """Who talks to it; SCALESR_STORE_CLIENT."""
    patience: float = 120.0
    """Seconds for which a request is tried again while the store is out of order; SCALESR_STORE_PATIENCE."""
    in_flight: int = 32
    """Requests at the same time, of one process to one store; SCALESR_STORE_IN_FLIGHT."""

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> StoreSettings:
        """Return the settings among options of a store; the environment says what they do not.

        Raises
        ------
        InputError
            A setting is unknown, or is not of its kind.
        """
        given = options.get(OWN, {})
        known = {field.name for field in fields(cls)}
        if not isinstance(given, Mapping) or not given.keys() <= known:
            raise InputError(
                f"The option {OWN!r} of a store cannot be understood.",
                remedy=f"Give a mapping of {', '.join(sorted(known))}.",
            )
        said = {name: os.environ.get(f"{_VARIABLE}{name.upper()}") for name in known}
        values = {name: value for name, value in said.items() if value} | dict(given)
        try:
            found = cls(
                client=values.get("client", cls.client),
                patience=float(values.get("patience", cls.patience)),
                in_flight=int(values.get("in_flight", cls.in_flight)),
            )
        except (TypeError, ValueError) as error:
            raise _misunderstood(f"{error}") from error
        if found.client not in get_args(Client):
            raise _misunderstood(f"there is no client {found.client!r}")
        if not found.patience >= 0 or found.in_flight < 1:
            raise _misunderstood("patience is a time, and at least one request is needed in flight")
        return found


def _misunderstood(why: str) -> InputError:
    return InputError(
        f"The settings of stores cannot be understood: {why}.",
        remedy=f"Give as client {', '.join(get_args(Client))}, as patience seconds, as in_flight a number of requests; "
        f"in the environment {_VARIABLE}CLIENT, {_VARIABLE}PATIENCE and {_VARIABLE}IN_FLIGHT.",
    )


def _harmless(name: str, value: Any) -> bool:
    """Return whether a value may be seen: numbers, and texts of known names that hold no password."""
    if value is None or isinstance(value, bool | int | float):
        return True
    return isinstance(value, str) and name in _OPEN and not set("@?") & set(value)


def _shown(values: Mapping[str, Any]) -> str:
    parts = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            parts.append(f"{name}={{{_shown(value)}}}")
        else:
            parts.append(f"{name}={value!r}" if _harmless(str(name), value) else f"{name}={HIDDEN}")
    return ", ".join(parts)


def _closed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values in which tokens stand for all that is not harmless."""
    return {
        name: _closed(value)
        if isinstance(value, Mapping)
        else value
        if _harmless(str(name), value)
        else _Token(lock_away(value))
        for name, value in values.items()
    }


def _opened(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _opened(value)
        if isinstance(value, Mapping)
        else take_out(value.token)
        if isinstance(value, _Token)
        else value
        for name, value in values.items()
    }


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return frozenset((name, _frozen(item)) for name, item in value.items())
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    try:
        hash(value)
    except TypeError:
        return id(value)  # a session, a credential: the same only if it is the same
    return value
