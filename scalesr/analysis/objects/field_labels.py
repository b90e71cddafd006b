"""Labelling an image, or all fields of a plate with one threshold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from scalesr.analysis.objects.blocks import Blocks
from scalesr.analysis.objects.field import Field
from scalesr.analysis.objects.foreground import Ground, otsu, smoothing_radius
from scalesr.analysis.objects.labelling import label_objects
from scalesr.analysis.objects.sites import Missing, Site, Visits, by_name, name_in
from scalesr.analysis.objects.telling import steps
from scalesr.analysis.tabular import Tabular
from scalesr.errors import InputError
from scalesr.images import Image

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from scalesr.analysis.cube import Source
    from scalesr.analysis.objects.labelling import Going, Labelled
    from scalesr.engine import Callback

LABELLING = "labelling fields"


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelledFields(Tabular):
    """Labels of an image or of all fields of a plate."""

    fields: tuple[tuple[Site, Labelled], ...]
    """Each field and its labels."""
    threshold: float
    """Smoothed values above it are object, the same in all fields."""
    notes: tuple[str, ...] = ()
    """What a reader must know: fields without objects, fields that were left out."""

    @property
    def number(self) -> int:
        """Objects of all fields."""
        return sum(made.number for _, made in self.fields)

    @property
    def left_out(self) -> dict[str, int]:
        """Objects of all fields that were found and have no label, by reason."""
        total: dict[str, int] = {}
        for _, made in self.fields:
            for reason, count in made.left_out.items():
                total[reason] = total.get(reason, 0) + count
        return total

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each field."""
        return [
            {
                "well": site.well,
                "field": site.field,
                "objects": made.number,
                "left out": sum(made.left_out.values()),
                "labels": made.labels.url,
            }
            for site, made in self.fields
        ]


def label_fields(
    source: Source,
    *,
    labels: str | os.PathLike[str] | None = None,
    name: str | None = None,
    channel: int | str = 0,
    sigma: float = 2.0,
    threshold: float | Literal["otsu"] = "otsu",
    missing: Missing = "stop",
    mode: Going = "create",
    callbacks: Sequence[Callback] = (),
    storage_options: Mapping[str, Any] | None = None,
    **how: Any,
) -> LabelledFields:
    """Label an image, or all fields of a plate, with one threshold for all of them; see `label_objects`.

    An automatic threshold is found from the pixels of all fields together. So a field without objects gets none, where
    a threshold of its own would find some in its noise; such fields are counted in the notes. The channel is that of
    the first field, and found by its name in the others where they have names.

    Parameters
    ----------
    source
        OME-Zarr image or plate.
    labels
        Where the labels are written; for a plate, a folder that gets the plate's paths. Beside each image when not
        given.
    name
        Name of the labels beside an image, in its folder ``labels``; ``objects`` when neither is given.
    channel, sigma, threshold
        As in `label_objects`.
    missing
        See `Missing`.
    mode
        As in `label_objects`: ``resume`` goes on with the first field that has no finished labels.
    callbacks
        Told of each field that is done, or of each block of an image by itself.
    storage_options
        Handed to fsspec, for all images.
    **how
        Other options of `label_objects`.

    Raises
    ------
    InputError
        As in `label_objects`, or a field cannot be opened.
    OutputError
        Labels exist or cannot be written.
    """
    visits = Visits.of(source, missing=missing, storage_options=storage_options)
    sites, name = visits.sites, name_in(labels, name, storage_options=storage_options)
    common: dict[str, Any] = {"sigma": sigma, "mode": mode, "storage_options": storage_options, **how}
    if not sites[0].path:
        made = label_objects(
            source, _place(sites[0], labels, name), channel=channel, threshold=threshold, callbacks=callbacks, **common
        )
        return LabelledFields(fields=((sites[0], made),), threshold=made.threshold)
    opened = []
    for site in sites:
        try:
            opened.append((site, Field.open(site.source, storage_options=storage_options)))
        except InputError as error:
            visits.lacks(site, error)
    (dye,) = by_name([channel], opened[0][1])
    if isinstance(threshold, str):
        threshold = otsu(
            [
                Ground(
                    field=field,
                    blocks=Blocks.of(field.shape, edge=how.get("block"), margin=smoothing_radius(sigma)),
                    channel=field.numbers([dye])[0],
                )
                for _, field in opened
            ],
            sigma=sigma,
            callbacks=callbacks,
        )
    fields = []
    for site, field in steps(opened, name=LABELLING, callbacks=callbacks):
        made = label_objects(field.image, _place(site, labels, name), channel=dye, threshold=threshold, **common)
        if not made.number:
            visits.empty.append(site.path)
        fields.append((site, made))
    return LabelledFields(fields=tuple(fields), threshold=threshold, notes=visits.notes)


def _place(site: Site, labels: str | os.PathLike[str] | None, name: str | None) -> str | os.PathLike[str]:
    place = site.labels(labels, name)
    assert not isinstance(place, Image)
    return place
