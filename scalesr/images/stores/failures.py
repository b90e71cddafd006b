"""What a store's refusal means: is it worth another try, and what must be said about it."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from scalesr.errors import StorageError
from scalesr.secrecy import without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["missing", "container", "credentials", "key", "denied", "unreachable", "busy", "other"]
"""No such object; no such bucket; no credentials at all; credentials that the store refuses; an operation that it
refuses; nobody answers; it answers that something is wrong with itself; anything else."""

PASSING = frozenset({"unreachable", "busy"})
"""Kinds that may be over in a moment."""

_CODES: dict[str, Kind] = {
    "NoSuchBucket": "container",
    "InvalidBucketName": "container",
    "NoSuchKey": "missing",
    "404": "missing",
    "InvalidAccessKeyId": "key",
    "SignatureDoesNotMatch": "key",
    "InvalidSecurity": "key",
    "ExpiredToken": "key",
    "InvalidToken": "key",
    "TokenRefreshRequired": "key",
    "AuthorizationHeaderMalformed": "key",
    "RequestTimeTooSkewed": "key",
    "AccessDenied": "denied",
    "AllAccessDisabled": "denied",
    "403": "denied",
    "MethodNotAllowed": "denied",
    "SlowDown": "busy",
    "RequestTimeout": "busy",
    "InternalError": "busy",
    "ServiceUnavailable": "busy",
    "Throttling": "busy",
    "ThrottlingException": "busy",
    "RequestLimitExceeded": "busy",
    "TooManyRequests": "busy",
    "ConditionalRequestConflict": "busy",  # somebody else puts the same object at this moment
    "BadDigest": "busy",  # the content was damaged on its way
    "IncompleteBody": "busy",
    "XAmzContentSHA256Mismatch": "busy",
}
_BUSY = (408, 425, 429, 500, 502, 503, 504, 509, 520, 522, 524)
_STATUSES: dict[int, Kind] = {401: "key", 403: "denied", 404: "missing", 405: "denied"}
_STATUSES.update((status, "busy") for status in _BUSY)
_NAMES: dict[str, Kind] = {
    "NoCredentialsError": "credentials",
    "PartialCredentialsError": "credentials",
    "ProfileNotFound": "credentials",
    "CredentialRetrievalError": "credentials",
    "UnauthenticatedError": "key",
    "PermissionDeniedError": "denied",
    "ConnectionError": "unreachable",  # that of botocore is not Python's
    "HTTPClientError": "unreachable",
    "ClientConnectionError": "unreachable",
    "ClientPayloadError": "unreachable",
    "IncompleteRead": "unreachable",
    "IncompleteReadError": "unreachable",
    "ResponseStreamingError": "unreachable",
    "ResponseParserError": "busy",
    "FSTimeoutError": "unreachable",
    "HttpProcessingError": "unreachable",
}
"""By the names of classes: botocore, aiohttp and obstore need not be installed."""

_ERRNOS: dict[int, Kind] = {
    errno.EBUSY: "busy",
    getattr(errno, "EREMOTEIO", 121): "busy",
    errno.ETIMEDOUT: "unreachable",
    errno.ECONNRESET: "unreachable",
    errno.ECONNREFUSED: "unreachable",
    errno.EPIPE: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
}
_OBSTORE_CODE = re.compile(r"<Code>(\w+)</Code>")
_OBSTORE_STATUS = re.compile(r"status(?: code)?:? (\d{3})")
_OBSTORE_BROKEN = re.compile(
    r"(?i)error sending request|connection (?:closed|reset|refused)|timed out|error decoding response body|incomplete"
)


@dataclass(frozen=True)
class _Words:
    problem: str
    remedy: str


_CREDENTIALS = (
    "Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for a public bucket FSSPEC_S3_ANON=true. A store "
    "that is not Amazon's needs AWS_ENDPOINT_URL as well."
)
_WORDS: dict[Kind, _Words] = {
    "missing": _Words("there is nothing of this name", "Check the address."),
    "container": _Words("there is no such bucket", "Check its name and AWS_ENDPOINT_URL; scalesr makes no buckets."),
    "credentials": _Words("no credentials were found", _CREDENTIALS),
    "key": _Words("the store refuses the credentials", "Check the key, the secret, the token and the clock. "),
    "denied": _Words("permission is denied", "Ask for the permission, or use other credentials. "),
    "unreachable": _Words(
        "the store does not answer", "Check the network and AWS_ENDPOINT_URL; a run goes on with --resume."
    ),
    "busy": _Words("the store is out of order or overloaded", "Try again later; a run goes on with --resume."),
    "other": _Words(
        "the store failed", "Check the address, the credentials and the store; a run goes on with --resume."
    ),
}


class StoreError(StorageError):
    """A store refuses, or cannot be reached. Nothing about the pixels is wrong.

    Parameters
    ----------
    problem, remedy
        See `ScalesrError`.
    kind
        What it comes down to.
    """

    def __init__(self, problem: str, *, remedy: str, kind: Kind = "other") -> None:
        super().__init__(problem, remedy=remedy)
        self.kind: Kind = kind

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.problem, self.remedy, self.kind)


def _rebuild(problem: str, remedy: str, kind: Kind) -> StoreError:
    return StoreError(problem, remedy=remedy, kind=kind)


def kind_of(error: BaseException) -> Kind:
    """Return what an error of fsspec, botocore, aiohttp or obstore comes down to."""
    if isinstance(error, StoreError):
        return error.kind
    for one in _chain(error):
        kind = _kind(one)
        if kind is not None:
            return kind
    return "other"


def is_there(error: BaseException) -> bool:
    """Return whether an error says that there is an object already where none was to be."""
    for one in _chain(error):
        response = getattr(one, "response", None)
        if isinstance(response, dict):  # botocore
            code = str(response.get("Error", {}).get("Code", ""))
            return code == "PreconditionFailed" or response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 412
        if isinstance(one, FileExistsError) or type(one).__name__ in ("AlreadyExistsError", "PreconditionError"):
            return True
    return False


def fault(error: BaseException, *, place: str, doing: str, tried: int, seconds: float) -> StoreError:
    """Return what to tell a user about an error.

    Parameters
    ----------
    error
        What the client said.
    place
        Address of the object.
    doing
        What was tried, such as ``read``.
    tried, seconds
        How often, and for how long.
    """
    kind = kind_of(error)
    words = _WORDS[kind]
    often = f"; tried {tried} times in {seconds:.0f} s" if tried > 1 else ""
    detail = without_secrets(" ".join(_detail(error).split()))[:300]
    problem = f"{place} cannot be {doing}: {words.problem} ({detail}{often})."
    return StoreError(problem, remedy=words.remedy.strip(), kind=kind)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the causes of an error, the first cause first: what the server said is plainer than what became of it."""
    found = [error]
    while (cause := found[-1].__cause__) is not None and cause not in found:
        found.append(cause)
    yield from reversed(found)


