"""Several processes from bucket to bucket: claims where the store knows exclusive creation, and where it does not."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import pytest
from commands import program
from stores.servers import credentials, objects
from stores.test_store_runs import SMALL, put_input, wanted

import scalesr
from scalesr.engine.claiming.claims import way_of
from scalesr.errors import ScalesrError
from scalesr.images import Files, begin_image

if TYPE_CHECKING:
    from pathlib import Path

    from stores.proxy import Proxy
    from stores.servers import Server

__all__ = ["wanted"]


def test_what_a_store_knows_is_found_out(server: Server, client: str, place: str) -> None:
    files = Files(place, server.options(client=client))
    # rclone answers as if the condition were met.
    assert way_of(files) == ("look" if server.name == "rclone" else "create")
    assert not files.list("claims/")


def test_one_of_all_who_try_creates_an_object(server: Server, client: str, place: str) -> None:
    if server.name == "rclone":
        pytest.skip("rclone does not know the condition")
    files = Files(place, server.options(client=client))
    start = threading.Barrier(6)
    found: list[bool] = []

    def create(number: int) -> None:
        start.wait()
        found.append(files.create("claim", f"{number}".encode()))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found) == 1
    assert [begin_image(f"{place}/image", storage_options=files.storage_options) for _ in range(2)] == [True, False]


def test_a_claim_survives_answers_that_are_lost(trouble: Proxy, server: Server, client: str, place: str) -> None:
    if server.name == "rclone":
        pytest.skip("rclone does not know the condition")
    trouble.share, trouble.troubles = 0.5, ("500", "reset", "short")
    files = Files(place, server.options(client=client) | {"endpoint_url": trouble.endpoint})
    for number in range(20):
        assert files.create(f"{number}", b"mine")
        assert not files.create(f"{number}", b"another's")
    assert trouble.troubled


def test_two_in_threads_make_the_bytes_of_one(
    server: Server, client: str, place: str, tmp_path: Path, wanted: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALESR_LEASE", "20")
    options = server.options(client=client)
    source = put_input(place, tmp_path, options)
    given: dict[str, Any] = {"storage_options": options, "target_options": options, "scheduler": "serial", **SMALL}
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(scalesr.run(source, f"{place}/out.zarr", share="claims", **given))
        except ScalesrError as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(result.blocks for result in results) == results[0].plan.blocks
    assert objects(f"{place}/out.zarr", options) == wanted
    assert not Files(f"{place}/out.zarr/scalesr", options).list("claims/")


@pytest.mark.slow
def test_two_processes_from_bucket_to_bucket(
    server: Server, place: str, tmp_path: Path, wanted: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = server.options()
    source = put_input(place, tmp_path, options)
    credentials(monkeypatch, server.endpoint)
    told = [f"--{name}={value}" for name, value in SMALL.items()]
    command = [*program(), "run", source, f"{place}/out.zarr", *told, "--share", "--scheduler=serial", "--json"]
    processes = [
        subprocess.Popen(
            command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    answers = [process.communicate(timeout=200) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], answers
    documents = [json.loads(out) for out, _ in answers]
    assert sum(document["blocks_computed"] for document in documents) == documents[0]["blocks"]
    assert objects(f"{place}/out.zarr", options) == wanted
