"""The report of a plate: its fields and how far each is, a few of them closely, and what all have in common."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from scalesr.engine.job import ledger_files
from scalesr.engine.ledger import read_manifest
from scalesr.errors import LedgerError, ScalesrError
from scalesr.images import field_states
from scalesr.report.again import call, changes, command
from scalesr.report.figures import table_of
from scalesr.report.history import read_history
from scalesr.report.image_page import SAME, TRUST, compact, lead, left_out, provenance_section
from scalesr.report.journal import read_journals
from scalesr.report.parts import Table
from scalesr.report.provenance import card_of, hash_table, input_facts, version_table
from scalesr.report.rendering import Page, Section
from scalesr.report.scene import open_scene
from scalesr.report.timings import ended_plot, memory_plots, seconds_text, utc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalesr.engine.ledger import Manifest
    from scalesr.images import Plate
    from scalesr.report.parts import Comparison, Fact
    from scalesr.report.scene import Scene

FIELDS = 3
"""Fields that are looked at closely: the first, the middle and the last of those that are done."""
LEDGERS = 96
"""Fields whose ledgers are read, evenly spaced."""
ROWS = 400
"""Fields that the table lists; those that are not done come first."""


def plate_page(plate: Plate, *, reference: str | None, storage_options: Mapping[str, Any] | None) -> Page:
    """Return the report of a plate.

    Parameters
    ----------
    plate
        What a run wrote.
    reference
        A plate of the same fields, as they should look.
    storage_options
        Handed to fsspec for inputs and references.

    Raises
    ------
    LedgerError
        The plate is not the output of a run.
    """
    files = ledger_files(plate.url, plate.storage_options)
    manifest = read_manifest(files)
    if manifest is None:
        raise LedgerError(
            f"{plate.url} holds no ledger: it is not the output of a run.", remedy="Name the output of `scalesr run`."
        )
    states = field_states(plate)
    whole = [path for path, state in states.items() if state == "whole"]
    absent: list[Fact] = [(well, reason) for well, reason in plate.left_out.items()]
    closely = _closely(plate, whole, reference=reference, storage_options=storage_options, absent=absent)
    took, measured = _ledgers(plate, whole, absent)
    journals = read_journals(files)
    plots = [ended_plot([one for one in journals if len(one.ended) > 1], what="fields")] if any(
        len(one.ended) > 1 for one in journals
    ) else []  # fmt: skip
    sections = [
        _wells(plate, states),
        _comparing(closely),
        Section(key="figures", title="Figures and their controls", words=(TRUST,), tables=measured)
        if measured
        else None,
        Section(
            key="run",
            title="Time and memory",
            caption="The run",
            facts=_facts(took, whole, journals),
            plots=(*plots, *memory_plots(journals)),
            folded=(_field_table(states, took),),
        ),
        _provenance(manifest, closely),
        _again(plate, manifest),
        left_out(tuple(absent)),
    ]
    source = str(manifest.provenance.get("source"))
    tiles: list[Fact] = [
        ("fields", f"{len(whole):,} of {len(states):,} done"),
        ("wells", f"{len(plate.wells):,}"),
        ("model", str(manifest.provenance.get("model", "")).removeprefix("builtin:").rsplit("/", 1)[-1]),
    ]
    if journals:
        tiles.append(("wall time", seconds_text(sum(one.seconds for one in journals))))
    return Page(
        title=plate.name or "Plate",
        lead=lead(closely[0][1], source=source) if closely else f"{source}, of which no field is done.",
        tiles=tuple(tiles),
        sections=tuple(section for section in sections if section is not None),
    )


def _closely(
    plate: Plate,
    whole: list[str],
    *,
    reference: str | None,
    storage_options: Mapping[str, Any] | None,
    absent: list[Fact],
) -> list[tuple[str, Scene]]:
    """Return the fields that are looked at closely."""
    chosen = list(dict.fromkeys([whole[0], whole[len(whole) // 2], whole[-1]] if whole else []))[:FIELDS]
    found = []
    for path in chosen:
        beside = None if reference is None else f"{reference.rstrip('/')}/{path}"
        try:
            field = plate.open_field(path)
            found.append((path, open_scene(field, source=None, reference=beside, storage_options=storage_options)))
        except ScalesrError as error:
            absent.append((f"field {path}", error.problem))
            if beside is not None:
                raise
    return found


def _comparing(closely: list[tuple[str, Scene]]) -> Section | None:
    found: list[Comparison] = []
    words: list[str] = []
    for number, (path, scene) in enumerate(closely, start=1):
        section, _ = compact(scene, title=f"Field {path}", number=number)
        found += section.comparisons
        words += section.words
    if not found:
        return None
    return Section(
        key="compare",
        title="Before and after",
        words=(
            "The first, the middle and the last field that are done, and of each the place with most structure of an "
            "overview: our own choice. " + SAME,
            *words,
        ),
        comparisons=tuple(found),
    )


def _wells(plate: Plate, states: Mapping[str, str]) -> Section:
    """Return the plate as a map of its wells."""
    done: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for path, state in states.items():
        well = path.rpartition("/")[0]
        there[well] += 1
        done[well] += state == "whole"
    rows = []
    for row in plate.layout.rows:
        cells = (f"{row}/{column}" for column in plate.layout.columns)
        rows.append((row, *(f"{done[well]}/{there[well]}" if well in there else "" for well in cells)))
    table = Table(caption="Fields done, of those of each well", headers=tuple(plate.layout.columns), rows=tuple(rows))
    return Section(key="wells", title="Wells", wells=table)


def _ledgers(plate: Plate, whole: list[str], absent: list[Fact]) -> tuple[dict[str, float], tuple[Table, ...]]:
    """Return what fields took, and the figures that were measured of them, of fields that are spread evenly."""
    step = -(-len(whole) // LEDGERS) or 1
    took: dict[str, float] = {}
    measures = []
    for path in whole[::step]:
        try:
            history = read_history(plate.location(path).url, plate.storage_options)
        except ScalesrError as error:
            absent.append((f"ledger of field {path}", error.problem))
            continue
        took[path] = sum(history.records.stages.values())
        measures += [measure.placed(path) for measure in history.measures if not measure.where]
    if not measures:
        return took, ()
    of = "all fields" if step == 1 else f"{len(took):,} of {len(whole):,} fields"
    return took, (table_of(measures, caption=f"Of {of}, measured while they were made"),)


def _facts(took: dict[str, float], whole: list[str], journals: tuple[Any, ...]) -> tuple[Fact, ...]:
    facts: list[Fact] = []
    if took:
        of = "" if len(took) == len(whole) else f", of {len(took):,} of {len(whole):,} fields"
        facts.append(("work of the fields", seconds_text(sum(took.values())) + of))
        facts.append(("a field", f"{seconds_text(sum(took.values()) / len(took))} on average"))
    if journals:
        facts.append(("wall time", seconds_text(sum(one.seconds for one in journals))))
        facts.append(("begun", ", ".join(utc(one.began) for one in journals)))
        for name in sorted({name for one in journals for name, _ in one.troubles}):
            count = sum(count for one in journals for other, count in one.troubles if other == name)
            facts.append(("happened on the way", f"{name}, {count:,} times"))
    return tuple(facts)


def _field_table(states: Mapping[str, str], took: Mapping[str, float]) -> Table:
    words = {"whole": "done", "begun": "begun", "absent": "not there"}
    ordered = sorted(states, key=lambda path: states[path] == "whole")
    rows = tuple(
        (path, words[states[path]], seconds_text(took[path]) if path in took else "") for path in ordered[:ROWS]
    )
    caption = f"{len(states):,} fields" + (f", of which {len(rows):,} are listed" if len(rows) < len(states) else "")
    return Table(caption=caption, headers=("field", "state", "work of its blocks"), rows=rows)


def _provenance(manifest: Manifest, closely: list[tuple[str, Scene]]) -> Section:
    card = card_of(str(manifest.provenance.get("model", "")))
    section = Section(
        key="provenance",
        title="Provenance",
        caption="What it was made from",
        facts=input_facts(manifest, card),
        tables=(hash_table(manifest, plan=None), version_table(manifest)),
        texts=((f"Card of the model {card.name}", card.text),) if card.text else (),
    )
    if not closely:
        return section
    return replace(section, folded=provenance_section(closely[0][1].history).folded)


def _again(plate: Plate, manifest: Manifest) -> Section:
    source = str(manifest.provenance.get("source"))
    given = manifest.identity.get("options")
    asked = changes({**given, "model": _model(manifest)} if isinstance(given, dict) else {}, None)
    by = manifest.identity.get("normalised by")
    line, lines = command(source, plate.url, asked), call(source, plate.url, asked)
    if by == "field":
        line += " --normalise-by field"
        lines = lines.removesuffix(")") + "    normalise_by='field',\n)"
    return Section(
        key="again",
        title="How to make it again",
        words=("Of all fields; --fields chooses some.",),
        codes=(
            ("On the command line", line),
            ("In Python", lines),
            ("Is it still what was written?", f"scalesr verify {plate.url}"),
        ),
    )


def _model(manifest: Manifest) -> str:
    kind, _, name = str(manifest.provenance.get("model", "")).partition(":")
    return name if kind in ("builtin", "file", "factory") else kind
