"""What a worker of a cluster is asked before it takes part in a run, and what it answers."""

from __future__ import annotations

import asyncio
import os
import pickle
import platform
import socket
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import psutil
import torch
from distributed import WorkerPlugin

from scalesr.engine.ledger import MANIFEST, device_class, versions
from scalesr.engine.memory import Workers, demand
from scalesr.engine.riding import ride_term
from scalesr.errors import ScalesrError
from scalesr.images import open_image
from scalesr.models import load
from scalesr.tiling import human_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from distributed import Worker

    from scalesr.engine.job import Job
    from scalesr.models import ModelSpec

Matter = Literal["answer", "versions", "hardware", "model", "memory", "GPU memory", "input", "output"]
"""What a worker can fail in."""
FOLDER = "preflight"
"""Where, in the ledger, the files lie for a moment by which client and workers see that it is the same place."""
ENDED_AT = 0.95
"""Share of its limit at which Dask ends a worker: the default of Dask."""

SEEN_WITHIN = 20.0
"""Seconds in which a worker that comes during a run must see the manifest, which is written as the run begins."""
Moment = Literal["before", "during"]
"""When a worker is asked: before the run has written anything, or later."""

_asked: set[str] = set()
"""Marks of the questions that this process has answered."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why a worker cannot take part."""

    matter: Matter
    """What it fails in."""
    text: str
    """What is wrong."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What a worker is asked: to be like the process that starts the run, and to reach what the run needs."""

    job: Job
    """What its tasks will be told."""
    spec: ModelSpec
    """What the model says of itself."""
    versions: Mapping[str, str]
    """Of what decides the bytes, or whether processes understand each other."""
    hardware: str
    """Class of the device that the manifest names."""
    fingerprint: str
    """Of the input, seen from where the run is started."""
    mark: str
    """Name of a file in the ledger, of no other question."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a worker found."""

    host: str
    """Name of its machine."""
    problems: tuple[Problem, ...]
    """What keeps it from taking part, beside memory."""
    inferences: int
    """Inferences that it runs at the same time."""
    limit: int | None
    """Bytes at which Dask ends it; ``None`` where nobody does."""
    available: int
    """Bytes of its machine that nobody uses, and those that it uses itself."""
    device_available: int | None
    """Bytes of its GPU that are free for it; ``None`` on the CPU."""


class Gate(WorkerPlugin):
    """Asks a worker that comes during a run what the others were asked before, and sends it away if it will not do.

    It leaves before it has worked, and the client is warned; the run goes on without it.
    """

    def __init__(self, question: Question, *, resource: str) -> None:
        self._question = question
        self._resource = resource

    async def setup(self, worker: Worker) -> None:
        """Ask, unless this process was asked before."""
        if self._question.mark in _asked:
            return
        found = await answer(self._question, self._resource, "during", dask_worker=worker)
        problems = [*found.problems, *short_of_memory(self._question, found, share=2 * found.inferences + 2)]
        if not problems:
            return
        words = "; ".join(f"{problem.matter}: {problem.text}" for problem in problems)
        message = f"The worker {worker.address} on {found.host} came during the run and was sent away. {words}."
        worker.log_event("warn", {"message": pickle.dumps(message), "category": pickle.dumps(UserWarning)})
        worker.loop.add_callback(partial(worker.close_gracefully, restart=False, reason=words))

    def __repr__(self) -> str:
        return f"Gate({self._question.mark})"


async def answer(question: Question, resource: str, moment: Moment, *, dask_worker: Worker) -> Answer:
    """Look at everything but memory, in a thread, so that the worker can go on talking to its scheduler."""
    problems = await asyncio.to_thread(lambda: tuple(_problems(question, moment)))
    _asked.add(question.mark)
    free = None
    if question.job.device.startswith("cuda") and torch.cuda.is_available():
        free = torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved()
    return Answer(
        host=socket.gethostname(),
        problems=problems,
        inferences=int(dask_worker.state.total_resources.get(resource, 0)) or dask_worker.state.nthreads,
        limit=dask_worker.memory_manager.memory_limit,
        available=psutil.virtual_memory().available + psutil.Process().memory_info().rss,
        device_available=free,
    )


