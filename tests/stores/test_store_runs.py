"""Runs from bucket to bucket: the bytes of a run on a disk, whatever the store does meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from commands import speckle, write_image
from stores.servers import KEY, SECRET, credentials, objects, upload

import scalesr
from scalesr.engine import BlockDone, RunFinished
from scalesr.errors import StorageError
from scalesr.images import Files, open_image

if TYPE_CHECKING:
    from stores.proxy import Proxy
    from stores.servers import Server

    from scalesr.engine import Event

SMALL: dict[str, Any] = {"model": "cubic", "scale": 2, "cell": 16, "halo": 8, "blend": 4, "block": 2}
SIZE = (112, 150)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run on a disk writes."""
    folder = tmp_path_factory.mktemp("disk")
    image = write_image(folder / "in.zarr", speckle(*SIZE))
    scalesr.run(image, folder / "out.zarr", scheduler="serial", **SMALL)
    return objects(str(folder / "out.zarr"), {})


def put_input(place: str, folder: Path, options: dict[str, Any]) -> str:
    """Put the input into a store, object by object."""
    write_image(folder / "in.zarr", speckle(*SIZE))
    upload(folder / "in.zarr", f"{place}/in.zarr", options)
    return f"{place}/in.zarr"


@pytest.mark.parametrize("scheduler", ["serial", "threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_from_bucket_to_bucket(
    server: Server, client: str, place: str, tmp_path: Path, wanted: dict[str, bytes], scheduler: str
) -> None:
    options = server.options(client=client)
    source = put_input(place, tmp_path, options)
    given: dict[str, Any] = {"storage_options": options, "target_options": options}
    result = scalesr.run(source, f"{place}/out.zarr", scheduler=scheduler, workers=2, **given, **SMALL)
    assert objects(f"{place}/out.zarr", options) == wanted
    assert result.traffic.retries == 0
    # At least what was put: shards and records of all blocks.
    assert result.traffic.requests >= 2 * result.plan.blocks
    assert result.traffic.written > sum(map(len, wanted.values())) / 2
    measured = scalesr.measure(f"{place}/out.zarr", measured=source, metrics=["consistency"], storage_options=options)
    assert measured.measures


def test_the_environment_says_how_to_get_in(
    server: Server, client: str, place: str, tmp_path: Path, wanted: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = put_input(place, tmp_path, server.options())
    credentials(monkeypatch, server.endpoint)
    monkeypatch.setenv("SCALESR_STORE_CLIENT", client)
    scalesr.run(source, f"{place}/out.zarr", scheduler="serial", **SMALL)
    assert objects(f"{place}/out.zarr", server.options()) == wanted


def test_a_profile_says_how_to_get_in(server: Server, client: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Files(place, server.options()).put("there", b"yes")
    config, secret = Path(os.environ["AWS_CONFIG_FILE"]), Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"])
    config.write_text(f"[profile lab]\nendpoint_url = {server.endpoint}\nregion = us-east-1\n")
    secret.write_text(f"[lab]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    monkeypatch.setenv("SCALESR_STORE_CLIENT", client)
    assert Files(place, {"profile": "lab"}).get("there") == b"yes"
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert Files(place).get("there") == b"yes"


def test_a_tenth_of_the_requests_fails(
    trouble: Proxy, server: Server, client: str, place: str, tmp_path: Path, wanted: dict[str, bytes]
) -> None:
    source = put_input(place, tmp_path, server.options())
    options = {"endpoint_url": trouble.endpoint, "key": KEY, "secret": SECRET, "scalesr": {"client": client}}
    trouble.share = 0.1
    given: dict[str, Any] = {"storage_options": options, "target_options": options}
    result = scalesr.run(source, f"{place}/out.zarr", scheduler="threads", workers=2, **given, **SMALL)
    assert objects(f"{place}/out.zarr", server.options()) == wanted
    assert result.traffic.retries > 0
    assert result.traffic.waited > 0
    assert result.traffic.retries <= trouble.troubled


def test_the_connection_is_cut_in_mid_run(
    trouble: Proxy, server: Server, client: str, place: str, tmp_path: Path, wanted: dict[str, bytes]
) -> None:
    seconds = float(os.environ.get("SCALESR_TEST_CUT", "2"))
    source = put_input(place, tmp_path, server.options())
    options = {"endpoint_url": trouble.endpoint, "key": KEY, "secret": SECRET, "scalesr": {"client": client}}
    ended: list[float] = []

    def cut(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done == 3:
            trouble.cut()
            assert trouble._loop is not None
            trouble._loop.call_soon_threadsafe(trouble._loop.call_later, seconds, trouble.mend)
        if isinstance(event, RunFinished):
            ended.append(event.seconds)

    given: dict[str, Any] = {"storage_options": options, "target_options": options}
    result = scalesr.run(source, f"{place}/out.zarr", scheduler="threads", workers=2, callbacks=[cut], **given, **SMALL)
    assert ended[0] > seconds
    assert result.traffic.retries > 0
    assert objects(f"{place}/out.zarr", server.options()) == wanted


def test_a_store_that_stays_away_stops_the_run_which_goes_on_later(
    trouble: Proxy, server: Server, place: str, tmp_path: Path, wanted: dict[str, bytes]
) -> None:
    source = put_input(place, tmp_path, server.options())
    options = {"endpoint_url": trouble.endpoint, "key": KEY, "secret": SECRET, "scalesr": {"patience": 1}}

    def cut(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done == 3:
            trouble.cut()

    given: dict[str, Any] = {"storage_options": options, "target_options": options, "scheduler": "serial"}
    with pytest.raises(scalesr.errors.ScalesrError, match="does not answer") as caught:
        # That pixels which cannot be fetched may be filled is said of damaged ones, not of these.
        scalesr.run(source, f"{place}/out.zarr", callbacks=[cut], on_bad_block="fill", **given, **SMALL)
    assert "--resume" in caught.value.remedy
    trouble.mend()
    with pytest.raises(scalesr.errors.InputError, match="did not finish"):
        open_image(f"{place}/out.zarr", storage_options=options)
    result = scalesr.run(source, f"{place}/out.zarr", mode="resume", on_bad_block="fill", **given, **SMALL)
    assert 0 < result.blocks < result.plan.blocks
    assert objects(f"{place}/out.zarr", server.options()) == wanted


PROGRAM = """
import sys, time
import scalesr
from scalesr.engine import BlockDone
def slowly(event):
    if isinstance(event, BlockDone):
        print(event.done, flush=True)
        time.sleep(0.5)
scalesr.run(sys.argv[1], sys.argv[2], scheduler="serial", callbacks=[slowly], model="cubic", scale=2, cell=16, halo=8,
            blend=4, block=2)
"""


def test_a_run_that_is_killed_goes_on(
    server: Server, place: str, tmp_path: Path, wanted: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = put_input(place, tmp_path, server.options())
    credentials(monkeypatch, server.endpoint)
    command = [sys.executable, "-c", PROGRAM, source, f"{place}/out.zarr"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "4":
                process.send_signal(signal.SIGKILL)
                break
    with pytest.raises(scalesr.errors.InputError, match="did not finish"):
        open_image(f"{place}/out.zarr")
    result = scalesr.run(source, f"{place}/out.zarr", mode="resume", scheduler="serial", **SMALL)
    assert result.plan.blocks - result.blocks in (4, 5)
    assert objects(f"{place}/out.zarr", {}) == wanted


def test_a_damaged_chunk_is_damaged_and_not_away(server: Server, client: str, place: str, tmp_path: Path) -> None:
    options = server.options(client=client)
    source = put_input(place, tmp_path, options)
    files = Files(source, options)
    key = next(key for key in files.list() if "/c/" in key)
    content = bytearray(files.get(key) or b"")
    content[40:60] = bytes(20)
    files.put(key, bytes(content))
    given: dict[str, Any] = {"storage_options": options, "target_options": options}
    with pytest.raises(StorageError, match="chunk") as caught:
        scalesr.run(source, f"{place}/out.zarr", scheduler="serial", **given, **SMALL)
    assert "--on-bad-block fill" in caught.value.remedy
