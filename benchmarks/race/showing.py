"""What came of a race, as one table and one plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from rich.table import Table

from benchmarks.race.tools import ABILITIES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.race.running import Row, Terms

INK, OURS, THEIRS, LIMIT = "#222222", "#0072b2", "#b0b0b0", "#e69f00"
"""Colours that the colour-blind can tell apart: scalesr, the tools, the plain loops."""


def figures(rows: Sequence[Row], terms: Terms) -> list[dict[str, Any]]:
    """Return the figures of each tool, to be kept as JSON; None is what could not be measured."""
    ours = [row for row in rows if row.tool.name.startswith("scalesr") and row.done]
    named = [row for row in ours if row.tool.name == "scalesr"] or ours
    base = named[0].median("seconds") if named else None
    kept: list[dict[str, Any]] = []
    for row in rows:
        seconds, pixels = row.median("seconds"), row.said("pixels")
        kept.append(
            {
                "tool": row.tool.name,
                "seconds": seconds,
                "times scalesr": seconds / base if seconds is not None and base else None,
                "seconds of the process": row.median("wall"),
                "cpu seconds": row.said("cpu"),
                "cpu seconds of the process": row.median("cpu"),
                "peak": row.median("peak"),
                "device peak": row.said("device_peak") if terms.device != "cpu" else None,
                "read": row.said("read"),
                "written": row.said("written"),
                "bytes of the process": {"read": row.median("read"), "written": row.median("written")},
                "tiles": row.said("tiles"),
                "computed over needed": pixels / terms.case.pixels(terms.size) if pixels else None,
                "difference inside": row.likeness.inside if row.likeness else None,
                "difference anywhere": row.likeness.anywhere if row.likeness else None,
                "seam over the whole image's": row.seam,
                "same bits from other chunks": row.same_bits,
                "runs": [run.seconds for run in row.done],
                "failure": row.failure,
                "cannot": dict(row.tool.cannot),
                "note": row.tool.note,
            }
        )
    return kept


def table(kept: Sequence[dict[str, Any]], *, title: str) -> Table:
    """Return the table of a race; who has no figures stands in it with the reason."""
    out = Table(title=title, title_justify="left", caption_justify="left", show_lines=False, pad_edge=False)
    out.caption = (
        "s, CPU s, read and written (GB): of the computation; process: seconds with imports; x: seconds over those of "
        "scalesr; GB: peak of the process and its children; computed: pixels that the network saw over pixels of the "
        "image; difference: largest one to the whole image in one piece, over its range, a halo away from the border "
        "and anywhere; seam: steps at borders of tiles over those in the image in one piece; bits: the same from other "
        "chunks"
    )
    out.add_column("tool")
    for name in ("s", "x", "process", "CPU s", "GB", "GPU GB", "read", "written"):
        out.add_column(name, justify="right")
    for name in ("computed", "difference", "anywhere", "seam", "bits"):
        out.add_column(name, justify="right")
    for row in kept:
        if row["seconds"] is None:
            out.add_row(row["tool"], _brief(row) or "no figures", *[""] * 12)
            continue
        same = row["same bits from other chunks"]
        out.add_row(
            row["tool"],
            f"{row['seconds']:.1f}",
            _number(row["times scalesr"], ".2f"),
            f"{row['seconds of the process']:.1f}",
            _number(row["cpu seconds"], ".1f"),
            f"{row['peak'] / 1e9:.2f}",
            _number(row["device peak"], ".2f", over=1e9),
            _number(row["read"], ".2f", over=1e9),
            _number(row["written"], ".2f", over=1e9),
            _number(row["computed over needed"], ".2f"),
            _number(row["difference inside"], ".0e"),
            _number(row["difference anywhere"], ".0e"),
            _number(row["seam over the whole image's"], ".3f"),
            "" if same is None else "same" if same else "differ",
        )
    return out


def failures(kept: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line for each tool that has no figures, or not of all its runs, with the reason."""
    return [f"{row['tool']}: {row['failure']}" for row in kept if row["failure"]]


def abilities(kept: Sequence[dict[str, Any]]) -> Table:
    """Return what each tool can do beside it, and why it cannot."""
    out = Table(title="What they can do", title_justify="left", pad_edge=False)
    out.add_column("tool")
    for name in ABILITIES:
        out.add_column(name)
    out.add_column("as it is run here")
    for row in kept:
        out.add_row(
            row["tool"],
            *(f"no: {row['cannot'][name]}" if name in row["cannot"] else "yes" for name in ABILITIES),
            row["note"],
        )
    return out


