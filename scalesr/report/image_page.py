"""The report of one image: what was done, how it looks, how far to trust it, what it took, and how to do it again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scalesr.engine.pairing import match_images
from scalesr.errors import ScalesrError
from scalesr.metrics import Settings
from scalesr.report.again import call, changes, command
from scalesr.report.comparing import comparison, model_name, overview_picture, shown_bands
from scalesr.report.crops import read_crop
from scalesr.report.figures import crop_figures, table_of
from scalesr.report.intensities import intensity_plots
from scalesr.report.parts import Table
from scalesr.report.places import WHOLE, overviews, places
from scalesr.report.provenance import card_of, hash_table, input_facts, option_table, version_table
from scalesr.report.rendering import Page, Section
from scalesr.report.sampling import sample
from scalesr.report.seams import find_seams, seam_plot
from scalesr.report.timings import run_facts, run_plots, seconds_text
from scalesr.tiling import human_bytes

if TYPE_CHECKING:
    from scalesr.report.crops import Crop
    from scalesr.report.figures import Found
    from scalesr.report.history import History
    from scalesr.report.parts import Fact, Plot
    from scalesr.report.places import Overview
    from scalesr.report.scene import Scene

PLACES = 3
"""Places of an image that are looked at closely."""
SAME = "All pictures of a place have the same intensities."
CHOICE = (
    "Where to look is our own choice, made on a coarse overview of the output: the place with most structure, the "
    "next, and the one that stands in the middle. " + SAME
)
TRUST = (
    "Super-resolution can invent. What the output adds to the interpolation beside it was not measured: it is what the "
    "model holds to be likely. Nothing that needs no reference proves it."
)


def image_page(scene: Scene) -> Page:
    """Return the report of an image.

    Raises
    ------
    StorageError
        A chunk of the output cannot be read.
    """
    seen = overviews(scene)
    crops, absent = read_places(scene, seen, most=PLACES)
    found = crop_figures(scene, crops)
    absent += found.absent
    sections = [
        _compare(scene, seen, crops),
        _figures(scene, found),
        _seams(scene, seen, absent),
        _intensities(scene, absent),
        run_section(scene.history),
        provenance_section(scene.history),
        _again(scene),
        left_out((*scene.absent, *absent)),
    ]
    return Page(
        title=scene.output.name or "Output of a run",
        lead=lead(scene, source=str(scene.history.manifest.provenance.get("source"))),
        tiles=_tiles(scene),
        sections=tuple(section for section in sections if section is not None),
    )


def read_places(scene: Scene, seen: tuple[Overview, ...], *, most: int) -> tuple[list[Crop], list[Fact]]:
    """Return the places that are shown with their pixels, and what could not be read of them."""
    reference = None
    if scene.reference is not None:
        reference = match_images(
            scene.output,
            reference=scene.reference,
            measured=None,
            mask=None,
            axes=None,
            settings=Settings(),
            position="check",
        )
    crops = [read_crop(scene, place, reference=reference) for place in places(scene, seen, most=most)]
    return crops, list(dict.fromkeys(fact for crop in crops for fact in crop.absent))


def lead(scene: Scene, *, source: str) -> str:
    """Return one sentence on what was done to an input of some address."""
    axes = scene.plan.lattice.axes
    enlarged = [(axis.name, axis.scale) for axis in axes if axis.scale != 1]
    how = "restored at the same size"
    if enlarged:
        factors = {scale for _, scale in enlarged}
        names = ", ".join(name for name, _ in enlarged)
        times = str(factors.pop()) if len(factors) == 1 else " x ".join(str(scale) for _, scale in enlarged)
        how = f"made {times} times finer along {names}"
    return f"{source}, {how} by {model_name(scene)}."


def run_section(history: History) -> Section:
    """Return what a run took."""
    words = "What blocks took is from their records in the output"
    words += ", when they ended and the memory from notes of the process that ran." if history.journals else (
        "; when they ended and how much memory was used was not noted."
    )  # fmt: skip
    return Section(
        key="run",
        title="Time and memory",
        words=(words,),
        caption="The run",
        facts=run_facts(history),
        plots=run_plots(history),
    )


def provenance_section(history: History) -> Section:
    """Return what an output was made from and with."""
    card = card_of(str(history.manifest.provenance.get("model", "")))
    options = dict(history.options)
    return Section(
        key="provenance",
        title="Provenance",
        caption="What it was made from",
        facts=input_facts(history.manifest, card),
        tables=(hash_table(history.manifest, plan=history.plan.digest), version_table(history.manifest)),
        folded=(
            *((option_table(options),) if options else ()),
            Table(
                caption="The plan",
                headers=("what", "how much"),
                rows=tuple(_split(line) for line in history.plan.describe().splitlines() if line.strip()),
            ),
        ),
        texts=((f"Card of the model {card.name}", card.text),) if card.text else (),
    )


def left_out(absent: tuple[Fact, ...]) -> Section | None:
    """Return what a report has no place for, by name and reason."""
    if not absent:
        return None
    return Section(
        key="left-out",
        title="Left out",
        words=("What this report would show if it could:",),
        caption="Left out",
        facts=tuple(dict.fromkeys(absent)),
    )


def _compare(scene: Scene, seen: tuple[Overview, ...], crops: list[Crop]) -> Section:
    shown = "; ".join(f"{name} {words}".strip() for name, words in shown_bands(scene, seen[0].bands))
    warnings = []
    if scene.plan.missing_planes:
        planes = ", ".join(map(str, scene.plan.missing_planes[:20]))
        warnings.append(
            f"Planes {planes} of the input were not measured: the model made them up. Interpolations see them as they "
            "are stored."
        )
    enlarged = any(axis.scale != 1 for axis in scene.plan.lattice.axes)
    words = [CHOICE if any(crop.place.title != WHOLE for crop in crops) else SAME, f"Intensities: {shown}."]
    if not enlarged:
        words.append("The run did not enlarge, so the input stands where interpolations would.")
    return Section(
        key="compare",
        title="Before and after",
        words=tuple(words),
        warnings=tuple(warnings),
        comparisons=tuple(comparison(scene, crop, number=n) for n, crop in enumerate(crops, start=1)),
        pictures=tuple(
            overview_picture(scene, overview, crops)
            for overview in seen
            if not any(crop.place.axes == overview.axes and crop.place.title == WHOLE for crop in crops)
        ),
    )


def _figures(scene: Scene, found: Found) -> Section:
    history = scene.history
    whole: tuple[Table, ...] = ()
    if history.measures:
        whole = (
            table_of(
                history.measures,
                caption="Of the whole image, measured while it was made",
                notes=history.measured_notes,
            ),
        )
    words = [TRUST]
    if found.tables:
        words.append("Figures of the places that are shown say nothing of the rest of the image.")
    if not history.measures:
        words.append('The run measured nothing of the whole image; "scalesr measure" does, at any time.')
    return Section(
        key="figures",
        title="Figures and their controls",
        words=tuple(words),
        tables=(*whole, *found.tables),
        folded=found.rest,
    )


def _seams(scene: Scene, seen: tuple[Overview, ...], absent: list[Fact]) -> Section | None:
    plots: list[Plot] = []
    for number, overview in enumerate(seen):
        try:
            found = find_seams(scene, overview)
        except ScalesrError as error:
            absent.append(("seams", error.problem))
            continue
        if found is not None:
            plots.append(seam_plot(scene, found, key=f"seams-{number}"))
    if not plots:
        absent.append(("seams", "no tile or block of the output has a border inside the sections that are shown"))
        return None
    cells = ", ".join(
        f"{axis.name} {axis.out_cell:,}" for axis in scene.plan.lattice.axes if axis.cells > 1 and axis.out_cell > 1
    )
    blended = any(axis.out_ramp for axis in scene.plan.lattice.axes)
    return Section(
        key="seams",
        title="Seams",
        words=(
            f"Tiles answer for {cells} pixels of the output each; thick lines are borders between blocks. A score of 1 "
            "says that steps across a border are as large as those beside it."
            + (" Tiles fade into each other here, and their seams would be wide and score less." if blended else ""),
        ),
        plots=tuple(plots),
    )


def _intensities(scene: Scene, absent: list[Fact]) -> Section:
    source = None
    if scene.source is not None:
        try:
            source = sample(scene.source)
        except ScalesrError as error:
            absent.append(("intensities of the input", error.problem))
    return Section(
        key="intensities",
        title="Intensities",
        words=("A part of the image that is small enough to be held: least and most of a coarse level are those of "
               "means, and lie nearer together than those of the pixels.",)
        if scene.sample.level
        else (),
        plots=intensity_plots(scene, source),
    )  # fmt: skip


def _again(scene: Scene) -> Section:
    history = scene.history
    source = str(history.manifest.provenance.get("source"))
    asked = changes(history.options, history.plan)
    torch = str(history.manifest.identity.get("torch"))
    pins = f"scalesr=={history.manifest.provenance.get('scalesr')} torch=={torch.partition('+')[0]}"
    typed = tuple(dict.fromkeys(filter(None, (one.command for one in history.journals))))
    words: tuple[str, ...] = (
        "The same input, options, weights, version of torch and class of device give the same bytes, whatever the "
        f"blocks, workers and crashes: {pins} on {history.manifest.identity.get('device class')}.",
    )
    if not history.options:
        words += ("The run was made by an earlier version, which did not note its options.",)
    return Section(
        key="again",
        title="How to make it again",
        words=words,
        codes=(
            *((("As it was typed", "\n".join(typed)),) if typed else ()),
            ("On the command line", command(source, scene.output.url, asked)),
            ("In Python", call(source, scene.output.url, asked)),
            ("Is it still what was written?", f"scalesr verify {scene.output.url}"),
        ),
    )


def _tiles(scene: Scene) -> tuple[Fact, ...]:
    history, lattice = scene.history, scene.plan.lattice
    fine, coarse = (" x ".join(f"{size:,}" for size in shape) for shape in (lattice.out_shape, lattice.shape))
    names = ", ".join(axis.name for axis in lattice.axes)
    facts = [
        (f"input ({names})", coarse),
        (f"output ({names})", fine),
        ("model", model_name(scene)),
        ("size", human_bytes(scene.output.nbytes) + f", {scene.plan.out_dtype}"),
        ("tiles", f"{scene.plan.tiles:,} in {scene.plan.blocks:,} blocks"),
    ]
    if history.journals:
        facts.append(("wall time", seconds_text(sum(one.seconds for one in history.journals))))
        peak = max(one.own_peak for one in history.journals)
        if peak:
            facts.append(("peak memory of the run", human_bytes(peak)))
    else:
        facts.append(("work of the blocks", seconds_text(sum(history.records.stages.values()))))
    return tuple(facts)


def _split(line: str) -> tuple[str, str]:
    name, _, rest = line.strip().partition("  ")
    return name, rest.strip()


def compact(scene: Scene, *, title: str, number: int) -> tuple[Section, list[Fact]]:
    """Return one place of a field of a plate, with what could not be read."""
    seen = overviews(scene)[:1]
    crops, absent = read_places(scene, seen, most=1)
    shown = "; ".join(f"{name} {words}".strip() for name, words in shown_bands(scene, seen[0].bands))
    own = tuple(replace(comparison(scene, crop, number=number), title=title) for crop in crops)
    section = Section(
        key="fields",
        title="Fields",
        words=(f"Intensities of {title[0].lower()}{title[1:]}: {shown}.",),
        comparisons=own,
    )
    return section, [*scene.absent, *absent]
