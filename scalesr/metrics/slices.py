"""Distances between the slices of a volume along three planes and slices that were really taken (SliceFID)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from scalesr.errors import InputError
from scalesr.metrics.cutting import Cut
from scalesr.metrics.feature_sums import FeatureSums
from scalesr.metrics.frechet import frechet_measure
from scalesr.metrics.kernel import kernel_measures

if TYPE_CHECKING:
    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.measure import Measure
    from scalesr.metrics.state import State

PLANES: dict[str, tuple[int, int]] = {"xy": (1, 2), "xz": (0, 2), "yz": (0, 1)}
"""Axes of z, y, x along the rows and columns of each plane."""
RELEASED_FIELD = (48, 40)
"""Pixels along real images and along slices of volumes in the released code, both resized to the same size."""


@dataclass(frozen=True, kw_only=True)
class SliceDistances:
    """Frechet and kernel distances of the slices of a volume, for each plane, to the XY slices of the reference.

    The XY planes of the reference are the real distribution for all three planes, as in MSDSR (arXiv 2404.09425): the
    claim that is tested is that a restored volume looks from every side as a microscope would have seen it. Where the
    specimen itself looks different from the side, a perfect restoration has a distance, too.

    Two modes, by name. ``slice_fid`` compares patches of the same size on the global scale of intensities.
    ``slice_fid_released`` follows the released code: every patch, the block of the code, has the histogram of each
    channel equalised, so any change of brightness or contrast, and nearly any monotone one, goes unseen; and real
    patches are 48/40 as large as those of the volume, which the extractor is left to resize, so even equal volumes have
    a distance. The code's blocks are patches of 40 pixels; its names of the planes 'xz' and 'yz' are exchanged, and
    here are not.
    """

    name: str
    statistic: FeatureSums

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return the mean Frechet distance of the planes, then both distances of each plane."""
        found: list[Measure] = []
        for plane in PLANES:
            cuts = {"output": f"output {plane}", "real": "reference xy"}
            kinds = [f"{distance} distance, {plane}, {self.statistic.label}" for distance in ("Frechet", "kernel")]
            measures = [
                frechet_measure(self.statistic, state, metric=self.name, kind=kinds[0], **cuts),
                *kernel_measures(self.statistic, state, metric=self.name, kind=kinds[1], **cuts),
            ]
            found += [self._explained(measure, frame) for measure in measures]
        return [self._mean([m for m in found if m.kind.startswith("Frechet")]), *found]

    def _mean(self, measures: list[Measure]) -> Measure:
        values = [measure.value for measure in measures if measure.value is not None]
        whole = len(values) == len(measures)
        missing = "" if whole else "not defined, since it is not for every plane; "
        return replace(
            measures[0],
            kind=f"Frechet distance, mean of planes, {self.statistic.label}",
            value=sum(values) / len(values) if whole else None,
            n=min(measure.n for measure in measures),
            left_out={reason: n for measure in measures for reason, n in measure.left_out.items()},
            note=missing + "; ".join(dict.fromkeys(part for measure in measures for part in measure.note.split("; "))),
        )

    def _explained(self, measure: Measure, frame: Frame) -> Measure:
        notes = [measure.note] if measure.note else []
        if not measure.kind.startswith("standard error"):
            notes.append("real are the xy planes of the reference")
            if self.statistic.scale is None:
                notes.append(
                    "patches equalised, so blind to brightness, contrast and monotone changes of intensity; "
                    "real patches 48/40 as large, as released"
                )
            if len(set(frame.pixel_size)) > 1:
                notes.append("pixels are not cubes, so planes differ in magnification")
        return replace(measure, note="; ".join(notes))


def make_slice_fid(frame: Frame, settings: Settings) -> SliceDistances:
    """Return the distances on the same field of view and the global scale of intensities."""
    return _made(frame, settings, name="slice_fid", look="plain", real_edge=settings.patch)


def make_slice_fid_released(frame: Frame, settings: Settings) -> SliceDistances:
    """Return the distances as the released code has them."""
    larger, smaller = RELEASED_FIELD
    real_edge = settings.patch * larger // smaller
    return _made(frame, settings, name="slice_fid_released", look="equalised", real_edge=real_edge)


def _made(
    frame: Frame, settings: Settings, *, name: str, look: Literal["plain", "equalised"], real_edge: int
) -> SliceDistances:
    if frame.ndim != 3:
        raise InputError(
            "Slices along three planes need a volume, and the image has two axes of space.",
            remedy="Leave out the metric, or use 'fid' and 'kid'.",
        )
    cuts = [
        Cut(name=f"output {plane}", image="output", axes=axes, edge=settings.patch) for plane, axes in PLANES.items()
    ]
    cuts.append(Cut(name="reference xy", image="reference", axes=PLANES["xy"], edge=real_edge))
    return SliceDistances(name=name, statistic=FeatureSums.of(frame, settings, tuple(cuts), look=look))
