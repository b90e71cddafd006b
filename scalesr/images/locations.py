"""Where an image lies: a local folder, a zip file, or any URL that fsspec knows."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import unquote, urlsplit

from fsspec.core import url_to_fs
from zarr.storage import LocalStore

from scalesr.errors import InputError
from scalesr.images.stores import StoreOptions, client_options, open_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from zarr.abc.store import Store

Access = Literal["read", "write"]

_ARCHIVES = {"zip", "tar", "libarchive", "reference"}
_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]*@")


@dataclass(frozen=True)
class Location:
    """A place in storage, as cheap to pickle as its text: no handle, no session, no socket.

    Local paths are made absolute, so that a worker in another folder finds the same place.
    """

    url: str
    """Absolute local path, or a URL (possibly a chain such as ``zip::s3://bucket/image.zip``)."""
    options: Mapping[str, Any] = field(default_factory=StoreOptions, hash=False, repr=False)
    """What the store is opened with: credentials, endpoint, anonymous access. Secrets among them are not pickled."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", StoreOptions.of(self.options))

    @classmethod
    def parse(cls, url: str | os.PathLike[str], options: Mapping[str, Any] | None = None) -> Location:
        """Return the place that a user named: a path, a ``file://`` URL, a path to a zip file, or any other URL.

        Raises
        ------
        InputError
            The address holds a password.
        """
        text = os.fspath(url)
        if _PASSWORD.search(text):
            raise InputError(
                f"The address {text} holds a password, which would be written wherever the address is.",
                remedy="Leave it out of the address; give it as an option of the storage, or where its tools look for "
                "it (AWS_PROFILE, ~/.netrc).",
            )
        if "::" not in text:
            if text.startswith("file://"):
                text = unquote(urlsplit(text).path)
            if "://" not in text:
                text = str(Path(text).expanduser().absolute())
                if text.endswith(".zip") and Path(text).is_file():
                    text = f"zip::{text}"
        return cls(text.rstrip("/") or "/", StoreOptions.of(options))

    @property
    def path(self) -> Path | None:
        """The local folder, or ``None`` where the place is not local."""
        return None if "://" in self.url or "::" in self.url else Path(self.url)

    def __truediv__(self, key: str) -> Location:
        """Return the place below this one."""
        key = key.strip("/")
        return Location(_join(self.url, key), self.options) if key else self

    def __str__(self) -> str:
        return self.url

    def store(self, access: Access) -> Store:
        """Return the Zarr store of this place.

        Raises
        ------
        InputError
            The URL's scheme is unknown, or the package that it needs is not installed.
        StoreError
            The store cannot be opened.
        """
        read_only = access == "read"
        path = self.path
        if path is not None:
            return LocalStore(path, read_only=read_only)
        return open_store(self.url, StoreOptions.of(self.options)).with_read_only(read_only)

    def filesystem(self) -> tuple[Any, str]:
        """Return fsspec's (synchronous) file system of this place, and the path within it.

        Raises
        ------
        InputError
            The URL's scheme is unknown, or the package that it needs is not installed.
        """
        try:
            fs, path = url_to_fs(self.url, **client_options(StoreOptions.of(self.options)))
        except (ImportError, ValueError) as error:
            raise InputError(
                f"{self} cannot be opened: {error}.", remedy="Install the fsspec package for this kind of address."
            ) from error
        return fs, path

    def nearest_parent(self) -> Path | None:
        """Return the nearest folder above a local path that exists; ``None`` where the place is not local."""
        path = self.path
        if path is None:
            return None
        return next((parent for parent in path.parents if parent.exists()), None)


def _join(url: str, key: str) -> str:
    if "::" not in url:
        return f"{url.rstrip('/')}/{key}"
    head, tail = url.split("::", 1)
    if "://" in head:
        return f"{head.rstrip('/')}/{key}::{tail}"
    # In a chain, an archive's own part holds the path inside it; a cache has no path of its own.
    return f"{head}://{key}::{tail}" if head in _ARCHIVES else f"{head}::{_join(tail, key)}"
