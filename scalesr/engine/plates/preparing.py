"""Everything that is settled of a plate before a run writes its first byte."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Literal

import psutil
import torch

from scalesr.engine.executors import LOCAL
from scalesr.engine.flights import in_flight
from scalesr.engine.ledger import Manifest, device_class, versions
from scalesr.engine.memory import demand
from scalesr.engine.plates.kind import Kind, first_of
from scalesr.engine.preparing import Prepared, check_memory, prepare, spread, subject_of
from scalesr.engine.telling import plate_plan_lines
from scalesr.errors import InputError, PlanError
from scalesr.images import Location, Plate, is_plate, open_plate
from scalesr.images.showing import Section, Sheet, Shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scalesr.engine.events import Callback
    from scalesr.engine.normalisation import Normalisation
    from scalesr.engine.options import Options

NormaliseBy = Literal["plate", "field"]
"""Whether intensities are normalised by figures of the whole plate, or of each field."""
MOST = 64
"""Fields at the same time, on however large a cluster."""
NOT_IN_THE_BYTES = ("mode", "scheduler", "workers", "memory", "device", "model", "trust", "job")
"""Options that a resumed run may change; of the model and the device, what they are is noted instead."""


@dataclass(frozen=True, kw_only=True, repr=False)
class PreparedPlate(Shown):
    """A plate, a model and options, brought together. It shows itself as what the run would do and need."""

    plate: Plate
    """The input."""
    fields: tuple[str, ...]
    """Paths of the fields to run."""
    missing: Mapping[str, str]
    """Wells that were asked for too and cannot be used, with the reason."""
    kind: Kind
    """What all fields must be like: the first one."""
    prepared: Prepared
    """Plan and memory of the first field, with as many others beside it."""
    side_by_side: int
    """Fields at the same time."""
    options: Options
    """What each field is run with."""

    @property
    def blocks(self) -> int:
        """Blocks of all fields, were all as large as the first."""
        return self.prepared.plan.blocks * len(self.fields)

    def _sheet(self) -> Sheet:
        return Sheet(
            title=f"Plan of a run by {self.prepared.spec.name}: each field, such as {self.kind.field}",
            sections=(Section(title="Which fields", rows=plate_plan_lines(self)), *self.prepared.sections()),
        )

    def for_field(self, path: str) -> Options:
        """Return the options of one field: a reference that is a plate is its field of the same path."""
        reference = self.options.reference
        if reference is None:
            return self.options
        return replace(self.options, reference=(Location.parse(reference) / path).url)

    def beside(self, slots: int) -> int:
        """Return how many fields go side by side where an executor elsewhere has so many slots."""
        if self.options.scheduler in LOCAL:
            return self.side_by_side
        return min(len(self.fields), ceil(in_flight(slots) / self.prepared.plan.blocks) + 1, MOST)

    def manifest(
        self, normalisation: Normalisation | None, left_out: Mapping[str, str], *, normalise_by: NormaliseBy
    ) -> Manifest:
        """Return what must be equal for a run of this plate to be resumed, and what else its reader shall know."""
        given = {key: value for key, value in asdict(self.options).items() if key not in NOT_IN_THE_BYTES}
        source = self.prepared.ref.source
        identity = {
            # The interpolations share one source and one hash; where a file of weights lies is of no matter.
            "model": [source if source.startswith("builtin:") else "", self.prepared.ref.sha256],
            "model options": self.prepared.ref.options,
            "options": given,
            "normalised by": normalise_by,
            "normalisation": None if normalisation is None else normalisation.to_json(),
            "device class": device_class(self.prepared.device),
            "torch": torch.__version__,
        }
        return Manifest(
            identity=json.loads(json.dumps(identity, default=str)),
            provenance={
                "source": self.plate.url,
                "model": source,
                "left out of the normalisation": dict(left_out),
                "job": self.options.job,
                **versions(),
            },
        )


def prepare_plate(
    plate: Plate, options: Options, *, fields: Sequence[str] = (), tell: Callback = lambda _: None
) -> PreparedPlate:
    """Settle the fields, the model, the plan of a field, and how many fields go side by side.

    Memory is settled here once for all: where the fields that would keep all workers busy need more of it than is
    allowed, fewer of them go side by side.

    Parameters
    ----------
    plate
        The input.
    options
        What the caller asks for.
    fields
        Patterns of the fields to run; all when there are none.
    tell
        Called with each event.

    Raises
    ------
    InputError, ModelError, PlanError
        They do not fit each other; nothing was written.
    """
    chosen = plate.select(*fields)
    _check(plate, chosen, options)
    kind, image = first_of(plate)
    options = replace(options, memory=options.memory or int(0.9 * psutil.virtual_memory().available))
    prepared = prepare(subject_of(image, level=options.level), options, tell=tell)
    side_by_side, prepared = _side_by_side(prepared, options, len(chosen))
    # What was measured for the first field serves all.
    options = replace(options, mode="resume", calibrate="once" if options.calibrate == "again" else options.calibrate)
    return PreparedPlate(
        plate=plate,
        fields=chosen,
        missing=plate.unusable(*fields),
        kind=kind,
        prepared=prepared,
        side_by_side=side_by_side,
        options=options,
    )


def _check(plate: Plate, chosen: Sequence[str], options: Options) -> None:
    if options.deviation not in ("beside", "none"):
        raise PlanError(
            f"The standard deviations of {len(chosen):,} fields cannot all go to {options.deviation}.",
            remedy="Use --deviation beside, or none.",
        )
    if options.reference is None:
        return
    if not is_plate(options.reference):
        raise InputError(
            f"{plate.url} is a plate, and its reference {options.reference} is not.",
            remedy="Give a plate with the same fields to --reference.",
        )
    there = set(open_plate(options.reference).fields)
    lost = [path for path in chosen if path not in there]
    if lost:
        raise InputError(
            f"The reference {options.reference} lacks {len(lost):,} fields, such as {lost[0]}.",
            remedy="Give a plate with the same fields to --reference, or choose with --fields.",
        )


def _side_by_side(first: Prepared, options: Options, fields: int) -> tuple[int, Prepared]:
    """Return how many fields go side by side, and their demand.

    As many as keep all workers busy, and one more, which is being opened or published meanwhile.
    """
    whole = spread(first.plan, options, first.device, images=fields)
    each = min(first.plan.blocks, whole.in_flight)
    most = 1 if options.scheduler == "serial" else min(fields, ceil(whole.in_flight / each) + 1, MOST)
    for count in range(most, 0, -1):
        workers = replace(whole, slots=min(whole.slots, count * each), in_flight=count * each)
        device: Literal["cpu", "cuda"] = "cuda" if first.device.startswith("cuda") else "cpu"
        tried = replace(first, workers=workers, demand=demand(first.plan, first.spec, workers=workers, device=device))
        try:
            check_memory(tried, options)
        except PlanError:
            if count == 1:
                raise
            continue
        return count, tried
    raise AssertionError("one field is always tried")
