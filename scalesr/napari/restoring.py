"""The widget that restores a layer: tile by tile, where somebody looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from scalesr.engine import Options
from scalesr.engine.lazy_array import lazily
from scalesr.napari.aside import aside
from scalesr.napari.layers import image_of, levels_of

if TYPE_CHECKING:
    import napari.layers  # type: ignore[import-not-found, unused-ignore]
    import napari.viewer  # type: ignore[import-not-found, unused-ignore]

    from scalesr.napari.layers import ImageLayer

LayerData = tuple[Any, dict[str, Any], str]
"""Pixels, settings and kind of a layer, as napari passes layers around."""


def restore(
    viewer: napari.viewer.Viewer,
    image: napari.layers.Image,
    model: str = "default",
    scale: str = "",
    axes: str = "",
    device: str = "auto",
    normalise: Literal["auto", "dtype", "none"] = "auto",
) -> None:
    """Add a layer that shows an image as a model restores it; see `restored`.

    Parameters
    ----------
    viewer
        Where the layer is added.
    image
        Which layer.
    model
        Name, file or function, as for `scalesr.run`.
    scale
        Pixels for each pixel, such as 4 or 1,2,2; empty takes the model's own.
    axes
        A letter of tczyx for each dimension; empty takes the labels of the layer, or the last of these.
    device
        Where the network runs: cpu, cuda, auto.
    normalise
        auto looks at all pixels first, for their percentiles; dtype takes the range of the number format.
    """
    options = Options(model=model, scale=_scale(scale), device=device, normalise=normalise)

    def show(layer: LayerData) -> None:
        pixels, settings, _ = layer
        viewer.add_image(pixels, **settings)

    aside(lambda: restored(image, options=options, axes=axes), show)


def restored(layer: ImageLayer, *, options: Options, axes: str = "") -> LayerData:
    """Return a layer restored by a model, whose tiles are computed when they are looked at, bit for bit as by a run.

    Its finest resolution are the restored pixels; the coarser ones are the layer's own, so that napari, which takes the
    resolution that the screen can show, computes only what is in view once it is larger than the layer's pixels, and
    zoomed out shows the layer itself. In 3-D napari takes the coarsest. Where the number format changes there is the
    finest resolution alone, of which napari computes whole planes.

    Parameters
    ----------
    layer
        An image layer.
    options
        As for `scalesr.run`; what concerns output and workers is not looked at.
    axes
        See `image_of`.

    Raises
    ------
    ScalesrError
        As `scalesr.lazy`; the layer is no image that a model can take.
    """
    image = image_of(layer, axes=axes)
    pixels, layout = lazily(image, options)
    finest = layout.levels[0]
    own = levels_of(layer)
    coarser = own if any(a < b for a, b in zip(image.shape, finest.shape, strict=True)) else own[1:]
    levels = [pixels, *(some for some in coarser if some.dtype == pixels.dtype)]
    settings: dict[str, Any] = {
        "name": f"{layer.name} restored ({options.model})",
        "scale": finest.scale,
        "translate": finest.translation,
        "multiscale": len(levels) > 1,
        "metadata": {"scalesr": {"model": options.model, "of": layer.name}},
    }
    for name in ("contrast_limits", "units", "axis_labels", "blending"):
        value = getattr(layer, name, None)
        # The greys stay comparable, as long as the numbers mean the same.
        if value is not None and (name != "contrast_limits" or pixels.dtype == own[0].dtype):
            settings[name] = value
    colours = getattr(getattr(layer, "colormap", None), "name", None)
    if colours is not None:
        settings["colormap"] = colours
    return (levels if len(levels) > 1 else pixels), settings, "image"


def _scale(text: str) -> str | tuple[str, ...] | None:
    """Return a scale as options have it, of what was typed into a field."""
    parts = tuple(part.strip() for part in text.split(",") if part.strip())
    return None if not parts else parts[0] if len(parts) == 1 else parts
