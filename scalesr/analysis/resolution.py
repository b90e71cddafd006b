"""Estimated resolution of a restored image, never without its controls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalesr.analysis.tabular import Tabular
from scalesr.engine import measure
from scalesr.metrics.single_image import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalesr.analysis.cube import Source
    from scalesr.metrics import Measurement

ALONE = ("frc_single", "decorrelation")
"""Methods that look at one image alone."""
AGAINST = "frc"
"""The method that compares with an independent image of the same grid."""


@dataclass(frozen=True, kw_only=True)
class ResolutionEstimate(Tabular):
    """Estimated resolutions of a restored image beside those of noise and of interpolation."""

    measurement: Measurement
    """All figures, of each band and of the tiles as well."""

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each method: resolution, that of noise, that of interpolation, unit and what to know.

        A figure is `None` where it is withheld or at or below Nyquist; the note says which.
        """
        rows = []
        for method in dict.fromkeys(m.metric for m in self.measurement.measures):
            found = {
                name: next(
                    (m for m in self.measurement.measures if (m.metric, m.kind, m.band) == (method, kind, None)), None
                )
                for name, kind in KINDS.items()
            }
            image = found["image"]
            assert image is not None, "every method has a headline"
            rows.append(
                {
                    "method": method,
                    "resolution": image.value,
                    "noise": None if found["noise"] is None else found["noise"].value,
                    "cubic": None if found["cubic"] is None else found["cubic"].value,
                    "unit": image.unit,
                    "note": image.note,
                }
            )
        return rows


def estimated_resolution(
    output: Source,
    *,
    measured: Source,
    reference: Source | None = None,
    mask: Source | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **changes: Any,
) -> ResolutionEstimate:
    """Return the resolution of a restored image as methods estimate it from that image alone, with their controls.

    These methods take the marks of interpolation for detail: even noise, sent through the same pipeline, can have a
    fine resolution. So each figure stands beside that of noise, and is withheld where noise does as well, and beside
    that of the cubic interpolation. The one figure that can be believed of a restored image is the correlation with an
    independent acquisition, which is added where there is one.

    Parameters
    ----------
    output
        OME-Zarr image that was restored.
    measured
        What it was made from: the controls need it.
    reference
        An independent acquisition, or the truth, on the output's grid.
    mask
        Pixels that count are not zero in it, on the output's grid.
    storage_options
        Handed to fsspec, for all images.
    **changes
        Single settings of `scalesr.metrics.Settings` by name, such as ``tile`` or ``threshold``.

    Raises
    ------
    ScalesrError
        As `scalesr.measure`.
    """
    names = [*ALONE, *([AGAINST] if reference is not None else [])]
    return ResolutionEstimate(
        measurement=measure(
            output,
            reference=reference,
            measured=measured,
            mask=mask,
            metrics=names,
            axes="yx",
            storage_options=storage_options,
            **changes,
        )
    )
