"""One normalisation for all fields of a plate: intensities stay comparable between wells."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING

from scalesr.engine.events import StageAdvanced, StageStarted
from scalesr.engine.figures import (
    HIGH,
    LOW,
    STAGE,
    band_groups,
    chosen,
    count_bands,
    level_of_figures,
    normalisation_of,
    of_spans,
)
from scalesr.engine.masks import find_mask
from scalesr.engine.planes import missing_planes
from scalesr.engine.preparing import subject_of
from scalesr.errors import ScalesrError, StorageError
from scalesr.images import StatisticsAccumulator

if TYPE_CHECKING:
    from scalesr.engine.events import Callback, Event
    from scalesr.engine.normalisation import Normalisation
    from scalesr.engine.options import Options
    from scalesr.engine.plates.kind import Kind
    from scalesr.engine.preparing import Prepared
    from scalesr.images import Image, Plate

READERS = 4
"""Fields that are read at the same time: enough to decode while another one waits for storage."""


def plate_normalisation(
    plate: Plate, prepared: Prepared, options: Options, kind: Kind, *, tell: Callback
) -> tuple[Normalisation, dict[str, str]]:
    """Return the normalisation of all fields of a plate, and the fields that do not count in it, with the reason.

    Percentiles are those of the pixels of the whole plate, whichever fields are run, so that a run of some wells has
    the same bytes as a run of all. Counts are merged, which no order shows in. It costs one more reading of the plate,
    or of the levels that say enough of large fields; nothing where the figures are those of no image: the range of the
    data type, or given values.

    Raises
    ------
    StorageError
        No field can be read.
    """
    how = options.normalise if prepared.plan.components is None else "percentile"
    plan, spec, found = prepared.plan, prepared.spec, prepared.mixing
    first = plate.open_field(kind.field)
    if chosen(first.dtype, spec, how=how, out_dtype=plan.out_dtype) != "percentile":
        return (
            normalisation_of(
                first,
                spec,
                found,
                level=options.level,
                how=how,
                out_dtype=plan.out_dtype,
                mask=None,
                gaps=(),
                tell=tell,
            ),
            {},
        )
    groups = band_groups(first, found.channel, level=options.level)
    tell(StageStarted(name=STAGE, total=len(plate.fields) * len(groups)))
    left: dict[str, str] = {}
    one_at_a_time = Lock()
    spans: list[tuple[float, float]] = []
    levels: set[int] = set()

    for bands in groups:
        whole = [StatisticsAccumulator(first.levels[options.level].dtype) for _ in range(bands.start, bands.stop)]

        def count(path: str, bands: slice = bands, whole: list[StatisticsAccumulator] = whole) -> str | None:
            """Count a field, and return why it cannot be; what was read of it until then does not count."""
            try:
                image = plate.open_field(path)
                kind.check(path, image)
                level, own = _counted(image, bands, prepared, options)
            except ScalesrError as error:
                return error.problem
            with one_at_a_time:
                levels.add(level)
                for figures, some in zip(whole, own, strict=True):
                    figures.merge(some)
            return None

        fields = [path for path in plate.fields if path not in left]
        with ThreadPoolExecutor(READERS) as pool:
            try:
                for path, reason in zip(fields, pool.map(count, fields), strict=True):
                    tell(StageAdvanced(name=STAGE))
                    if reason is not None:
                        left[path] = reason
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        spans += [figures.finalize().span(LOW, HIGH) for figures in whole]
    if len(left) == len(plate.fields):
        path, reason = next(iter(left.items()))
        raise StorageError(
            f"No field of the plate {plate.url} can be read; {path}: {reason}", remedy="Copy the plate again."
        )
    counted = len(plate.fields) - len(left)
    named = " and ".join(map(str, sorted(levels)))
    origin = f"percentiles {LOW} and {HIGH} of level {named} of {counted} fields of the plate"
    return of_spans(spans, spec.percentiles, axis=found.channel, origin=origin), left


def _counted(
    image: Image, bands: slice, prepared: Prepared, options: Options
) -> tuple[int, list[StatisticsAccumulator]]:
    """Return the level that the figures of a field are taken of, and those of some of its bands."""
    mask = find_mask(image, level=options.level, how=options.mask, tell=_unheard)
    gaps = missing_planes(subject_of(image, level=options.level), prepared.spec, options)
    found = prepared.mixing
    level = level_of_figures(image, level=options.level, channel=found.channel, apart=mask is not None or bool(gaps))
    own = [StatisticsAccumulator(image.levels[level].dtype) for _ in range(bands.start, bands.stop)]
    for _ in count_bands(image, own, bands, found=found, level=level, mask=mask, gaps=gaps):
        pass
    return level, own


def _unheard(_: Event) -> None:
    """Let what happens within a field pass: the stage is counted in fields."""
