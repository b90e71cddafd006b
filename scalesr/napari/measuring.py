"""The widget that measures a layer, and shows the figures as a table."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from scalesr import engine
from scalesr.metrics.rows import lay_out
from scalesr.napari.aside import aside
from scalesr.napari.layers import image_of

if TYPE_CHECKING:
    import napari.layers  # type: ignore[import-not-found, unused-ignore]
    import napari.viewer  # type: ignore[import-not-found, unused-ignore]

    from scalesr.metrics import Measurement
    from scalesr.napari.layers import ImageLayer


def measure(
    viewer: napari.viewer.Viewer,
    image: napari.layers.Image,
    made_from: napari.layers.Image | None = None,
    reference: napari.layers.Image | None = None,
    metrics: str = "",
    axes: str = "",
) -> None:
    """Show the figures of an image, with their controls, as a table beside the viewer; see `figures`.

    Parameters
    ----------
    viewer
        Where the table is added.
    image
        Which layer is judged.
    made_from
        The layer that it was restored from: how far the two agree.
    reference
        The layer of the truth, with the same pixels.
    metrics
        Names, such as psnr,ssim; empty takes what fits.
    axes
        A letter of tczyx for each dimension; empty takes the labels of the layer, or the last of these.
    """
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    aside(
        lambda: figures(image, made_from=made_from, reference=reference, metrics=names, axes=axes),
        lambda found: show_table(viewer, found, title=f"Figures of {image.name}"),
    )


def figures(
    layer: ImageLayer,
    *,
    made_from: ImageLayer | None = None,
    reference: ImageLayer | None = None,
    metrics: list[str] | None = None,
    axes: str = "",
) -> Measurement:
    """Return the figures of a layer; see `scalesr.measure`. All of its pixels are read, or computed if it is lazy.

    Raises
    ------
    ScalesrError
        As `scalesr.measure`; a layer is no image, or layers do not lie at the same place.
    """
    image, measured, truth = (
        None if one is None else image_of(one, axes=axes) for one in (layer, made_from, reference)
    )
    assert image is not None
    return engine.measure(image, measured=measured, reference=truth, metrics=metrics or None)


def table_of(found: Measurement) -> dict[str, Any]:
    """Return figures as a table of magicgui: names of columns, and rows of texts."""
    layout = lay_out(found.table())
    return {"columns": list(layout.headers), "data": [list(row) for row in layout.cells]}


def words_of(found: Measurement) -> str:
    """Return what the numbers in the last column of the table mean, and what is to be known of the whole."""
    layout = lay_out(found.table())
    return "\n".join([*(f"({number}) {note}" for number, note in enumerate(layout.footnotes, 1)), *found.notes])


def show_table(viewer: Any, found: Measurement, *, title: str) -> None:
    """Put figures beside the layers, as a table with its notes below."""
    widgets = import_module("magicgui.widgets")
    parts = [widgets.Table(value=table_of(found)), widgets.Label(value=words_of(found))]
    viewer.window.add_dock_widget(widgets.Container(widgets=parts, labels=False), name=title, area="bottom")
