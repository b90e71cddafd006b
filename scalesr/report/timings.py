"""What a run took: seconds of each stage, of each block, blocks over time, and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scalesr.report.parts import Plot, Table
from scalesr.report.plots import INK, OUT, SOFT, THIRD, drawn
from scalesr.tiling import human_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.report.history import History
    from scalesr.report.journal import Journal
    from scalesr.report.parts import Fact

SLOWEST = 10
GIGABYTE = 2**30
_LEAST = 2**20
"""Bytes that a plot of memory shows at least: a small run takes none in a process that has enough already."""


def seconds_text(seconds: float) -> str:
    """Return a length of time with three figures."""
    for unit, size in (("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.3g} s" if seconds >= 0.1 or not seconds else f"{1000 * seconds:.3g} ms"


def utc(time: str) -> str:
    """Return a time as a journal keeps it, for people."""
    return time.replace("T", " ").replace("+00:00", " UTC")


def run_facts(history: History) -> tuple[Fact, ...]:
    """Return what the run took, in words."""
    records, journals = history.records, history.journals
    total = sum(records.stages.values())
    facts = [
        ("blocks", f"{records.there:,} of {history.plan.blocks:,} done; {history.plan.tiles:,} tiles"),
        ("work of the blocks", seconds_text(total) + _of(history)),
    ]
    if journals:
        facts.append(("wall time", _walls(journals)))
        facts += [("who ran it", words) for words in dict.fromkeys(filter(None, (one.executor for one in journals)))]
        facts.append(
            (
                "machine",
                "; ".join(dict.fromkeys(f"{one.cores} cores, {human_bytes(one.ram)} memory" for one in journals)),
            )
        )
        facts.append(("begun", ", ".join(utc(one.began) for one in journals)))
        requests = sum(one.requests for one in journals)
        if requests:
            facts.append(("requests to stores", f"{requests:,}"))
        for name in sorted({name for one in journals for name, _ in one.troubles}):
            count = sum(count for one in journals for other, count in one.troubles if other == name)
            facts.append(("happened on the way", f"{name}, {count:,} times"))
    if records.again:
        facts.append(("tried again", f"{len(records.again):,} blocks, at most {max(records.again.values())} times"))
    if records.reduced:
        facts.append(("smaller batches", f"{records.reduced:,} blocks: the device ran out of memory"))
    if records.bad_chunks:
        shown = ", ".join(records.bad_chunks[:5])
        more = f" and {len(records.bad_chunks) - 5:,} more" if len(records.bad_chunks) > 5 else ""
        facts.append(("filled", f"{len(records.bad_chunks):,} chunks of the input could not be read: {shown}{more}"))
    words = {
        "clipped": "voxels did not fit the data type and were set to its nearest value",
        "not_finite": "voxels of the input were NaN or infinite",
        "masked": "voxels of the input were not measured",
        "negative": "voxels below zero were set to zero to conserve the flux",
        "flat": "pixels of the input in which the network saw nothing were spread evenly",
    }
    facts += [(name.replace("_", " "), f"{records.counts[name]:,} {text}{_of(history)}")
              for name, text in words.items() if records.counts.get(name)]  # fmt: skip
    return tuple(facts)


def run_plots(history: History) -> tuple[Plot, ...]:
    """Return plots of stages and blocks, and, where journals were kept, of blocks and memory over time."""
    plots = []
    if history.records.stages:
        plots += [_stages(history), _blocks(history)]
    journals = [one for one in history.journals if len(one.ended) > 1]
    if journals:
        plots.append(ended_plot(journals, what="blocks"))
    return (*plots, *memory_plots(history.journals))


def memory_plots(journals: Sequence[Journal]) -> tuple[Plot, ...]:
    """Return the plot of memory over time, if a journal was kept."""
    known = [one for one in journals if one.memory]
    if not known:
        return ()
    longest = max(known, key=lambda one: one.own_peak)
    planned, peak, held = longest.planned_bytes, longest.own_peak, longest.held
    words = (
        f"Memory of the process that ran, with those that it started, looked at when something happened, at most five "
        f"times a second: {human_bytes(peak)} at the most; between two looks it may have been more."
        + (f" Left out are {human_bytes(held)} that the program held before, which called the run." if held else "")
        + (f" The plan allowed for {human_bytes(planned)}." if planned else "")
    )
    with drawn("memory", title="Memory over time", words=words, height=2.2) as drawing:
        axes = drawing.axes
        for one in known:
            at, size = np.array(one.memory, np.float64).T
            axes.plot(
                at,
                np.maximum(size - one.held, 0) / GIGABYTE,
                color=OUT,
                drawstyle="steps-post",
                marker="o",
                markersize=2.5,
            )
        if planned:
            axes.axhline(planned / GIGABYTE, color=THIRD, linestyle="--", linewidth=1.2)
            axes.text(1, planned / GIGABYTE, "planned ", ha="right", va="bottom", transform=axes.get_yaxis_transform())
        axes.set(xlabel="seconds since the run began", ylabel="memory (GiB)")
        axes.set_ylim(0, 1.18 * max(peak, planned, _LEAST) / GIGABYTE)
    rows = [("seen at the most", human_bytes(peak)), ("planned", human_bytes(planned) if planned else "not noted")]
    rows += [("held before by the program, left out", human_bytes(held))] if held else []
    rows += [(f"of the plan: {name}", human_bytes(size)) for name, size in longest.planned]
    if longest.device_bytes:
        rows.append(("planned for the device", human_bytes(longest.device_bytes)))
    table = Table(caption="Memory", headers=("what", "bytes"), rows=tuple(rows))
    return (Plot(title="Memory over time", words=words, svg=drawing.svg, table=table),)


def ended_plot(journals: Sequence[Journal], *, what: str) -> Plot:
    """Return how many blocks, or fields, had ended over time, one line for each process."""
    words = f"{what.capitalize()} that were done, over the time since each process began." + (
        f" {len(journals):,} processes, or runs that went on from where another stopped." if len(journals) > 1 else ""
    )
    title = f"{what.capitalize()} over time"
    with drawn("ended", title=title, words=words, height=2.2) as drawing:
        axes = drawing.axes
        for one in journals:
            counts = one.there + one.every * np.arange(1, len(one.ended) + 1)
            axes.step([0.0, *one.ended], [one.there, *counts], where="post", color=OUT)
        axes.set(xlabel="seconds since the run began", ylabel=f"{what} done")
        axes.set_ylim(bottom=0)
    rows = tuple(
        (utc(one.began), f"{one.there:,}", f"{len(one.ended) * one.every:,}", seconds_text(one.seconds))
        for one in journals
    )
    table = Table(caption=title, headers=("begun", "there before", f"{what} made", "wall time"), rows=rows)
    return Plot(title=title, words=words, svg=drawing.svg, table=table)


def _stages(history: History) -> Plot:
    stages = history.records.stages
    total = sum(stages.values()) or 1.0
    words = f"Seconds that all blocks together spent in each stage{_of(history)}; blocks go side by side."
    with drawn("stages", title="Time of each stage", words=words, height=0.9 + 0.32 * len(stages)) as drawing:
        axes = drawing.axes
        names = list(stages)[::-1]
        bars = axes.barh(names, [stages[name] for name in names], color=OUT, height=0.62)
        axes.bar_label(bars, [f"{100 * stages[name] / total:.0f} %" for name in names], padding=3, color=INK)
        axes.set(xlabel="seconds")
        axes.margins(x=0.12)
    rows = tuple(
        (name, seconds_text(took), f"{100 * took / total:.1f} %",
         seconds_text(took / max(1, history.records.read))) for name, took in stages.items()
    )  # fmt: skip
    table = Table(caption="Time of each stage", headers=("stage", "all blocks", "share", "a block"), rows=rows)
    return Plot(title="Time of each stage", words=words, svg=drawing.svg, table=table)


def _blocks(history: History) -> Plot:
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 it takes half a second

    took = {block: sum(stages.values()) for block, stages in history.records.seconds.items()}
    slowest = sorted(took, key=lambda block: -took[block])[:SLOWEST]
    lattice = history.plan.lattice
    middle = float(np.median(list(took.values())))
    words = (
        f"Seconds of work of each block, by its number{_of(history)}: the slowest took "
        f"{seconds_text(took[slowest[0]])}, the median {seconds_text(middle)}."
    )
    with drawn("blocks", title="Time of each block", words=words, height=2.2) as drawing:
        axes = drawing.axes
        axes.plot(list(took), list(took.values()), "o", markersize=3 if len(took) > 60 else 4.5, color=OUT)
        axes.axhline(middle, color=SOFT, linestyle="--", linewidth=1)
        axes.set(xlabel="number of the block", ylabel="seconds")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    stages = list(history.records.stages)
    rows = tuple(
        (
            f"{block:,}",
            ", ".join(f"{axis.name} {n}" for axis, n in zip(lattice.axes, lattice.index(block), strict=True)),
            seconds_text(took[block]),
            *(seconds_text(history.records.seconds[block].get(stage, 0.0)) for stage in stages),
        )
        for block in slowest
    )
    table = Table(caption="The slowest blocks", headers=("block", "position", "seconds", *stages), rows=rows)
    return Plot(title="Time of each block", words=words, svg=drawing.svg, table=table)


def _walls(journals: Sequence[Journal]) -> str:
    if len(journals) == 1:
        return seconds_text(journals[0].seconds)
    return f"{seconds_text(sum(one.seconds for one in journals))} in {len(journals):,} processes or parts"


def _of(history: History) -> str:
    """Return of how many blocks a figure is, where it is not of all."""
    records = history.records
    return "" if records.whole else f", of {records.read:,} of {records.there:,} blocks"
