"""What the blocks of a run add up to: counts of what went wrong, and the figures that were measured on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalesr.engine.flux import Corrected
from scalesr.metrics import Measurement, State
from scalesr.metrics.walk import finalized

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scalesr.engine.events import BlockReport
    from scalesr.engine.riding import Ride


class Tally:
    """Adds up blocks in any order.

    Parameters
    ----------
    ride
        What is measured on the way, if anything.
    """

    def __init__(self, ride: Ride | None) -> None:
        self.blocks = 0
        """Blocks computed by this run."""
        self.bad_chunks: list[str] = []
        """Chunks of the input that could not be decoded."""
        self.clipped = 0
        """Output voxels that were set to the nearest value of the data type."""
        self.not_finite = 0
        """Input voxels that were NaN or infinite."""
        self.masked = 0
        """Input voxels that the mask leaves out."""
        self.corrected = Corrected()
        """What had to be done to conserve the flux."""
        self._ride = ride
        self._states = tuple(State() for _ in ride.survey.statistics) if ride is not None else ()

    def add(self, report: BlockReport) -> None:
        """Count a block."""
        self.blocks += 1
        self.bad_chunks.extend(chunk for chunk in report.bad_chunks if chunk not in self.bad_chunks)
        self.clipped += report.clipped
        self.not_finite += report.not_finite
        self.masked += report.masked
        self.corrected += Corrected(negative=report.negative, flat=report.flat)
        self.measured(report.gathered)

    def measured(self, gathered: Iterable[Mapping[str, Any]]) -> None:
        """Merge what was gathered of a block, by this run or by the one that it resumes."""
        for found in gathered:
            for state, facts in zip(self._states, found["states"], strict=True):
                state.merge(State.from_json(facts).placed(tuple(found["plane"])))

    def measurement(self, *, seconds: float) -> Measurement | None:
        """Return the figures, or None where nothing was measured."""
        if self._ride is None:
            return None
        subjects = self._ride.survey.subjects
        states = dict(zip(self._ride.survey.statistics, self._states, strict=True))
        return Measurement(
            measures=tuple(finalized(self._ride.metrics(), states, subjects.frame)),
            frame=subjects.frame,
            settings=self._ride.settings,
            output=subjects.output.image.url,
            reference=None if subjects.reference is None else subjects.reference.image.url,
            measured=None if subjects.measured is None else subjects.measured.image.url,
            seconds=seconds,
        )
