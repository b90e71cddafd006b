"""Before the first block: whether every worker of a cluster can take part, and would make the same bytes."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from scalesr.engine.executors.dask import DEVICE
from scalesr.engine.executors.kinds import GPU
from scalesr.engine.flights import in_flight
from scalesr.engine.ledger import device_class
from scalesr.engine.probing import FOLDER, Answer, Gate, Problem, Question, answer, own_versions, short_of_memory
from scalesr.errors import PlanError
from scalesr.images import OWN, Location
from scalesr.secrecy import without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from distributed import WorkerPlugin

    from scalesr.engine.executors import Executor
    from scalesr.engine.job import Job
    from scalesr.engine.probing import Matter
    from scalesr.models import ModelSpec

NAMED = 3
"""Workers that are named for each problem; how many there are is always said."""
REMEDIES: dict[Matter, str] = {
    "answer": "Install the same scalesr on every worker (deploy/containers has an image); its log says more.",
    "versions": "Install the same versions on every worker; deploy/containers has an image.",
    "hardware": "Use machines of one kind, or have all processors compute alike: ATEN_CPU_CAPABILITY=avx2.",
    "model": "Put the same file at the same path for every worker.",
    "memory": "Give workers more, or more workers; or lower --block, --cell or --batch.",
    "GPU memory": "Lower --cell or --batch, or use larger GPUs.",
    "input": "Name the input as every worker sees it: a shared folder by its full path, or an object store.",
    "output": "Name an output that every worker sees and may write to.",
}
"""What to do, by what workers fail in."""


def check_workers(executor: Executor, job: Job, spec: ModelSpec) -> None:
    """Refuse a run that would fail on a worker of a cluster, or get other bytes there; nothing is left behind.

    All workers are asked at the same time for their versions, the class of their device, the model with its hash,
    memory for their share of the blocks in flight, the input, and to see and write a file in the ledger. Those that
    come later are asked as they come, and sent away with a warning if they will not do. Where all workers are on this
    machine there is nobody to ask.

    Parameters
    ----------
    executor
        Who runs the tasks.
    job
        What they will be told.
    spec
        What the model says of itself.

    Raises
    ------
    PlanError
        A list of everything that is wrong with any worker, and what to do about it.
    OutputError
        The output cannot be written to from here.
    """
    resource = GPU if job.device.startswith("cuda") else DEVICE

    def inspection(on_each: Callable[..., Mapping[str, Any]], /) -> WorkerPlugin:
        question = Question(
            job=job,
            spec=spec,
            versions=own_versions(),
            hardware=device_class(job.device),
            fingerprint=job.image.fingerprint(),
            mark=uuid4().hex,
        )
        key = f"{FOLDER}/{question.mark}"
        try:
            job.files.put(key, b"")
            found = on_each(answer, question, resource, "before")
        finally:
            job.files.delete(key)
            _leave_no_folders(job)
        problems = _problems(question, found, slots=executor.slots)
        if problems:
            raise _refusal(problems, workers=len(found))
        return Gate(question, resource=resource)

    executor.inspect(inspection)


def _problems(
    question: Question, found: Mapping[str, Answer | BaseException], *, slots: int
) -> dict[str, list[Problem]]:
    """Return what is wrong with each worker with which anything is."""
    beside = Counter(some.host for some in found.values() if isinstance(some, Answer))
    # What the window holds; as long as there are fewer workers than there can be, more of it falls to each.
    share = ceil(in_flight(slots) / max(1, len(found)))
    problems: dict[str, list[Problem]] = {}
    for worker, some in found.items():
        if not isinstance(some, Answer):
            said = [Problem(matter="answer", text=f"it cannot be asked ({type(some).__name__}: {some})")]
        else:
            said = [*some.problems, *short_of_memory(question, some, share=share, beside=beside[some.host])]
        if said:
            problems[f"{worker} ({some.host})" if isinstance(some, Answer) else worker] = said
    return problems


def _refusal(problems: Mapping[str, list[Problem]], *, workers: int) -> PlanError:
    """Return the error that tells it all: each problem once, with those that have it."""
    having: dict[Problem, list[str]] = {}
    for worker, said in problems.items():
        for problem in said:
            having.setdefault(problem, []).append(worker)
    order = list(REMEDIES)
    width = max(len(problem.matter) for problem in having)
    lines = []
    for problem, who in sorted(having.items(), key=lambda item: (order.index(item[0].matter), item[0].text)):
        more = f" and {len(who) - NAMED:,} more" if len(who) > NAMED else ""
        lines.append(f"  {problem.matter:<{width}}  {without_secrets(problem.text)}")
        lines.append(f"  {'':<{width}}  on {', '.join(who[:NAMED])}{more}")
    table = "\n".join(lines)
    matters = [matter for matter in order if any(problem.matter == matter for problem in having)]
    count = f"{len(problems):,} of {workers:,} workers" if workers > 1 else "The only worker"
    return PlanError(
        f"{count} cannot take part in this run:\n{table}\n",
        remedy=" ".join(dict.fromkeys(REMEDIES[matter] for matter in matters)),
    )


def _leave_no_folders(job: Job) -> None:
    """Remove the folders that came with the file, in an output that is a folder and was not there."""
    output = Location.parse(job.target, job.output.storage_options).path
    if output is None:
        return
    with suppress(OSError):
        for folder in (output / OWN / FOLDER, output / OWN, output):
            # Fails at the first that holds anything, and so at none that was there before the run.
            folder.rmdir()
