"""Claims: of all who try one succeeds, what the dead held is taken over, and no block is lost or made twice."""

from __future__ import annotations

import json
import random
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scalesr.engine.claiming.claims import Claims, How, block_name, way_of
from scalesr.engine.claiming.ground import Ground
from scalesr.engine.claiming.holders import Heart, Watch, holder_key, known_holder, lease
from scalesr.engine.ledger import record_key
from scalesr.errors import PlanError
from scalesr.images import Files

if TYPE_CHECKING:
    from pathlib import Path

BLOCKS = 12
LEASE = 400.0
"""In requests: the clock of these tests is how many there were."""


class _DeadError(BaseException):
    """Ends a claimant where it stands, as kill -9 does."""


class Turns:
    """Lets one request after the other pass, of whomever chance chooses among those who stand in line."""

    def __init__(self, seed: int, claimants: int) -> None:
        self.requests = 0
        self._random = random.Random(seed)
        self._change = threading.Condition()
        self._at_work = claimants
        self._waiting: list[int] = []
        self._turn: int | None = None

    def pass_one(self, who: int) -> None:
        """Wait for one's turn."""
        with self._change:
            self._waiting.append(who)
            self._at_work -= 1
            self._choose()
            assert self._change.wait_for(lambda: self._turn == who, timeout=60)
            self._turn = None
            self._at_work += 1
            self.requests += 1

    def leave(self) -> None:
        """Stand in line no more."""
        with self._change:
            self._at_work -= 1
            self._choose()

    def _choose(self) -> None:
        # Only when all stand in line or are gone: what comes out depends on the seed alone.
        if self._at_work == 0 and self._waiting:
            self._turn = self._waiting.pop(self._random.randrange(len(self._waiting)))
            self._change.notify_all()


@dataclass
class Storage:
    """One store, whose requests happen one by one: it knows exclusive creation, or lets everybody succeed."""

    knows: bool
    objects: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Counter:
    """One claimant's way to the store, which may break off."""

    storage: Storage
    turns: Turns
    who: int
    last: int
    """After so many requests the claimant is dead."""
    asked: int = 0

    def _pass(self) -> dict[str, bytes]:
        self.turns.pass_one(self.who)
        self.asked += 1
        if self.asked > self.last:
            raise _DeadError
        return self.storage.objects

    def create(self, key: str, content: bytes) -> bool:
        objects = self._pass()
        if self.storage.knows and key in objects:
            return objects[key] == content
        objects[key] = content
        return True

    def put(self, key: str, content: bytes) -> None:
        self._pass()[key] = content

    def get(self, key: str, *, at_most: int | None = None) -> bytes | None:
        del at_most
        return self._pass().get(key)

    def exists(self, key: str) -> bool:
        return key in self._pass()

    def delete(self, key: str) -> None:
        self._pass().pop(key, None)

    def list(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self._pass() if key.startswith(prefix))


@dataclass
class Undertaking:
    """What a claimant needs to know of a job."""

    files: Any


def claimant(way: Counter, how: How, made: list[int], *, lease: float) -> None:
    """Claim and record blocks until all are done."""
    token = f"{way.who:016x}"
    files: Any = way
    job: Any = Undertaking(way)

    def clock() -> float:
        return float(way.turns.requests)

    claims = Claims(files, Watch(files, seconds=lease, clock=clock), own=token, how=how)
    ground = Ground(job, claims, bytearray(BLOCKS), pause=1.0, clock=clock)
    beats = 0
    while ground.done.find(0) >= 0:
        beats += 1
        way.put(holder_key(token), json.dumps({"beat": beats}).encode())
        block = ground.next(without=())
        if block is not None:
            made.append(block)
            way.put(record_key(block), b"{}")
            ground.finish(block)


