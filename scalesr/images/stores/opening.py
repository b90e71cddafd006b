"""Opening a store that is not a local folder."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

from fsspec.core import url_to_fs
from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper
from zarr.storage import FsspecStore

from scalesr.errors import InputError, ScalesrError
from scalesr.images.stores.backends import Backend, FsspecBackend, ObstoreBackend, S3Backend
from scalesr.images.stores.failures import fault
from scalesr.images.stores.line import Line
from scalesr.images.stores.options import OWN, StoreOptions, StoreSettings
from scalesr.images.stores.s3 import Account, account_of, for_s3fs, is_s3, obstore_can, open_obstore
from scalesr.images.stores.steady import SteadyStore

_VARIABLES = ("AWS_", "FSSPEC_", "SCALESR_STORE_")


def open_store(url: str, options: StoreOptions) -> SteadyStore:
    """Return the store at an address, writable; nothing is sent yet, and one process has one of each.

    Raises
    ------
    InputError
        The URL's scheme is unknown, the package that it needs is not installed, or an option is unknown.
    StoreError
        The file system cannot be opened.
    """
    return _open(url, options, _surroundings())


def open_account(options: StoreOptions) -> Account:
    """Return who this process is to S3, for clients that open it themselves.

    Raises
    ------
    InputError
        botocore is not installed.
    StoreError
        There is no such profile.
    """
    try:
        return account_of(options, _surroundings())
    except ImportError as error:
        raise InputError(f"S3 cannot be opened: {error}.", remedy="Install scalesr[s3].") from error


def _surroundings() -> tuple[Any, ...]:
    """Return what a store depends on beside its options: a fork has its own, and so has another environment."""
    said = ((name, value) for name, value in os.environ.items() if name.startswith(_VARIABLES))
    return os.getpid(), tuple(sorted(said))


# Half a megabyte each where obstore is the client, which has one for each place.
@lru_cache(maxsize=64)
def _open(url: str, options: StoreOptions, surroundings: tuple[Any, ...]) -> SteadyStore:
    settings = StoreSettings.of(options)
    given = client_options(options)
    container = "/".join(url.split("/")[:3])
    try:
        backend = _backend(url, given, settings, surroundings)
    except ScalesrError:
        raise
    except ImportError as error:
        scheme = url.split(":", 1)[0]
        extra = "scalesr[s3]" if scheme.startswith("s3") else f"the fsspec package for {scheme}"
        raise InputError(f"{url}: {error}.", remedy=f"Install {extra}.") from error
    except (ValueError, TypeError) as error:
        raise InputError(f"{url} cannot be opened: {error}.", remedy="Check the address and the options.") from error
    except Exception as error:
        raise fault(error, place=url, doing="read", tried=1, seconds=0) from error
    return SteadyStore(backend.store, backend=backend, line=_line(container, options, surroundings), url=url)


def client_options(options: StoreOptions) -> StoreOptions:
    """Return the options that are for the client."""
    return StoreOptions({name: value for name, value in options.items() if name != OWN})


@lru_cache(maxsize=64)
def _line(container: str, options: StoreOptions, surroundings: tuple[Any, ...]) -> Line:  # noqa: ARG001 one for each
    return Line(StoreSettings.of(options))


def _backend(url: str, options: StoreOptions, settings: StoreSettings, surroundings: tuple[Any, ...]) -> Backend:
    if not is_s3(url):
        return FsspecBackend(_fsspec_store(url, dict(options)))
    if settings.client == "obstore" or (settings.client == "auto" and obstore_can(options)):
        return ObstoreBackend(open_obstore(url, options, settings, surroundings))
    store = _fsspec_store(url, for_s3fs(options, settings))
    store.fs.retries = 1  # of the object, not the class: others may use s3fs too
    return S3Backend(store)


def _fsspec_store(url: str, options: dict[str, Any]) -> FsspecStore:
    fs, path = url_to_fs(url, **{"asynchronous": True, **options})
    if not fs.async_impl:
        fs = AsyncFileSystemWrapper(fs, asynchronous=True)
    # A missing object is told apart from a missing bucket by the line, and not by Zarr.
    return FsspecStore(fs, path=path, allowed_exceptions=())
