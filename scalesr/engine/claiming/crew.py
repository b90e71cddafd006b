"""Joining a run that others work at too, or beginning it; and its end, which one of them brings about."""

from __future__ import annotations

import json
from contextlib import contextmanager, suppress
from dataclasses import replace
from time import sleep
from typing import TYPE_CHECKING, Any, Literal

from scalesr.engine.claiming.claims import Claims, step_name, way_of
from scalesr.engine.claiming.ground import Ground
from scalesr.engine.claiming.holders import CLAIMS, Heart, Watch, lease, pause_of
from scalesr.engine.claiming.leaving import LEAVE
from scalesr.engine.claiming.shift import Shift
from scalesr.engine.job import ledger_files
from scalesr.engine.ledger import FAILURES, MANIFEST, recorded
from scalesr.engine.preparing import check_memory, prepare, subject_of
from scalesr.engine.settling import check_target
from scalesr.engine.targets import begun, ended, exists
from scalesr.errors import InterruptedRunError, OutputError, PlanError, ScalesrError
from scalesr.images import OWN, Files, Location, begin_image, sweep_levels

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator, Mapping

    from scalesr.engine.events import BlockReport, Callback
    from scalesr.engine.executors import Executor
    from scalesr.engine.job import Job
    from scalesr.engine.options import Options
    from scalesr.images import Image

LOOKS, PAUSE = 10, 0.1
"""How often, and after how many seconds, somebody looks again at an output that is not yet anything."""


class Crew:
    """One process of those that work at an output, with what it holds of the run.

    Parameters
    ----------
    location
        The output.
    files
        Its ledger.
    """

    def __init__(self, location: Location, files: Files) -> None:
        seconds = lease()
        self._location = location
        self._files = files
        self._pause = pause_of(seconds)
        self._heart = Heart(files, seconds=seconds)
        self._watch = Watch(files, seconds=seconds)
        self._claims: Claims

    def start(self) -> None:
        """Show that this process is there, and wait until the run is begun, by another one or now by this one.

        Raises
        ------
        InterruptedRunError
            The process was told to leave.
        OutputError
            The output cannot be written to.
        """
        self._heart.start()
        how = "create" if self._location.path is not None else way_of(self._files)
        self._claims = Claims(self._files, self._watch, own=self._heart.token, how=how)
        while not self._files.get(MANIFEST) and not self._claims.seize(step_name("begin")):
            self._wait()

    def end(self, *, how: Literal["finished", "stopped"]) -> None:
        """Leave; what this process has claimed is free for others at once."""
        self._heart.stop(how=how)
        with suppress(ScalesrError, OSError):
            if how == "finished" and not self._files.list(f"{CLAIMS}/"):
                self._files.clear(CLAIMS)

    def survey(self, job: Job) -> bytearray:
        """Return which blocks are done: one byte for each, 1 where it is."""
        published = ended(self._location)
        done = recorded(job.files, job.plan.blocks)
        if published and not all(done):
            # Records were lost after the end: until it comes again the output does not count as whole.
            files = Files(self._location.url, self._location.options)
            values: dict[str, Any] = json.loads(files.get("zarr.json") or b"{}")
            files.put("zarr.json", json.dumps({**values, "attributes": {OWN: {"state": "running"}}}).encode())
        return done

    def blocks(
        self, job: Job, executor: Executor, *, done: bytearray, size: int, tell: Callback, stage: str
    ) -> Iterator[BlockReport]:
        """Yield the report of each block that this process makes; all are done when it ends; see `Shift`."""
        ground = Ground(job, self._claims, done, pause=self._pause)
        yield from Shift(job, executor, ground, size=size, pause=self._pause, tell=tell, stage=stage).run()

    def settle(self, job: Job, finish: Callable[[], None]) -> None:
        """Have the run finished once all blocks are done: by this process or by another one, which is waited for.

        Whoever does it does it all. One that takes over from a process that died meanwhile does all of it again, which
        changes nothing.

        Raises
        ------
        InterruptedRunError
            The process was told to leave.
        ScalesrError
            It cannot be finished.
        """
        while not ended(self._location):
            try:
                taken = self._claims.seize(step_name("settle"))
            except OutputError:
                # Whoever comes to the end removes the folder of the claims.
                if ended(self._location):
                    break
                raise
            if not taken:
                self._wait()
            # Whoever held it before may have come to the end.
            elif not ended(self._location):
                self._clear(job)
                finish()
        self._files.clear(CLAIMS)

    def _clear(self, job: Job) -> None:
        """Remove what processes that died have left: half-written files, and notes of failures that are over."""
        for writer in (job.output,) if job.deviation is None else (job.output, job.deviation):
            sweep_levels(writer)
        self._files.clear(FAILURES)

    def _wait(self) -> None:
        if LEAVE.is_set():
            raise InterruptedRunError("Told to leave.", remedy="Run the same command again to go on.")
        sleep(self._pause)


def _begin(image: Image, location: Location, options: Options) -> None:
    """Make the group of the output if there is nothing, or refuse what is there."""
    for _ in range(LOOKS):
        if not exists(location):
            # Who is too late finds it begun by somebody else, which is as good.
            begin_image(location.url, storage_options=location.options)
        if begun(location) or ended(location):
            break
        # What is there may be the first file of somebody who begins at this moment.
        sleep(PAUSE)
    ledger = ledger_files(location.url, location.options)
    if not begun(location) and ledger.get(MANIFEST) is None:
        raise OutputError(
            f"{location} exists, and holds no run that could be shared.",
            remedy="Choose another place, or remove it yourself.",
        )
    check_target(image, location.url, options=options, target_options=location.options)


@contextmanager
def joined(
    image: Image, target: str | os.PathLike[str], options: Options, *, target_options: Mapping[str, Any] | None
) -> Iterator[Crew]:
    """Join those who work at an output, or be the first of them.

    Whatever can be refused without reading the image is refused before anything is written.

    Raises
    ------
    ScalesrError
        Options, model, input or memory do not fit, or the output cannot be used.
    """
    if options.mode == "overwrite":
        raise PlanError(
            "An output that others work at cannot be replaced.",
            remedy="Leave out --overwrite or --share, or remove the output before you start the first process.",
        )
    if options.calibrate != "never":
        raise PlanError(
            "Processes that work at one output must have the same cells, and each would measure its own.",
            remedy="Run `scalesr plan --calibrate` once, and give its --cell and --batch to all of them.",
        )
    check_memory(prepare(subject_of(image, level=options.level), options), options)
    location = Location.parse(target, target_options)
    _begin(image, location, replace(options, mode="resume"))
    crew = Crew(location, ledger_files(location.url, location.options))
    how: Literal["finished", "stopped"] = "stopped"
    try:
        crew.start()
        yield crew
        how = "finished"
    finally:
        crew.end(how=how)