def own_versions() -> dict[str, str]:
    """Return the versions that must be equal in all processes of a run."""
    # Python pickles code alike within one minor version.
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, "torch": torch.__version__, **versions()}


def short_of_memory(question: Question, found: Answer, *, share: int, beside: int = 1) -> Iterator[Problem]:
    """Yield what memory a worker lacks for its share of the run.

    Parameters
    ----------
    question, found
        What it was asked and what it answered.
    share
        Blocks in flight that fall to it.
    beside
        Workers on its machine, which share what is free there.
    """
    job = question.job
    spread = Workers(processes=1, slots=found.inferences, in_flight=share)
    device: Literal["cpu", "cuda"] = "cuda" if job.device.startswith("cuda") else "cpu"
    needs = demand(job.plan, question.spec, workers=spread, device=device)
    needed = needs.host_bytes + (0 if job.ride is None else ride_term(job.ride, job.plan, spread).total)
    allowed, said = found.available // beside, "are free for it"
    if found.limit is not None and found.limit * ENDED_AT < allowed:
        allowed, said = int(found.limit * ENDED_AT), "are its limit, at which Dask ends it"
    if needed > allowed:
        text = f"its share of the run needs {human_bytes(needed)}, and {human_bytes(allowed)} {said}"
        yield Problem(matter="memory", text=text)
    if found.device_available is not None and needs.device_bytes > found.device_available:
        text = f"the run needs {human_bytes(needs.device_bytes)}, and {human_bytes(found.device_available)} are free"
        yield Problem(matter="GPU memory", text=text)


def _problems(question: Question, moment: Moment) -> Iterator[Problem]:
    """Yield what is wrong with this process."""
    found = own_versions()
    for name, wanted in question.versions.items():
        if found[name] != wanted:
            text = f"{name} is {found[name]}, and {wanted} where the run is started"
            yield Problem(matter="versions", text=text)
    checks: tuple[tuple[Matter, Callable[[Question], str | None]], ...] = (
        ("hardware", _hardware),
        ("model", _model),
        ("input", _input),
        ("output", partial(_output, moment=moment)),
    )
    for matter, check in checks:
        try:
            text_or_none = check(question)
        except ScalesrError as error:
            text_or_none = error.problem.rstrip(".")
        except Exception as error:  # noqa: BLE001 whatever it is, the user must hear of it with all the rest
            text_or_none = f"{type(error).__name__}: {error}"
        if text_or_none is not None:
            yield Problem(matter=matter, text=text_or_none)


def _hardware(question: Question) -> str | None:
    if question.job.device.startswith("cuda") and not torch.cuda.is_available():
        return "torch sees no GPU"
    found = device_class(question.job.device)
    if found == question.hardware:
        return None
    return f"it computes on {found}, and the run is started on {question.hardware}: the bits would differ"


def _model(question: Question) -> str | None:
    if question.job.device.startswith("cuda") and not torch.cuda.is_available():
        # That is said already.
        return None
    # Whoever computes needs it anyway, and it checks the hash.
    load(question.job.model, device=question.job.device, precision=question.job.plan.precision)  # type: ignore[arg-type]
    return None


def _input(question: Question) -> str | None:
    image = open_image(question.job.source, storage_options=question.job.source_options)
    if image.fingerprint() != question.fingerprint:
        return f"{question.job.source} is another image there"
    return None


def _output(question: Question, *, moment: Moment) -> str | None:
    files, key = question.job.files, f"{FOLDER}/{question.mark}"
    until = time.monotonic() + SEEN_WITHIN * (moment == "during")
    while files.get(key if moment == "before" else MANIFEST) is None:
        if time.monotonic() >= until:
            return f"{question.job.target} is not the same place there: a file that was just written to it is missing"
        time.sleep(0.5)
    own = f"{key}-{socket.gethostname()}-{os.getpid()}"
    files.put(own, b"")
    files.delete(own)
    return None