def plot(kept: Sequence[dict[str, Any]], path: Path, *, title: str) -> list[Path]:
    """Draw seconds, memory and work of each tool as bars; write SVG and PNG, whose paths are returned."""
    panels = (
        ("seconds", "seconds of the computation", 1.0, ".1f"),
        ("peak", "peak memory, GB", 1e9, ".2f"),
        ("computed over needed", "pixels computed over needed", 1.0, ".2f"),
    )
    rows = list(reversed(kept))
    figure = Figure(figsize=(12.5, 1.3 + 0.34 * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True)
    for ax, (name, label, unit, style) in zip(axes, panels, strict=True):
        values = [(row[name] or 0.0) / unit for row in rows]
        ax.barh(range(len(rows)), values, color=[_colour(row["tool"]) for row in rows], height=0.7)
        ax.set_yticks(range(len(rows)), [row["tool"] for row in rows])
        ax.set_xlabel(label, color=INK)
        ax.set_xlim(0, 1.22 * max([*values, 1e-9]))
        ax.spines[["top", "right"]].set_visible(False)
        for place, (value, row) in enumerate(zip(values, rows, strict=True)):
            words = format(value, style) if row[name] is not None else _brief(row)
            ax.text(value, place, f" {words}", va="center", fontsize=8, color=INK)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return _saved(figure, path)


def growth_plot(lines: Sequence[dict[str, Any]], path: Path, *, title: str) -> list[Path]:
    """Draw peak memory and seconds over the size of the image on log-log, with the slopes; write SVG and PNG."""
    figure = Figure(figsize=(12.5, 5.2), layout="constrained")
    axes = figure.subplots(1, 2)
    markers = "osD^v<>PXph*"
    for ax, (name, label, unit) in zip(
        axes, (("peak", "peak memory, GB", 1e9), ("seconds", "seconds of the computation", 1.0)), strict=True
    ):
        for number, line in enumerate(lines):
            points = [(p["gigabytes"], p[name] / unit) for p in line["points"] if p[name] is not None]
            if not points:
                continue
            slope = line[f"slope of {name}"]
            words = line["tool"] + ("" if slope is None else f", slope {slope:.2f}")
            ours = line["tool"].startswith("scalesr")
            ax.plot(
                *zip(*points, strict=True),
                marker=markers[number % len(markers)],
                color=OURS if ours else f"C{number % 10}",
                linewidth=2.5 if ours else 1.2,
                label=words,
            )
        ax.set_xscale("log")
        ax.set_yscale("log")
        sizes = sorted({p["gigabytes"] for line in lines for p in line["points"]})
        ax.set_xticks(sizes, [f"{size:.3g}" for size in sizes])
        ax.minorticks_off()
        ax.set_xlabel("size of the image, GB", color=INK)
        ax.set_ylabel(label, color=INK)
        ax.grid(color="#e5e5e5")
        ax.spines[["top", "right"]].set_visible(False)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=8, frameon=False)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    return _saved(figure, path)


def growth_table(lines: Sequence[dict[str, Any]], *, title: str) -> Table:
    """Return the table of a growth: memory and seconds for each size, and the slopes."""
    sizes = [point["gigabytes"] for point in lines[0]["points"]]
    out = Table(title=title, title_justify="left", pad_edge=False)
    out.add_column("tool")
    for size in sizes:
        out.add_column(f"{size:.3g} GB", justify="right")
    out.add_column("slope of memory", justify="right")
    out.add_column("of time", justify="right")
    for line in lines:
        cells = [
            f"{point['peak'] / 1e9:.2f} GB, {point['seconds']:.0f} s"
            if point["seconds"] is not None
            else _brief(point) or "no figures"
            for point in line["points"]
        ]
        slopes = (_number(line[f"slope of {name}"], ".2f") for name in ("peak", "seconds"))
        out.add_row(line["tool"], *cells, *slopes)
    return out


def _saved(figure: Any, path: Path) -> list[Path]:
    places = [path.with_suffix(".svg"), path.with_suffix(".png")]
    for place in places:
        figure.savefig(place, dpi=110)
    return places


def _colour(tool: str) -> str:
    return OURS if tool.startswith("scalesr") else LIMIT if tool.startswith("torch loop") else THEIRS


def _number(value: float | None, style: str, *, over: float = 1.0) -> str:
    return "" if value is None else format(value / over, style)


def _brief(row: dict[str, Any]) -> str:
    words = str(row["failure"] or "")
    known = ("not tried", "failed", "out of time", "out of memory", "not installed")
    return next((word for word in known if words.startswith(word)), "cannot" if words else "")
