"""S3 by its two clients, told the same things: what s3fs takes as options, and what botocore finds by itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fsspec.config import conf

from scalesr.errors import InputError
from scalesr.images.stores.backends import PartsOrWhole
from scalesr.images.stores.failures import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scalesr.images.stores.options import StoreOptions, StoreSettings

CONNECT, ANSWER = 10, 60
"""Seconds to wait for a connection, and for the next bytes of an answer."""

_UNDERSTOOD = frozenset(
    {"anon", "endpoint_url", "key", "secret", "token", "username", "password", "profile", "client_kwargs"}
)
"""Options of s3fs that obstore can be told as well."""
_CLIENT_UNDERSTOOD = frozenset(
    {"endpoint_url", "region_name", "aws_access_key_id", "aws_secret_access_key", "aws_session_token"}
)
_TRUE = frozenset({"1", "true", "yes", "on"})


def is_s3(url: str) -> bool:
    """Return whether an address is a bucket of S3, and not something inside or before one."""
    return url.startswith(("s3://", "s3a://")) and "::" not in url


def for_s3fs(options: Mapping[str, Any], settings: StoreSettings) -> dict[str, Any]:
    """Return the options of s3fs that leave trying again, counting and caching to scalesr.

    Checksums of requests and answers are those that S3 demands: pixels carry their own, and servers other than Amazon's
    often do not know the newer ones. `AWS_REQUEST_CHECKSUM_CALCULATION` and `AWS_RESPONSE_CHECKSUM_VALIDATION`, or
    `config_kwargs`, say otherwise.
    """
    config: dict[str, Any] = {
        "connect_timeout": CONNECT,
        "read_timeout": ANSWER,
        "max_pool_connections": settings.in_flight,
        "retries": {"total_max_attempts": 1},
    }
    for name in ("request_checksum_calculation", "response_checksum_validation"):
        if f"AWS_{name.upper()}" not in os.environ:
            config[name] = "when_required"
    return {
        # Otherwise each whole object is asked for its size first, which doubles the requests.
        "max_concurrency": 1,
        "use_listings_cache": False,
        **options,
        "config_kwargs": config | dict(options.get("config_kwargs") or {}),
    }


def obstore_can(options: Mapping[str, Any]) -> bool:
    """Return whether obstore is there and understands all the options."""
    client = options.get("client_kwargs") or {}
    return (
        options.keys() <= _UNDERSTOOD
        and client.keys() <= _CLIENT_UNDERSTOOD
        and find_spec("obstore") is not None
        and find_spec("botocore") is not None
    )


@dataclass(frozen=True)
class Account:
    """What botocore finds out about S3."""

    endpoint: str
    region: str
    credentials: Callable[[], dict[str, Any]] | None
    """``None`` where requests are not signed."""


def open_obstore(
    url: str, options: StoreOptions, settings: StoreSettings, surroundings: tuple[Any, ...]
) -> PartsOrWhole:
    """Return Zarr's store over obstore. botocore resolves profile, endpoint, region and credentials, as for s3fs.

    Raises
    ------
    InputError
        obstore or botocore is not installed, or there is an option that only s3fs knows.
    StoreError
        There is no such profile.
    """
    if not obstore_can(options):
        raise InputError(
            f"{url} cannot be opened with obstore: it is not installed, or an option is for s3fs only.",
            remedy="Install scalesr[s3-fast], or leave the choice of the client to scalesr (auto).",
        )
    obstore = import_module("obstore.store")  # need not be installed
    account = account_of(options, surroundings)
    bucket, _, prefix = url.split("://", 1)[1].partition("/")
    config: dict[str, Any] = {"region": account.region}
    if not (urlsplit(account.endpoint).hostname or "").endswith(".amazonaws.com"):
        config |= {"endpoint": account.endpoint, "virtual_hosted_style_request": False}
    if account.credentials is None:
        config["skip_signature"] = True
    return PartsOrWhole(
        obstore.S3Store(
            bucket,
            prefix=prefix or None,
            client_options={
                "allow_http": account.endpoint.startswith("http://"),
                "connect_timeout": f"{CONNECT}s",
                "timeout": f"{ANSWER}s",
                "pool_max_idle_per_host": str(settings.in_flight),
            },
            # The line tries again, and counts.
            retry_config={"max_retries": 0},
            credential_provider=account.credentials,
            **config,
        )
    )


@lru_cache(maxsize=16)
def account_of(options: StoreOptions, surroundings: tuple[Any, ...]) -> Account:  # noqa: ARG001 what botocore reads
    """Return endpoint, region and credentials of S3 as the options, the environment and botocore's files say.

    Raises
    ------
    StoreError
        There is no such profile, or no such endpoint.
    """
    botocore = import_module("botocore.session")  # need not be installed
    exceptions, configs = import_module("botocore.exceptions"), import_module("botocore.config")
    given = {**conf.get("s3", {}), **options}  # FSSPEC_S3_..., as fsspec itself does
    client = dict(given.get("client_kwargs") or {})
    anonymous = str(given.get("anon", "")).lower() in _TRUE
    try:
        session = botocore.Session(profile=given.get("profile"))
        # Making a client is what finds endpoint and region, in botocore's own order; it is not used for requests.
        found = session.create_client(
            "s3",
            endpoint_url=given.get("endpoint_url") or client.get("endpoint_url"),
            region_name=client.get("region_name") or session.get_config_variable("region") or "us-east-1",
            config=configs.Config(signature_version=import_module("botocore").UNSIGNED),
        ).meta
    except (exceptions.BotoCoreError, ValueError) as error:
        raise StoreError(
            f"S3 cannot be used: {error}.", remedy="Check AWS_PROFILE and AWS_ENDPOINT_URL.", kind="credentials"
        ) from error
    credentials = None if anonymous else _credentials(session, given, client)
    return Account(found.endpoint_url, found.region_name, credentials)


def _credentials(session: Any, given: Mapping[str, Any], client: Mapping[str, Any]) -> Callable[[], dict[str, Any]]:
    """Return what obstore asks for credentials: those of the options, else those that botocore finds and renews."""
    key = given.get("key") or given.get("username") or client.get("aws_access_key_id")
    secret = given.get("secret") or given.get("password") or client.get("aws_secret_access_key")
    token = given.get("token") or client.get("aws_session_token")

    def provide() -> dict[str, Any]:
        if key:
            return {"access_key_id": key, "secret_access_key": secret, "token": token, "expires_at": None}
        found = session.get_credentials()
        if found is None:
            raise import_module("botocore.exceptions").NoCredentialsError
        now = found.get_frozen_credentials()
        # botocore renews what ends; asking it every few minutes is enough.
        until = datetime.now(UTC) + timedelta(minutes=5) if hasattr(found, "refresh_needed") else None
        return {
            "access_key_id": now.access_key,
            "secret_access_key": now.secret_key,
            "token": now.token,
            "expires_at": until,
        }

    return provide
