"""Repositories of Icechunk, in a local folder or in a bucket of S3; it need not be installed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from scalesr.errors import InputError, OutputError
from scalesr.images.stores import StoreOptions, client_options, open_account

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalesr.images.locations import Location


@dataclass(frozen=True)
class _Credentials:
    """Tells Icechunk who this is, again when the credentials end. Pickled, it holds tokens in the place of secrets."""

    options: StoreOptions

    def __call__(self) -> Any:
        account = open_account(self.options)
        assert account.credentials is not None
        found = account.credentials()
        return icechunk().S3StaticCredentials(
            access_key_id=found["access_key_id"],
            secret_access_key=found["secret_access_key"],
            session_token=found["token"],
            expires_after=found["expires_at"],
        )


def icechunk() -> Any:
    """Return the package.

    Raises
    ------
    InputError
        It is not installed.
    """
    try:
        return import_module("icechunk")
    except ImportError as error:
        raise InputError(
            "Icechunk is not installed, which keeps such repositories.", remedy="pip install 'scalesr[icechunk]'"
        ) from error


def open_repository(location: Location) -> Any:
    """Return the repository at a place, made if there is none.

    Raises
    ------
    InputError
        Icechunk is not installed, or does not know such a place.
    OutputError
        It cannot be opened or made.
    """
    package = icechunk()
    # What it warns of on a disk, that two may not commit at the same moment, is told in the documentation.
    package.set_logs_filter("icechunk=error")
    storage = _storage(package, location)
    try:
        _check_folder(location, holds_one=lambda: package.Repository.exists(storage))
        return package.Repository.open_or_create(storage)
    except package.IcechunkError as error:
        raise refused(location, error) from error


def _check_folder(location: Location, *, holds_one: Callable[[], bool]) -> None:
    """Refuse a local place where Icechunk would fail, or add its files to others."""
    path, parent = location.path, location.nearest_parent()
    if path is None:
        return
    if path.is_file() or (path.is_dir() and any(path.iterdir()) and not holds_one()):
        raise OutputError(
            f"{location} exists and is no repository of Icechunk.",
            remedy="Choose another place; a folder that is empty or not there is made into one.",
        )
    if parent is not None and not os.access(path if path.is_dir() else parent, os.W_OK):
        raise OutputError(f"{location} cannot be written to.", remedy="Choose another place, or ask for permission.")


def refused(location: Location, error: Exception) -> OutputError:
    """Return what to tell a user about an error of Icechunk: the first line that it says, without its traces."""
    lines = (re.sub(r"^\W+", "", line) for line in str(error).splitlines())
    words = next((line for line in lines if line), type(error).__name__)
    return OutputError(
        f"The repository {location} cannot be used: {words}.",
        remedy="Check its address, the permissions and the credentials, then run the same command again.",
    )


def _storage(package: Any, location: Location) -> Any:
    if location.path is not None:
        return package.local_filesystem_storage(str(location.path))
    scheme, _, rest = location.url.partition("://")
    if scheme not in ("s3", "s3a") or "::" in location.url:
        raise InputError(
            f"Repositories in {scheme}:// are not known.", remedy="Give a local folder, or an address in s3://."
        )
    bucket, _, prefix = rest.partition("/")
    options = client_options(StoreOptions.of(location.options))
    account = open_account(options)
    signed: dict[str, Any] = (
        {"anonymous": True} if account.credentials is None else {"get_credentials": _Credentials(options)}
    )
    return package.s3_storage(
        bucket=bucket,
        prefix=prefix or None,
        region=account.region,
        endpoint_url=account.endpoint,
        allow_http=account.endpoint.startswith("http://"),
        force_path_style=True,
        **signed,
    )
