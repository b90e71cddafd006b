"""What nobody shall read: kept out of texts, and out of everything that is pickled.

A value that is locked away stays in the memory of its process. What travels is a token; whoever starts processes hands
them the values once, over its own connection, so that no task, no graph and no log holds one.
"""

from __future__ import annotations

import os
import re
from secrets import token_hex
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

HIDDEN = "***"
_NAMES = r"(?:[\w-]*(?:signature|token|credential|secret|key|password)|sig|code)"
SECRETS = (
    (re.compile(r"(?<=://)[^/@\s]+(?=@)"), HIDDEN),
    (re.compile(rf"(?i)(?<=[?&])({_NAMES}=)[^&\s'\"]+"), rf"\1{HIDDEN}"),
)
"""User and password before a host, and signed parts of a query: what an address in an error message may give away."""

_VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_TOKEN")
_SHORTEST = 6
"""Characters of the shortest value that is looked for in texts; shorter ones occur in innocent words."""

_locker: dict[str, Any] = {}
_lock = Lock()


def lock_away(value: Any) -> str:
    """Keep a value in this process and return the token that stands for it; equal values have one token."""
    with _lock:
        for token, known in _locker.items():
            if type(known) is type(value) and known == value:
                return token
        token = token_hex(16)
        _locker[token] = value
    return token


def take_out(token: str) -> Any:
    """Return the value that a token stands for.

    Raises
    ------
    KeyError
        This process was never told it.
    """
    return _locker[token]


def locked_away() -> dict[str, Any]:
    """Return all that is locked away, by token."""
    with _lock:
        return dict(_locker)


def named_in(content: bytes) -> dict[str, Any]:
    """Return what is locked away under the tokens that a pickle holds, by token: what its reader must be told."""
    return {token: value for token, value in locked_away().items() if token.encode() in content}


def take_over(values: Mapping[str, Any]) -> None:
    """Lock away what another process told."""
    with _lock:
        _locker.update(values)


def forget(tokens: Iterable[str]) -> None:
    """Drop values, by token."""
    with _lock:
        for token in tokens:
            _locker.pop(token, None)


def without_secrets(text: str) -> str:
    """Return a text in which secrets are blacked out: those in addresses, and every value that is locked away."""
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    for value in sorted(_known(), key=len, reverse=True):
        if value in text:
            text = text.replace(value, HIDDEN)
    return text


def _known() -> set[str]:
    texts = {text for value in locked_away().values() for text in _texts(value)}
    texts.update(filter(None, map(os.environ.get, _VARIABLES)))
    texts.update([quote(text, safe="") for text in texts])
    return {text for text in texts if len(text) >= _SHORTEST}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode(errors="replace")
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _texts(item)
