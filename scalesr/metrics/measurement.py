"""The figures of one measurement, and what they were taken of."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, field, replace
from html import escape
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from scalesr.metrics.rows import WITHIN, lay_out, rows_of
from scalesr.metrics.tables import dataset_of, write_csv, write_parquet

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import xarray

    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.measure import Measure
    from scalesr.metrics.rows import Detail, Row
    from scalesr.metrics.tables import Mode


PACKAGES = ("scalesr", "numpy", "scipy", "torch")
"""Packages whose versions may show in a figure."""


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}


@dataclass(frozen=True, kw_only=True, repr=False)
class Measurement:
    """What `scalesr.measure` returns: figures, what they were taken of, and the ways to keep them.

    It shows itself as a table, in a terminal and in a notebook.
    """

    measures: tuple[Measure, ...]
    """All figures, in the order of the metrics asked for."""
    frame: Frame
    """What was measured."""
    settings: Settings
    """With which settings."""
    output: str
    """URL of the image that was measured."""
    reference: str | None = None
    """URL of the image of the same grid that it was compared with."""
    measured: str | None = None
    """URL of the measurement that the output was made from."""
    maps: Mapping[str, str] = field(default_factory=dict)
    """URLs of the maps that were written, by metric."""
    notes: tuple[str, ...] = ()
    """What a reader must know of the images as a whole: a shift between them, bad chunks."""
    bad_chunks: tuple[str, ...] = ()
    """Chunks that could not be decoded and were filled."""
    seconds: float = 0.0
    """Wall time."""
    versions: Mapping[str, str] = field(default_factory=_versions)
    """Versions of Python and of the packages that made the figures."""

    def find(self, metric: str, kind: str | None = None, *, band: str | None = None, where: str = "") -> Measure:
        """Return one figure with its counts and its note.

        Parameters
        ----------
        metric
            Name of the metric.
        kind
            Which of its figures; its first where not given.
        band
            The band that it is of; where not given, the first that fits.
        where
            The plane or the field; empty for the whole image.

        Raises
        ------
        KeyError
            There is no such figure; the message lists what the metric has.
        """
        own = [m for m in self.measures if m.metric == metric]
        for measure in own:
            if kind in (None, measure.kind) and band in (None, measure.band) and where == measure.where:
                return measure
        if not own:
            there = ", ".join(dict.fromkeys(m.metric for m in self.measures)) or "none"
            raise KeyError(f"no figures of {metric!r}; there are: {there}")
        kinds, bands, places = (
            ", ".join(dict.fromkeys(repr(text) for text in texts if text))
            for texts in ((m.kind for m in own), (m.band for m in own), (m.where for m in own))
        )
        asked = f"kind {kind!r}, band {band!r}, where {where!r}"
        raise KeyError(
            f"{metric} has no figure of {asked}; kinds: {kinds}; bands: {bands or 'none'}; where: {places or 'none'}"
        )

    def value(self, metric: str, kind: str | None = None, *, band: str | None = None, where: str = "") -> float | None:
        """Return the number of one figure, `None` where it is not defined; see `find`."""
        return self.find(metric, kind, band=band, where=where).value

    def table(self, *, bands: Detail = "folded", places: Detail = "folded") -> list[Row]:
        """Return the figures as rows of texts for people, headlines first.

        Parameters
        ----------
        bands
            ``folded``: one row with least, median and most of the bands. ``each``: a row for each band.
        places
            The same for planes and fields.
        """
        return rows_of(self.measures, bands=bands, places=places)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON can hold it: figures, images, settings, notes and versions.

        Infinite figures are the texts ``infinite`` and ``-infinite``, undefined ones are null.
        """
        frame = asdict(self.frame) | {"ratio": [str(ratio) for ratio in self.frame.ratio]}
        return {
            "output": self.output,
            "reference": self.reference,
            "measured": self.measured,
            "figures": [measure.to_json() for measure in self.measures],
            "maps": dict(self.maps),
            "notes": list(self.notes),
            "bad_chunks": list(self.bad_chunks),
            "frame": _plain(frame),
            "settings": _plain(asdict(self.settings)),
            "seconds": self.seconds,
            "versions": dict(self.versions),
        }

    def to_csv(self, path: str | os.PathLike[str], *, mode: Mode = "create") -> None:
        """Write the figures as CSV (UTF-8, comma), one line each, with every digit.

        The columns are metric, kind, band, where, value, unit, n, left_out and note. A figure that is not defined has
        an empty value; infinite ones are ``inf``.

        Parameters
        ----------
        path
            A file or an fsspec URL.
        mode
            ``create`` refuses a file that exists, ``overwrite`` replaces it.

        Raises
        ------
        OutputError
            The file exists or cannot be written.
        """
        write_csv(self, path, mode=mode)

    def to_parquet(self, path: str | os.PathLike[str], *, mode: Mode = "create") -> None:
        """Write the figures as Parquet, with all that `to_json` says beside them as ``scalesr`` in the schema.

        The columns are those of `to_csv`; ``left_out`` is a map from reason to count.

        Parameters
        ----------
        path
            A file or an fsspec URL.
        mode
            ``create`` refuses a file that exists, ``overwrite`` replaces it.

        Raises
        ------
        OutputError
            pyarrow is not installed, or the file exists or cannot be written.
        """
        write_parquet(self, path, mode=mode)

    def to_xarray(self) -> xarray.Dataset:
        """Return the figures as a dataset: one variable for each kind of figure of each metric.

        A variable is named after both, such as ``psnr_mean_of_bands``, and has the dimensions ``band`` and ``where``
        as far as its figures do; the whole image is the empty ``where``. Where a figure of all bands has the same name
        as those of each, these end in ``_by_band``. What is not defined is NaN. Attributes are the ``units``, the
        counts ``n`` in C order, ``left_out`` as JSON, also in C order, and ``notes``, one to a line.

        Raises
        ------
        OutputError
            xarray is not installed.
        """
        return dataset_of(self)

    @classmethod
    def of_fields(
        cls,
        fields: Mapping[str, Measurement],
        *,
        output: str,
        reference: str | None = None,
        measured: str | None = None,
    ) -> Measurement:
        """Return one measurement of the fields of a plate, each figure said of its field.

        Parameters
        ----------
        fields
            At least one measurement, by the field's path in the plate, such as ``A/1/0``.
        output, reference, measured
            URLs of the plates.
        """
        first, one = next(iter(fields.items()))
        notes: dict[str, list[str]] = {}
        for name, found in fields.items():
            for note in found.notes:
                notes.setdefault(note, []).append(name)
        # Most notes of a plate are the same for all of its fields.
        told = [text if len(names) == len(fields) else f"{', '.join(names)}: {text}" for text, names in notes.items()]
        if any(found.frame != one.frame for found in fields.values()):
            told.append(f"Fields differ in shape, channels or pixel size; the frame is that of {first}.")
        return replace(
            one,
            measures=tuple(
                measure.placed(WITHIN.join(filter(None, (name, measure.where))))
                for name, found in fields.items()
                for measure in found.measures
            ),
            output=output,
            reference=reference,
            measured=measured,
            maps={f"{name} {metric}": url for name, found in fields.items() for metric, url in found.maps.items()},
            notes=tuple(told),
            bad_chunks=tuple(f"{name}/{chunk}" for name, found in fields.items() for chunk in found.bad_chunks),
            seconds=sum(found.seconds for found in fields.values()),
        )

    def __str__(self) -> str:
        layout = lay_out(self.table())
        lines = [layout.headers, *layout.cells]
        widths = [max(len(line[column]) for line in lines) for column in range(len(layout.headers))]
        text = [self._title()]
        for line in lines:
            cells = [
                cell.rjust(width) if name in ("value", "n") else cell.ljust(width)
                for cell, width, name in zip(line, widths, layout.headers, strict=True)
            ]
            text.append("  ".join(cells).rstrip())
        text += [f"({number}) {note}" for number, note in enumerate(layout.footnotes, start=1)]
        return "\n".join([*text, *(f"Note: {note}" for note in self.notes)])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        layout = lay_out(self.table())
        head = "".join(f'<th scope="col">{escape(name)}</th>' for name in layout.headers)
        body = ""
        for (first, *others), rank in zip(layout.cells, layout.ranks, strict=True):
            cells = [f"<td>{escape(text)}</td>" for text in others]
            if rank == "headline":
                cells = [f"<td><strong>{escape(text)}</strong></td>" for text in others]
            body += f'<tr><th scope="row">{escape(first)}</th>{"".join(cells)}</tr>'
        marks = "".join(f"<li>{escape(note)}</li>" for note in layout.footnotes)
        notes = "".join(f"<p>Note: {escape(note)}</p>" for note in self.notes)
        return (
            f"<table><caption>{escape(self._title())}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
            f"</table>{f'<ol>{marks}</ol>' if marks else ''}{notes}"
        )

    def _title(self) -> str:
        against = [f"compared with {self.reference}"] if self.reference else []
        against += [f"made from {self.measured}"] if self.measured else []
        return ", ".join([f"Figures of {self.output}", *against])


def _plain(value: Any) -> Any:
    """Return tuples as lists, as they come back from JSON."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