def _kind(error: BaseException) -> Kind | None:
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        code = str(response.get("Error", {}).get("Code", ""))
        return _CODES.get(code) or _by_status(response.get("ResponseMetadata", {}).get("HTTPStatusCode"))
    if _from_obstore(error) or "<Code>" in str(error):
        kind = _in_text(error)
        if kind is not None:
            return kind
    for owner in type(error).__mro__:
        if owner.__name__ in _NAMES:
            return _NAMES[owner.__name__]
    return _by_number(error) or _by_type(error)


def _by_number(error: BaseException) -> Kind | None:
    """Return what a status of HTTP says, by whatever name a client has it."""
    kinds = (_by_status(getattr(error, name, None)) for name in ("status", "status_code", "code"))
    return next(filter(None, kinds), None)


def _by_type(error: BaseException) -> Kind | None:
    """Return what one of Python's own errors says."""
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return "container" if "bucket does not exist" in str(error) else "missing"
    if isinstance(error, PermissionError):
        return "denied"
    if isinstance(error, ConnectionError | TimeoutError | EOFError):
        return "unreachable"
    return _ERRNOS.get(error.errno or 0) if isinstance(error, OSError) else None


def _from_obstore(error: BaseException) -> bool:
    return type(error).__module__.startswith("obstore")


def _in_text(error: BaseException) -> Kind | None:
    """Return what the server said, as far as obstore repeats it in its text."""
    text = str(error)
    if "NoCredentialsError" in text:
        return "credentials"
    code = _OBSTORE_CODE.search(text)
    if code is not None and code[1] in _CODES:
        return _CODES[code[1]]
    status = _OBSTORE_STATUS.search(text)
    if status is not None:
        return _by_status(int(status[1]))
    return "unreachable" if _from_obstore(error) and _OBSTORE_BROKEN.search(text) else None


def _by_status(status: Any) -> Kind | None:
    return _STATUSES.get(status) if isinstance(status, int) else None


def _detail(error: BaseException) -> str:
    text = str(error)
    if _from_obstore(error) or "<Code>" in text:
        # It repeats the whole answer, and prints a structure of Rust after an empty line.
        message = re.search(r"<Message>([^<]+)</Message>", text)
        text = message[1] if message else text.split("\n\n", 1)[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
