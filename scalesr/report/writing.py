"""`scalesr.report.write_report`: from an output in storage to the one file that reports it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from scalesr.analysis.packages import need
from scalesr.images import OWN, Files, Image, Location, Plate, open_any
from scalesr.report.image_page import image_page
from scalesr.report.plate_page import plate_page
from scalesr.report.rendering import rendered
from scalesr.report.scene import open_scene

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "report.html"
"""What a report is called that lies in its output."""


def write_report(
    output: str | os.PathLike[str] | Image | Plate,
    *,
    to: str | os.PathLike[str] | None = None,
    reference: str | os.PathLike[str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    source: Image | None = None,
) -> str:
    """Write the report of a finished run as one HTML file that works offline, and return where it lies.

    It reads the output's ledger, coarse levels of its pyramid, and a few places at full resolution of output, input and
    reference; so its time and memory do not grow with the image. What cannot be opened is left out, and the page says
    so by name. Every text on the page is escaped, and nothing on it runs but its own script.

    Parameters
    ----------
    output
        What a run wrote, an image or a plate: a path, an fsspec URL, or an opened one.
    to
        A file or an fsspec URL; ``scalesr/report.html`` inside the output when not given. A file that is there is
        replaced.
    reference
        What the output should look like: an image of the same pixels, or a plate of the same fields. That of the run
        when not given, if it had one.
    storage_options
        Handed to fsspec for all images.
    source
        What the output was made from; looked for where the ledger says when not given.

    Returns
    -------
    str
        Path or URL of the report.

    Raises
    ------
    InputError
        There is no output, or it is not finished; or the reference does not fit.
    LedgerError
        It is not the output of a run, or its ledger is damaged.
    OutputError
        The report cannot be written.
    PlanError
        Jinja or matplotlib is not installed.
    StorageError
        A chunk of the output cannot be read.
    """
    for module in ("jinja2", "matplotlib"):
        need(module, extra="report", purpose="A report")
    found = output if isinstance(output, Image | Plate) else open_any(output, storage_options=storage_options)
    if isinstance(found, Plate):
        beside = None if reference is None else os.fspath(reference)
        page = plate_page(found, reference=beside, storage_options=storage_options)
    else:
        scene = open_scene(found, source=source, reference=reference, storage_options=storage_options)
        page = image_page(scene)
    content = rendered(page)
    place = Location(found.url, found.storage_options) / OWN / NAME
    if to is not None:
        place = Location.parse(to, storage_options)
    folder, _, name = place.url.rpartition("/")
    Files(folder or "/", place.options).put(name, content)
    return place.url
