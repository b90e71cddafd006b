"""What a user is told when a store refuses or is not there: what is wrong, and what to do."""

from __future__ import annotations

import pickle
import time
from typing import TYPE_CHECKING, Any

import pytest
from commands import call, only_json, speckle, write_image
from stores.servers import BUCKET, KEY, SECRET, credentials, free_port, rclone

from scalesr.errors import InputError, OutputError, ScalesrError
from scalesr.images import Files, Location, open_image
from scalesr.images.stores import StoreError, StoreSettings, kind_of, traffic

if TYPE_CHECKING:
    from pathlib import Path

    from stores.proxy import Proxy
    from stores.servers import Server


@pytest.mark.parametrize(
    ("key", "secret"), [("AKIDWRONG", SECRET), (KEY, "WrongWrongWrong"), ("AKIDWRONG", "WrongWrongWrong")]
)
def test_wrong_credentials(server: Server, client: str, place: str, key: str, secret: str) -> None:
    files = Files(place, server.options(key=key, secret=secret, client=client))
    before = traffic()
    with pytest.raises(StoreError) as caught:
        files.get("a")
    assert caught.value.kind in ("key", "denied")
    assert secret not in str(caught.value)
    with pytest.raises(OutputError, match=r"refuses|permission"):
        files.put("a", b"")
    # Nothing that stays wrong is tried again.
    assert (traffic() - before).retries == 0
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_no_credentials(server: Server, client: str, place: str) -> None:
    with pytest.raises(StoreError, match="no credentials") as caught:
        Files(place, {"endpoint_url": server.endpoint, "scalesr": {"client": client}}).get("a")
    assert "AWS_PROFILE" in caught.value.remedy


def test_an_unknown_profile(client: str, place: str) -> None:
    with pytest.raises(StoreError, match="nobody") as caught:
        Files(place, {"profile": "nobody", "scalesr": {"client": client}}).get("a")
    assert caught.value.kind == "credentials"


def test_nobody_answers(client: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalesr.images.stores.line.FIRST_CONTACT", 3.0)
    options = {"endpoint_url": f"http://127.0.0.1:{free_port()}", "key": KEY, "secret": SECRET}
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"does not answer.*tried \d+ times") as caught:
        open_image(place, storage_options=options | {"scalesr": {"client": client}})
    # A store that never answered may be mistyped: no two minutes of patience for it.
    assert time.monotonic() - began < 20
    assert "AWS_ENDPOINT_URL" in caught.value.remedy


def test_a_store_that_may_only_be_read(client: str, tmp_path: Path) -> None:
    with rclone(tmp_path / "served", access="read") as server:
        write_image(tmp_path / "served" / BUCKET / "in.zarr", speckle(40, 40))
        options = server.options(client=client, patience=0.5)
        assert open_image(f"s3://{BUCKET}/in.zarr", storage_options=options).shape == (40, 40)
        with pytest.raises(OutputError, match="cannot be written"):
            Files(f"s3://{BUCKET}/out", options).put("a", b"")


def test_everybody_is_let_in(client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with rclone(tmp_path / "served", keys="none") as server:
        write_image(tmp_path / "served" / BUCKET / "in.zarr", speckle(40, 40))
        options = {"endpoint_url": server.endpoint, "anon": True, "scalesr": {"client": client}}
        assert open_image(f"s3://{BUCKET}/in.zarr", storage_options=options).shape == (40, 40)


def test_the_command_line_tells_it_in_one_line(server: Server, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials(monkeypatch, server.endpoint)
    Files(place).put("readme.txt", b"not an image")
    assert call("info", place).exit_code == InputError.exit_code
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "WrongWrongWrong")
    failed = call("info", place, "--json")
    assert failed.exit_code == StoreError.exit_code
    assert "WrongWrongWrong" not in failed.output
    assert only_json(failed)["remedy"]


@pytest.mark.parametrize("trouble_of", ["500", "503", "slow", "reset", "short"])
def test_each_trouble_passes(trouble: Proxy, client: str, place: str, trouble_of: Any) -> None:
    options = {"endpoint_url": trouble.endpoint, "key": KEY, "secret": SECRET, "scalesr": {"client": client}}
    files = Files(place, options)
    files.put("first", b"1")
    trouble.share, trouble.troubles, trouble.delay = 0.5, (trouble_of,), 0.05
    before = traffic()
    for number in range(6):
        files.put(f"{number}", bytes([number]) * 1000)
    assert [files.get(f"{number}") for number in range(6)] == [bytes([number]) * 1000 for number in range(6)]
    assert len(files.list()) == 7
    files.delete("first")
    assert files.get("first") is None
    assert trouble.troubled > 2
    retries = (traffic() - before).retries
    if trouble_of in ("500", "503"):
        assert retries == trouble.troubled
    else:
        # aiohttp sends again by itself where a connection that it kept turns out to be closed.
        assert retries <= trouble.troubled


def test_patience_ends(trouble: Proxy, client: str, place: str) -> None:
    options = {"endpoint_url": trouble.endpoint, "key": KEY, "secret": SECRET}
    trouble.share, trouble.troubles = 1.0, ("503",)
    with pytest.raises(StoreError, match=r"overloaded.*tried \d times"):
        Files(place, options | {"scalesr": {"client": client, "patience": 1}}).get("a")


def test_settings_that_make_no_sense() -> None:
    for wrong in ({"client": "curl"}, {"patience": "long"}, {"in_flight": 0}, {"patience": -1}, {"retries": 3}, "fast"):
        with pytest.raises(InputError, match="cannot be understood"):
            StoreSettings.of({"scalesr": wrong})


def test_a_password_in_an_address_is_refused() -> None:
    with pytest.raises(InputError, match="password") as caught:
        Location.parse("https://ann:tellnobody@example.org/image.zarr")
    assert "tellnobody" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionResetError(), "unreachable"),
        (TimeoutError(), "unreachable"),
        (PermissionError("Access Denied"), "denied"),
        (FileNotFoundError("The specified bucket does not exist"), "container"),
        (FileNotFoundError("x"), "missing"),
        (OSError(16, "Please reduce your request rate."), "busy"),
        (ValueError("x"), "other"),
    ],
)
def test_kinds(error: Exception, kind: str) -> None:
    assert kind_of(error) == kind


def test_every_error_of_connecting_passes() -> None:
    exceptions = pytest.importorskip("botocore.exceptions")
    names = ("EndpointConnectionError", "ConnectTimeoutError", "ReadTimeoutError", "ConnectionClosedError",
             "ProxyConnectionError", "HTTPClientError")  # fmt: skip
    for name in names:
        kind = getattr(exceptions, name)
        assert kind_of(kind(endpoint_url="x", error="x", proxy_url="x", request=None, response=None)) == "unreachable"
    assert isinstance(StoreError("x.", remedy="y"), ScalesrError)
