"""Nothing secret is written, logged, shown or put into a task."""

from __future__ import annotations

import io
import logging
import pickle
import subprocess
import sys
import traceback
from typing import TYPE_CHECKING, Any, Literal

import pytest
from commands import speckle, write_image
from distributed import WorkerPlugin
from distributed.protocol import pickle as of_dask
from stores.servers import KEY, SECRET
from stores.test_store_runs import SMALL, put_input

import scalesr
from scalesr import secrecy
from scalesr.engine import Options
from scalesr.engine.executors import DaskExecutor
from scalesr.engine.settling import settle
from scalesr.errors import InputError, ScalesrError
from scalesr.images import Files, Location, open_image
from scalesr.images.stores import StoreOptions
from scalesr.log import JsonLog

if TYPE_CHECKING:
    from pathlib import Path

    from stores.servers import Server

SECRETS = (SECRET.encode(), KEY.encode())


def pickled(value: Any) -> bytes:
    """Return what Dask sends to its workers."""
    dumps: Any = of_dask.dumps
    return bytes(dumps(value))


def test_options_show_and_pickle_no_secret() -> None:
    options = StoreOptions(
        {
            "key": KEY,
            "secret": SECRET,
            "endpoint_url": "https://store.example.org",
            "anon": False,
            "client_kwargs": {"aws_session_token": "token-of-the-session", "region_name": "eu-1"},
            "something_new": "who knows what this is",
        }
    )
    shown = repr(options)
    assert "store.example.org" in shown
    assert "eu-1" in shown
    stored = pickle.dumps(options)
    for secret in (KEY, SECRET, "token-of-the-session", "who knows"):
        assert secret not in shown
        assert secret.encode() not in stored
    again = pickle.loads(stored)
    assert again == options
    assert hash(again) == hash(options)
    assert dict(again)["client_kwargs"]["aws_session_token"] == "token-of-the-session"


def test_a_process_that_was_not_told_says_so(tmp_path: Path) -> None:
    stored = tmp_path / "options.pickle"
    stored.write_bytes(pickle.dumps(StoreOptions({"key": KEY, "secret": SECRET})))
    loaded = f"import pickle; found = pickle.load(open({str(stored)!r}, 'rb')); print(repr(found), list(found));"
    program = f"{loaded} dict(found)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "was not told the secrets" in done.stderr
    # The scheduler of a cluster is told nothing, and unpickles what it hands on.
    assert done.stdout == "StoreOptions(key=***, secret=***) ['key', 'secret']\n"
    again = f"{loaded} sys.exit(pickle.dumps(found) != open({str(stored)!r}, 'rb').read())"
    subprocess.run([sys.executable, "-c", f"import sys; {again}"], check=True, capture_output=True)
    # What may be seen needs no telling.
    stored.write_bytes(pickle.dumps(StoreOptions({"anon": True, "endpoint_url": "http://localhost:9000"})))
    subprocess.run([sys.executable, "-c", program], check=True)


def test_texts_lose_every_secret_that_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    StoreOptions({"password": "correct horse battery"})
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "from/the+environment")
    text = (
        "correct horse battery; correct%20horse%20battery; from/the+environment; s3://a:bcd@host/x?X-Amz-Signature=ff"
    )
    clean = secrecy.without_secrets(text)
    assert clean == "***; ***; ***; s3://***@host/x?X-Amz-Signature=***"
    assert "horse" not in str(InputError(text, remedy="None."))


def known_to_workers(*_: Any) -> list[Any]:
    return list(secrecy.locked_away().values())


def test_workers_are_told_the_secrets_of_what_they_are_given_and_no_others() -> None:
    used, later, other = (StoreOptions({"secret": f"{name}-{SECRET}"}) for name in ("used", "later", "other"))
    executor = DaskExecutor.local(kind="processes", workers=1, slots=1)
    how: Literal["finished", "stopped"] = "stopped"
    try:

        def told(*given: Any) -> set[str]:
            task = executor.submit(known_to_workers, *given, name=f"read-{len(given)}")
            executor.wait([task], seconds=60)
            return {value for value in executor.result(task) if isinstance(value, str) and SECRET in value}

        assert told() == set()
        assert told(used, 7) == {f"used-{SECRET}"}
        assert told(1, {"a": later}, 3) == {f"used-{SECRET}", f"later-{SECRET}"}
        # Inspections name them in what the workers are asked.
        found: list[Any] = []
        executor._place = "elsewhere"

        def inspection(on_each: Any, /) -> Any:
            found.extend(on_each(known_to_workers, other).values())
            return WorkerPlugin()

        executor.inspect(inspection)
        assert f"other-{SECRET}" in found[0]
        how = "finished"
    finally:
        executor.close(how=how)


def test_a_job_holds_no_secret(server: Server, place: str, tmp_path: Path) -> None:
    options = server.options()
    source = put_input(place, tmp_path, options)
    image = open_image(source, storage_options=options)
    settled = settle(image, f"{place}/out.zarr", Options(**SMALL), target_options=options, tell=lambda _: None)
    for text in (pickle.dumps(settled.job), pickled(settled.job), repr(settled.job).encode()):
        assert not any(secret in text for secret in SECRETS)
    assert pickle.loads(pickle.dumps(settled.job)).image.shape == image.shape


@pytest.mark.parametrize("scheduler", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_a_run_leaves_no_secret_behind(
    server: Server, client: str, place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, scheduler: str
) -> None:
    options = server.options(client=client)
    source = put_input(place, tmp_path, options)
    told = io.StringIO()
    given: dict[str, Any] = {"storage_options": options, "target_options": options, "scheduler": scheduler}
    errors = []
    with caplog.at_level(logging.DEBUG), JsonLog(told) as log:
        image = open_image(source, storage_options=options)
        result = scalesr.run(image, f"{place}/out.zarr", workers=2, callbacks=[log], **given, **SMALL)
        # A failure in the middle of a task, which Dask reports with the arguments of the task.
        files = Files(source, options)
        broken = next(key for key in files.list() if "/c/" in key)
        files.put(broken, (files.get(broken) or b"")[:20])
        try:
            scalesr.run(image, f"{place}/broken.zarr", workers=2, callbacks=[log], **given, **SMALL)
        except ScalesrError as error:
            errors.append("".join(traceback.format_exception(error)))
    assert errors
    everything = Files(place, options)
    written = [everything.get(key) or b"" for key in everything.list()]
    assert len(written) > 2 * result.plan.blocks
    local = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    # botocore and asyncio log what they sign at DEBUG, and only who asks them for it reads that.
    logs = [r.getMessage() for r in caplog.records if not r.name.startswith(("botocore", "aiobotocore", "s3fs"))]
    texts = [*logs, *errors, told.getvalue(), repr(result), repr(image), repr(Location.parse(source, options))]
    for content in [*written, *local, *(text.encode() for text in texts)]:
        assert not any(secret in content for secret in SECRETS)


def test_lazy_arrays_hold_no_secret(server: Server, place: str, tmp_path: Path) -> None:
    options = server.options()
    source = put_input(place, tmp_path, options)
    array: Any = scalesr.lazy(source, storage_options=options, **SMALL)
    assert not any(secret in pickled(array) for secret in SECRETS)
    local = write_image(tmp_path / "again.zarr", speckle(*(112, 150)))
    wanted: Any = scalesr.lazy(local, **SMALL)
    assert (array.compute(scheduler="sync") == wanted.compute(scheduler="sync")).all()
