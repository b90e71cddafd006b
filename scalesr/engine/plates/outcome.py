"""What came of a plate: of each field, and of all together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from scalesr.engine.events import Event
from scalesr.engine.telling import plate_lines
from scalesr.images.showing import Section, Sheet, Shown
from scalesr.metrics import Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalesr.engine.normalisation import Normalisation
    from scalesr.engine.running import Result
    from scalesr.errors import ScalesrError
    from scalesr.images import Plate
    from scalesr.images.stores import Traffic

_SHOWN = 5
FieldState = Literal["done", "there", "failed"]
"""``done`` by this run; ``there``, whole, from an earlier one; ``failed``, for a reason that is given."""


@dataclass(frozen=True, kw_only=True)
class FieldOutcome:
    """What came of one field."""

    field: str
    """Its path below the plate, or that of a well which the plate lists and which cannot be used."""
    state: FieldState
    """How it ended."""
    error: str = ""
    """Why it failed."""
    remedy: str = ""
    """What to do about it."""
    seconds: float = 0.0
    """Wall time; other fields may have been at work beside it."""
    blocks: int = 0
    """Blocks computed by this run; of a field that an earlier one began, the rest was there."""
    bad_chunks: tuple[str, ...] = ()
    """Chunks of the input that could not be decoded and were filled."""
    clipped: int = 0
    """Output voxels that were set to the nearest value of the data type."""
    not_finite: int = 0
    """Input voxels that were NaN or infinite."""
    masked: int = 0
    """Input voxels that the mask leaves out."""
    measurement: Measurement | None = dataclasses.field(default=None, repr=False)
    """What was measured on the way."""

    @classmethod
    def of_result(cls, path: str, result: Result) -> FieldOutcome:
        """Return the outcome of a field that was run."""
        return cls(
            field=path,
            state="done",
            seconds=result.seconds,
            blocks=result.blocks,
            bad_chunks=result.bad_chunks,
            clipped=result.clipped,
            not_finite=result.not_finite,
            masked=result.masked,
            measurement=result.measurement,
        )

    @classmethod
    def of_error(cls, path: str, error: Exception) -> FieldOutcome:
        """Return the outcome of a field that could not be run."""
        problem = getattr(error, "problem", None)
        if problem is None:
            words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return cls(field=path, state="failed", error=words, remedy="Try it again with --resume.")
        known: ScalesrError = error  # type: ignore[assignment] # the only ones with a problem
        return cls(field=path, state="failed", error=known.problem, remedy=known.remedy)

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold of it, without what was measured."""
        facts = {"field": self.field, "state": self.state}
        if self.state == "failed":
            return facts | {"error": self.error, "remedy": self.remedy}
        if self.state == "there":
            return facts
        return facts | {
            "seconds": self.seconds,
            "blocks": self.blocks,
            "bad_chunks": self.bad_chunks,
            "clipped": self.clipped,
            "not_finite": self.not_finite,
            "masked": self.masked,
        }


@dataclass(frozen=True, kw_only=True, repr=False)
class PlateResult(Shown):
    """What a run of a plate left behind. It shows itself as lines, in a notebook with the figures."""

    plate: Plate
    """The output. It lists all fields that were asked for, by this run and those that it resumes; those that failed are
    not there."""
    outcomes: tuple[FieldOutcome, ...]
    """One for each field that was asked for, in the order of the plate; wells that cannot be used at the end."""
    normalisation: Normalisation | None
    """How intensities of all fields were normalised; ``None`` where each has its own."""
    left_out: Mapping[str, str]
    """Fields whose pixels do not count in the normalisation, as they could not be read, and why."""
    seconds: float
    """Wall time."""
    traffic: Traffic
    """Requests to stores that are not local."""

    def _repr_html_(self) -> str:
        figures = self.measurement
        return self._sheet().html() + ("" if figures is None else figures._repr_html_())

    def _sheet(self) -> Sheet:
        failed = [(one.field, f"{one.error} {one.remedy}") for one in self.failed[:_SHOWN]]
        if len(self.failed) > _SHOWN:
            failed.append(("...", f"and {len(self.failed) - _SHOWN:,} more"))
        sections = (Section(rows=plate_lines(self)), Section(title="What failed", rows=failed))
        return Sheet(title=f"Run of the plate {self.plate.name}", sections=sections)

    def of(self, state: FieldState) -> tuple[FieldOutcome, ...]:
        """Return the fields that ended in one way."""
        return tuple(outcome for outcome in self.outcomes if outcome.state == state)

    @property
    def failed(self) -> tuple[FieldOutcome, ...]:
        """The fields that failed; empty where all is well."""
        return self.of("failed")

    @property
    def bad_chunks(self) -> tuple[str, ...]:
        """Chunks of the input that could not be decoded and were filled, after the path of their field."""
        return tuple(f"{outcome.field}/{chunk}" for outcome in self.outcomes for chunk in outcome.bad_chunks)

    @property
    def measurement(self) -> Measurement | None:
        """The figures of the fields that this run did, each said of its field; `None` where nothing was measured.

        Those of earlier ones lie in the ledger of each field.
        """
        found = {o.field: o.measurement for o in self.outcomes if o.measurement is not None}
        if not found:
            return None
        return Measurement.of_fields(found, output=self.plate.url)


@dataclass(frozen=True, kw_only=True)
class FieldEnded(Event):
    """A field of a plate is done, or failed."""

    outcome: FieldOutcome
    """What came of it."""
    ended: int
    """Fields that ended so far."""
    total: int
    """Fields that this run must do."""


@dataclass(frozen=True, kw_only=True)
class FieldTold(Event):
    """Something out of the ordinary happened within a field: a `Trouble`."""

    field: str
    """Path of the field below the plate."""
    what: str
    """Name of the event."""
    event: Event
    """The event."""
