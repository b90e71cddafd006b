"""Runs each tool on a case, one after the other, as often as asked, and keeps what comes of it."""

from __future__ import annotations

import os
import shutil
import statistics
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from benchmarks.grounds import BUCKET, credentials, rclone
from benchmarks.peers.job import Job
from benchmarks.race import images
from benchmarks.race.comparing import Likeness, compare, identical, seam_score
from benchmarks.race.measuring import Outcome, watch
from benchmarks.race.tools import ROOT, Tool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.race.cases import Case

Store = Literal["disk", "s3"]
WHOLE = Tool(
    name="whole image",
    script="whole",
    environment="",
    cannot={
        "larger than memory": "image, result and all in between are whole in memory",
        "blends": "has no tiles",
        "resumes": "a run that stops begins anew",
    },
    note="in one piece, the reference",
)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What all tools of a race are given."""

    case: Case
    size: int
    cell: int
    batch: int
    device: str
    store: Store
    threads: int
    repeats: int
    limit: float
    """Seconds for each run."""
    memory: int | None
    """Bytes that a run may hold."""
    out_dtype: str = "float32"
    chunk: int = 512
    """Edge of the chunks of the image as it is stored; those of a volume are a quarter of that."""


@dataclass(kw_only=True)
class Row:
    """What came of one tool."""

    tool: Tool
    excuse: str | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    likeness: Likeness | None = None
    seam: float | None = None
    """Steps at the borders of tiles over steps elsewhere, over that ratio in the image in one piece."""
    same_bits: bool | None = None
    """Whether an image with chunks of half the edge gave the same bits; None where that was not tried."""

    @property
    def done(self) -> list[Outcome]:
        """Runs that came to an end."""
        return [outcome for outcome in self.outcomes if outcome.ending == "done"]

    def median(self, name: str) -> float | None:
        """Return the median over runs of a figure of `Outcome`, taken from outside; None without runs."""
        return statistics.median(float(getattr(run, name)) for run in self.done) if self.done else None

    def said(self, name: str) -> float | None:
        """Return the median over runs of what the tool said itself; None where it said nothing of it."""
        found = [float(run.answer[name]) for run in self.done if run.answer.get(name) is not None]
        return statistics.median(found) if found else None

    @property
    def failure(self) -> str | None:
        """Why there are no figures, or not of all runs."""
        if self.excuse:
            return self.excuse
        bad = [outcome for outcome in self.outcomes if outcome.ending != "done"]
        return f"{bad[0].ending}: {bad[0].reason}" if bad else None


def race(terms: Terms, tools: Sequence[Tool], folder: Path, *, bits: bool, told: Callable[[str], None]) -> list[Row]:
    """Run all tools, alternating; compare what they wrote.

    Parameters
    ----------
    terms
        What they are given.
    tools
        Who takes part.
    folder
        An empty folder for images and outputs; its files may be removed afterwards.
    bits
        Run each tool once more on the same image in other chunks, and see whether its output has the same bits.
    told
        Is told what happens.
    """
    with ExitStack() as stack:
        # A bucket is a folder that a server of this machine serves: all can be looked at without it.
        served = folder / BUCKET
        served.mkdir()
        prefix = ""
        if terms.store == "s3":
            patch = stack.enter_context(pytest.MonkeyPatch.context())
            server = stack.enter_context(rclone(folder))
            credentials(patch, server.endpoint)
            prefix = f"s3://{BUCKET}"
        told(f"making the image, {' x '.join(map(str, terms.case.shape(terms.size)))}")
        course = _Course(terms, served, prefix, chunk=terms.chunk)
        rows = [Row(tool=tool, excuse=tool.excuse(terms.case, store=terms.store)) for tool in tools]
        expected = None
        if terms.case.pixels(terms.size) // terms.case.count <= terms.case.whole and terms.out_dtype == "float32":
            told("the reference: the whole image in one piece")
            reference = Row(tool=WHOLE)
            outcome, expected = course.run(WHOLE, "expected")
            reference.outcomes.append(outcome)
            expected = expected if reference.done else None
            rows.insert(0, reference)
        for number in range(terms.repeats):
            for row in rows:
                if row.excuse or row.tool is WHOLE or row.failure:
                    continue
                outcome, found = course.run(row.tool, "out")
                row.outcomes.append(outcome)
                told(f"{row.tool.name}: {outcome.ending} in {outcome.wall:.1f} s {outcome.reason[-200:]}")
                if number == 0 and row.done:
                    _judge(row, found, expected, terms)
        if bits:
            _other_chunks(rows, course, _Course(terms, served, prefix, chunk=terms.chunk // 2, name="other"), told)
    return rows


def _judge(row: Row, found: list[str], expected: list[str] | None, terms: Terms) -> None:
    case, scale = terms.case, terms.case.network.scale
    ndim = len(case.axes)
    answer = row.done[0].answer
    if expected:
        likenesses = [
            compare(one, other, margin=case.network.halo * scale, ndim=ndim)
            for one, other in zip(found, expected, strict=True)
        ]
        row.likeness = Likeness(
            inside=max(each.inside for each in likenesses), anywhere=max(each.anywhere for each in likenesses)
        )
    cell = answer.get("cell", [terms.cell] * ndim)
    offset = case.network.halo if row.tool.border == "halo" else 0
    if expected and min(cell) * scale >= 5:
        # Over that of the image in one piece: what lies at these places may have steps of its own.
        ours, theirs = (
            seam_score(each[0], period=[n * scale for n in cell], offset=[offset * scale] * ndim)
            for each in (found, expected)
        )
        row.seam = ours / theirs if ours and theirs else None


def _other_chunks(rows: list[Row], course: _Course, other: _Course, told: Callable[[str], None]) -> None:
    for row in rows:
        if not row.done or row.tool is WHOLE:
            continue
        told(f"{row.tool.name}: the same bits from other chunks?")
        # Who works on chunks works on other ones now; the others are told the same as before.
        changed = "one result whatever the chunks" in row.tool.cannot and row.tool.script.endswith("_overlap")
        first, one = course.run(row.tool, "out")
        second, two = other.run(row.tool, "again", cell=other.terms.cell // 2 if changed else None)
        if first.ending == second.ending == "done":
            row.same_bits = identical(one, two, ndim=len(course.terms.case.axes))


class _Course:
    """One image, and what runs on it."""

    def __init__(self, terms: Terms, served: Path, prefix: str, *, chunk: int, name: str = "course") -> None:
        self.terms = terms
        self._folder = served / name
        self._folder.mkdir()
        self._served, self._prefix = served, prefix
        self._runs = 0
        edge = chunk if len(terms.case.axes) == 2 else chunk // 4
        self._image, self._sources = images.make(terms.case, self._folder, size=terms.size, chunk=edge)
        self._weights = terms.case.network.write(self._folder)

    def _address(self, place: str) -> str:
        return place.replace(str(self._served), self._prefix, 1) if self._prefix else place

    def run(self, tool: Tool, name: str, *, cell: int | None = None) -> tuple[Outcome, list[str]]:
        """Run a tool; return what it took and the arrays that it wrote."""
        terms, case = self.terms, self.terms.case
        # A new name each time: a server of the folder remembers files that are gone.
        self._runs += 1
        scratch, target = self._folder / "scratch", self._folder / f"{name}-{self._runs}.zarr"
        for place in (scratch, *self._folder.glob(f"{name}-*.zarr")):
            shutil.rmtree(place, ignore_errors=True)
        scratch.mkdir()
        targets = [str(target / str(number)) for number in range(len(self._sources))]
        native = case.network.architecture in ("edsr", "rrdb")
        job = Job(
            sources=[self._address(source) for source in self._sources],
            targets=[self._address(place) for place in targets],
            weights=str(self._weights),
            scale=case.network.scale,
            cell=[cell or terms.cell] * len(case.axes),
            halo=case.network.halo,
            batch=terms.batch,
            low=images.LOW,
            high=images.HIGH,
            threads=terms.threads,
            device=terms.device,
            variant=tool.variant,
            out_dtype=terms.out_dtype,
            scratch=str(scratch),
            extra=tool.extra
            | {
                "kind": case.kind,
                "image": self._address(self._image),
                "target": self._address(str(target)),
                "model": "file" if native else "function",
            },
        )
        outcome = watch(
            [*tool.command, str(job.write(scratch / "job.json"))],
            environment=environment(terms),
            folder=ROOT,
            limit=terms.limit,
            memory=terms.memory,
        )
        found = outcome.answer.get("outputs", targets)
        if tool.script == "ours" and outcome.ending == "done":
            found = images.results(case, target)
        # What is written whole may never have been read back: a tool is done when all of it is there.
        missing = [place for place in found if not (Path(place) / "zarr.json").is_file()]
        if outcome.ending == "done" and missing:
            outcome = replace(outcome, ending="failed", reason=f"{missing[0]} was not written")
        return outcome, found


def environment(terms: Terms) -> dict[str, str]:
    """Return the variables of a tool: those of this process, but for what says how many threads there are."""
    own: dict[str, Any] = {
        name: value
        for name, value in os.environ.items()
        if not name.endswith("_NUM_THREADS") and name not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    if terms.device == "cpu":
        own["CUDA_VISIBLE_DEVICES"] = ""
    return own | {"OMP_NUM_THREADS": str(terms.threads), "SCALESR_REPORT": "none"}
