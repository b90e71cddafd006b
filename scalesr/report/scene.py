"""The images that a report shows: the output of a run, what it was made from, and what stands beside both."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.engine.deviation import NAME as DEVIATION
from scalesr.engine.pairing import match_images
from scalesr.errors import ScalesrError
from scalesr.images import OWN, Location, apart, open_image
from scalesr.images.colours import colour_of
from scalesr.metrics import Settings
from scalesr.report.history import read_history
from scalesr.report.sampling import sample

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from scalesr.engine.pairing import Subjects
    from scalesr.images import Image
    from scalesr.report.history import History
    from scalesr.report.parts import Fact
    from scalesr.report.pictures import Span
    from scalesr.report.sampling import Sample
    from scalesr.tiling import Plan

LOW, HIGH = 0.1, 99.9
"""Percentiles of the output that are shown as black and at full brightness."""
TOGETHER = 4
"""Channels that are shown as one picture in their own colours at most."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The images of one run, with what is known of them before any crop is read."""

    output: Image
    """What the run wrote."""
    history: History
    """What its ledger says."""
    subjects: Subjects
    """Which axes of the output are bands, space and planes."""
    sample: Sample
    """A part of the output that is small enough to be held."""
    source: Image | None
    """What it was made from, from the level that was processed on; `None` where it cannot be opened."""
    reference: Image | None
    """What the output should look like."""
    deviation: Image | None
    """The standard deviations of its voxels."""
    absent: tuple[Fact, ...]
    """Which of these there are none of, and why."""
    _spans: dict[int, Span] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def plan(self) -> Plan:
        """The plan of the run."""
        return self.history.plan

    @property
    def band(self) -> int | None:
        """Axis of the bands."""
        return self.subjects.output.band

    @property
    def space(self) -> tuple[int, ...]:
        """Axes of space: two or three."""
        return self.subjects.output.space

    @property
    def band_names(self) -> tuple[str, ...]:
        """What the image calls its bands."""
        return self.subjects.frame.band_names

    def span(self, band: int) -> Span:
        """Return the intensities that are shown as black and white, of one band: percentiles of the sample."""
        if band not in self._spans:
            self._spans[band] = self._span(band)
        return self._spans[band]

    def _span(self, band: int) -> Span:
        pixels = self.sample.pixels
        if self.band is not None:
            entry = int(np.argmin([abs(place - band) for place in self.sample.picks[self.band]]))
            pixels = np.take(pixels, entry, axis=self.band)
        values = pixels[np.isfinite(pixels)].astype(np.float64)
        if values.size == 0:
            return 0.0, 1.0
        low, high = np.percentile(values, (LOW, HIGH))
        return apart(float(low), float(high), least=float(values.min()), most=float(values.max()))

    def colours(self) -> tuple[str, ...] | None:
        """Return the colours of the bands, where there are few and the image says how to show each."""
        known = [colour for colour in map(colour_of, self.output.channels) if colour is not None]
        if self.band is None or not 1 < self.output.shape[self.band] <= TOGETHER:
            return None
        return tuple(known) if len(known) == self.output.shape[self.band] == len(set(known)) else None


def open_scene(
    output: Image,
    *,
    source: Image | None,
    reference: str | os.PathLike[str] | None,
    storage_options: Mapping[str, Any] | None,
) -> Scene:
    """Return the images of a run whose output is there; what cannot be opened beside it is named.

    Parameters
    ----------
    output
        What the run wrote.
    source
        What it was made from; looked for where the ledger says when not given.
    reference
        What the output should look like; that of the run when not given, if there was one.
    storage_options
        Handed to fsspec for the reference, and for an input that is looked for.

    Raises
    ------
    ScalesrError
        The output has no ledger or cannot be read, or a reference that was named does not fit it.
    """
    history = read_history(output.url, output.storage_options)
    given: dict[str, Any] = {"measured": None, "mask": None, "axes": None, "position": "check", "settings": Settings()}
    absent: list[Fact] = []
    beside: dict[str, Image | None] = {"source": source}
    place = str(history.manifest.provenance.get("source"))
    if source is None:
        try:
            beside["source"] = open_image(place, storage_options=storage_options)
        except (ScalesrError, OSError, ValueError) as error:
            absent.append(("input", f"it cannot be opened: {error}"))
    beside["source"] = _checked(beside["source"], history, absent)
    noted = history.options.get("reference")
    found: Image | None = None
    if reference is not None:
        found = open_image(reference, storage_options=storage_options)
        match_images(output, reference=found, **given)
    elif isinstance(noted, str):
        try:
            found = open_image(noted, storage_options=storage_options)
            match_images(output, reference=found, **given)
        except (ScalesrError, OSError, ValueError) as error:
            absent.append(("reference of the run", str(error)))
            found = None
    return Scene(
        output=output,
        history=history,
        subjects=match_images(output, reference=None, **given),
        sample=sample(output),
        source=beside["source"],
        reference=found,
        deviation=_deviation(output, absent),
        absent=tuple(absent),
    )


def _checked(source: Image | None, history: History, absent: list[Fact]) -> Image | None:
    """Return an input from the level that was processed on, if it still is what the run saw."""
    if source is None:
        return None
    level, lattice = history.level, history.plan.lattice
    if level >= len(source.levels) or source.levels[level].shape != lattice.shape:
        absent.append(("input", f"{source.url} is another image now than when the run was made"))
        return None
    try:
        same = source.fingerprint() == history.manifest.identity.get("input")
    except ScalesrError as error:
        absent.append(("input", str(error)))
        return None
    if not same:
        absent.append(("input", f"the metadata of {source.url} have changed since the run; it is shown all the same"))
    return replace(source, levels=source.levels[level:])


def _deviation(output: Image, absent: list[Fact]) -> Image | None:
    own = output.metadata.get(OWN)
    name = own.get("deviation") if isinstance(own, dict) else None
    if not isinstance(name, str):
        return None
    place = (Location(output.url, output.storage_options) / DEVIATION).url if name == DEVIATION else name
    try:
        return open_image(place, storage_options=output.storage_options if name == DEVIATION else None)
    except (ScalesrError, OSError, ValueError) as error:
        absent.append(("standard deviations", str(error)))
        return None