def run_all(seed: int, how: How, lasts: list[int], *, lease: float) -> tuple[Storage, list[int]]:
    """Let claimants loose on one store; return it, and who made what."""
    storage = Storage(knows=how == "create")
    turns = Turns(seed, len(lasts))
    made: list[int] = []
    errors: list[BaseException] = []

    def work(who: int) -> None:
        try:
            claimant(Counter(storage, turns, who, lasts[who]), how, made, lease=lease)
        except _DeadError:
            pass
        except BaseException as error:  # noqa: BLE001 told by the test
            errors.append(error)
        finally:
            turns.leave()

    threads = [threading.Thread(target=work, args=(who,)) for who in range(len(lasts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    return storage, made


EVER = 10**9
SMALL = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@SMALL
@given(seed=st.integers(0, 10**6), how=st.sampled_from(["create", "look"]), claimants=st.integers(1, 5))
def test_every_block_is_made_once(seed: int, how: How, claimants: int) -> None:
    storage, made = run_all(seed, how, [EVER] * claimants, lease=float(EVER))
    assert sorted(made) == list(range(BLOCKS))
    assert {record_key(block) for block in range(BLOCKS)} <= storage.objects.keys()


@SMALL
@given(
    seed=st.integers(0, 10**6),
    how=st.sampled_from(["create", "look"]),
    lasts=st.lists(st.integers(0, 120), min_size=1, max_size=3),
)
def test_what_the_dead_held_is_made_by_others(seed: int, how: How, lasts: list[int]) -> None:
    """Whoever dies, at whatever request, and one who lives makes what is left."""
    storage, made = run_all(seed, how, [*lasts, EVER], lease=LEASE)
    assert set(made) == set(range(BLOCKS))
    assert {record_key(block) for block in range(BLOCKS)} <= storage.objects.keys()
    # Nobody who is alive is silent for as long as a lease: twice is made only what somebody held who died.
    assert len(made) <= BLOCKS + len(lasts)


@pytest.mark.parametrize("url", ["disk", "memory://claims-of-tests"])
def test_storage_creates_for_one_of_all_who_try(tmp_path: Path, url: str) -> None:
    files = Files(str(tmp_path) if url == "disk" else url)
    assert way_of(files) == "create"
    start = threading.Barrier(8)
    found: list[bool] = []

    def create(number: int) -> None:
        start.wait()
        found.append(files.create("place/claim", f"{number}".encode()))

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found) == 1
    assert files.list("place/") == ["place/claim"]


def test_a_disk_without_links_creates_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    files = Files(str(tmp_path))
    assert files.create("claim", b"first")
    assert not files.create("claim", b"second")
    assert files.get("claim") == b"first"
    assert [path.name for path in tmp_path.iterdir()] == ["claim"]


def test_an_answer_that_was_lost_does_not_lose_the_claim() -> None:
    files = Files("memory://lost-answers")
    assert files.create("claim", b"mine")
    # The request is sent again, and finds what the first one put.
    assert files.create("claim", b"mine")
    assert not files.create("claim", b"another's")


def test_a_process_is_gone_when_its_note_does_not_change(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    now = [0.0]
    watch = Watch(files, seconds=10, clock=lambda: now[0])
    heart = Heart(files, seconds=1000)
    heart.start()
    for second in range(30):
        now[0] = float(second)
        if second < 15:
            heart._beat()
        # The time on the clock of the one who writes plays no part.
        assert watch.gone(heart.token) == (second >= 24)
    heart._beat()
    now[0] += 1
    assert not watch.gone(heart.token)
    heart.stop(how="stopped")
    now[0] += 1
    assert watch.gone(heart.token)


def test_a_claim_that_names_nobody_is_held_for_a_lease(tmp_path: Path) -> None:
    files = Files(str(tmp_path))
    now = [0.0]
    claims = Claims(files, Watch(files, seconds=10, clock=lambda: now[0]), own="0" * 16, how="create")
    for damaged in (b"", b"../../manifest", b"\xff" * 16):
        assert known_holder(damaged) == ""
    files.put(f"claims/{block_name(3)}.0", b"../../manifest")
    assert not claims.seize(block_name(3))
    now[0] = 11
    assert claims.seize(block_name(3))
    assert files.list("claims/blocks/") == ["claims/blocks/000000/3.0", "claims/blocks/000000/3.1"]


@pytest.mark.parametrize("text", ["soon", "0", "-3", "inf", "nan"])
def test_a_lease_is_a_time(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALESR_LEASE", text)
    with pytest.raises(PlanError, match="is no time"):
        lease()
