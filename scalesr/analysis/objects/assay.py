"""What is measured of each object of a field, in one value, and the measuring of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from scalesr.analysis.objects.sites import by_name
from scalesr.analysis.objects.spots import count_spots
from scalesr.analysis.objects.statistics import measure_objects
from scalesr.analysis.objects.translocation import translocation
from scalesr.analysis.objects.whole import features_of_crops

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scalesr.analysis.cube import Source
    from scalesr.analysis.objects.field import Field
    from scalesr.analysis.tables.object_table import ObjectTable
    from scalesr.engine import Callback


@dataclass(frozen=True, kw_only=True)
class Assay:
    """What is measured of each object: `measure_objects` always, and more where it is asked for."""

    channels: tuple[int | str, ...] | None = None
    """Channels whose intensities are measured; all when `None`, none but shapes when empty."""
    translocation: int | str | None = None
    """Channel of a protein that moves between nucleus and cytoplasm; see `translocation`."""
    ring: float = 8.0
    """Pixels that nuclei grow by for it."""
    offset: float = 0.0
    """What the camera shows without light, taken off for it."""
    spots: int | str | None = None
    """Channel with spots; see `count_spots`."""
    sigma: float = 0.0
    """Smoothing before spots are counted."""
    tolerance: float | None = None
    """By how much a spot's maximum must stand out."""
    threshold: float | None = None
    """Above which pixels are particles."""
    smallest: int = 1
    """Pixels of a particle."""
    whole: tuple[str, ...] = ()
    """Features of whole objects; see `features_of_crops`."""

    def of(self, first: Field) -> Assay:
        """Return the same with channels by the names that they have in a field."""

        def named(channel: int | str | None) -> str | None:
            return None if channel is None else by_name([channel], first)[0]

        return replace(
            self,
            channels=None if self.channels is None else by_name(self.channels, first),
            translocation=named(self.translocation),
            spots=named(self.spots),
        )

    def measure(
        self,
        labels: Source,
        image: Source,
        *,
        callbacks: Sequence[Callback] = (),
        storage_options: Mapping[str, Any] | None = None,
    ) -> ObjectTable:
        """Return the figures of all objects of a field, one row each, from one pass for each kind of figure.

        Raises
        ------
        InputError
            The images do not fit, lack a channel, or hold no object.
        PlanError
            scikit-image is not installed, and features of whole objects were asked for.
        """
        common: dict[str, Any] = {"callbacks": callbacks, "storage_options": storage_options}
        some = image if self.channels is None or self.channels else None
        table = measure_objects(labels, some, channels=self.channels or None, **common)
        if self.translocation is not None:
            found = translocation(
                labels, image, channel=self.translocation, ring=self.ring, offset=self.offset, **common
            )
            table = table.joined(found).noted(
                f"translocation of channel {self.translocation}: nuclei grown by {self.ring:g} pixels, "
                f"{self.offset:g} taken off"
            )
        if self.spots is not None:
            found = count_spots(
                labels, image, channel=self.spots, sigma=self.sigma, tolerance=self.tolerance,
                threshold=self.threshold, smallest=self.smallest, **common,
            )  # fmt: skip
            facts = {
                "tolerance": self.tolerance,
                "threshold": self.threshold,
                "smoothed by pixels:": self.sigma or None,
                "pixels of a particle from": None if self.threshold is None else self.smallest,
            }
            said = ", ".join(f"{name} {value:g}" for name, value in facts.items() if value is not None)
            table = table.joined(found).noted(f"spots of channel {self.spots}: {said}")
        if self.whole:
            table = table.joined(features_of_crops(labels, features=self.whole, **common))
        return table
