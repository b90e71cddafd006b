"""What neuroglancer is to show, as its own JSON: images side by side, at the same place, in the same greys."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from scalesr.images.colours import WHITE, channels_of, colours_of, is_photograph
from scalesr.viewer.contrast import brightest_band, contrast
from scalesr.viewer.dimensions import dimensions, shown_axes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scalesr.images import Image
    from scalesr.viewer.contrast import Span
    from scalesr.viewer.dimensions import Dimension

MOST_COLOURS = 6
"""Channels that are shown at once, each in its colour; more are the bands of a spectrum, of which one is shown."""
PICTURE = (1100.0, 640.0)
"""Pixels of a window that all panels share, about: a picture is made to fit."""
OBLIQUE = (-0.35, 0.25, 0.1, 0.9)
"""From where a volume is seen: a quaternion."""
GREY = "#uicontrol invlerp contrast\nvoid main() { emitGrayscale(contrast()); }\n"
COLOURED = (
    '#uicontrol invlerp contrast\n#uicontrol vec3 color color(default="#COLOUR")\n'
    "void main() { emitRGB(color * contrast()); }\n"
)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An image, and where a browser finds it."""

    image: Image
    """What is shown."""
    title: str
    """Name of its layers; no two are the same."""
    address: str
    """URL of its group."""


def state_of(shown: Sequence[Shown]) -> dict[str, Any]:
    """Return the state that shows images side by side: the first on the left, at its middle, as large as fits.

    All panels move and zoom together. Where an image lies and how large its pixels are is left to its own metadata, so
    that what is at the same place in micrometres is at the same place in every panel. Up to `MOST_COLOURS` channels
    are layers of one colour each that add up; of more, one band is shown, and all panels change it together.

    Parameters
    ----------
    shown
        At least one, none of which `objection` objects to.
    """
    first = shown[0].image
    spectral = any(channels_of(one.image) > MOST_COLOURS for one in shown)
    space = [(one, dimensions(one.image)) for one in shown]
    joint: dict[str, Dimension] = {}
    for _, some in space:
        for dimension in _ordered(some):
            if spectral or dimension.axis.kind != "channel":
                joint.setdefault(dimension.name, dimension)
    band = brightest_band(first) if channels_of(first) > MOST_COLOURS else 0
    seen = [next(one.name for one in space[0][1] if one.axis.name == name) for name in shown_axes(first)]
    quarters = len(shown) == 1 and len(seen) == 3 and joint[seen[2]].size > 1
    spans = cache(lambda channel: contrast([one.image for one in shown], channel))
    layers = {
        one.title: list(_bands(one, spans(band)[number]) if spectral else _channels(one, number, spans))
        for number, one in enumerate(shown)
    }
    return {
        "title": " beside ".join(one.title for one in shown),
        "dimensions": {name: dimension.pair for name, dimension in joint.items()},
        "displayDimensions": seen,
        "position": [_place(dimension, band) for dimension in joint.values()],
        **_zoom([joint[name] for name in seen], columns=2 if quarters else len(shown), rows=2 if quarters else 1),
        "layers": [layer for some in layers.values() for layer in some],
        "showAxisLines": False,
        "showDefaultAnnotations": False,
        "crossSectionBackgroundColor": "#000000",
        "hideCrossSectionBackground3D": True,
        "selectedLayer": {"visible": False},
        "layout": "4panel" if quarters else _layout(layers),
    }


def _ordered(some: Sequence[Dimension]) -> list[Dimension]:
    """Return dimensions of space first, fastest first: what neuroglancer's keys and controls take for x, y and z."""
    space = [one for one in some if one.axis.kind == "space"]
    return [*reversed(space), *(one for one in some if one.axis.kind != "space")]


def _place(dimension: Dimension, band: int) -> float:
    kind = dimension.axis.kind
    return dimension.centre(band if kind == "channel" else 0 if kind == "time" else dimension.size // 2)


def _zoom(seen: Sequence[Dimension], *, columns: int, rows: int) -> dict[str, Any]:
    """Return sizes of a pixel of the screen, in the finest of the pixels along the axes that are seen."""
    finest = min(one.step for one in seen)
    extents = [one.size * one.step / finest for one in seen]
    across = max(extents[0] * columns / PICTURE[0], extents[1] * rows / PICTURE[1])
    return {"crossSectionScale": across, "projectionScale": 1.5 * max(extents), "projectionOrientation": OBLIQUE}


def _layout(layers: dict[str, list[dict[str, Any]]]) -> Any:
    if len(layers) == 1:
        return "xy"
    panels = [
        {"type": "viewer", "layers": [layer["name"] for layer in some], "layout": "xy"} for some in layers.values()
    ]
    return {"type": "row", "children": panels}


def _bands(one: Shown, span: Span) -> Iterator[dict[str, Any]]:
    """Yield the layer of a spectrum, which follows the band that all panels show."""
    channel = next((some for some in dimensions(one.image) if some.axis.kind == "channel"), None)
    # Of its own, neuroglancer makes channels a matter of each layer.
    yield _layer(one, one.title, span, colour=WHITE, shared=channel)


def _channels(one: Shown, number: int, spans: Callable[[int], list[Span]]) -> Iterator[dict[str, Any]]:
    """Yield one layer for each channel."""
    image, count = one.image, channels_of(one.image)
    axis = next((some for some in dimensions(image) if some.axis.kind == "channel"), None)
    labels = [channel.label or f"channel {place}" for place, channel in enumerate(image.channels[:count])]
    labels += [f"channel {place}" for place in range(len(labels), count)]
    photograph = is_photograph(image)
    for place, (label, colour) in enumerate(zip(labels, colours_of(image), strict=True)):
        told = label if labels.count(label) == 1 else f"{label} ({place})"
        span = (0.0, 255.0) if photograph else spans(place)[number]
        layer = _layer(one, one.title if count == 1 else f"{one.title} {told}", span, colour=colour, shared=None)
        if axis is not None:
            layer |= {"localDimensions": {f"{axis.name}'": axis.pair}, "localPosition": [axis.centre(place)]}
        yield layer if count == 1 else layer | {"blend": "additive"}


def _layer(one: Shown, name: str, span: Span, *, colour: str, shared: Dimension | None) -> dict[str, Any]:
    """Return a layer; a channel axis that is shared among panels is one of the viewer, else it is the layer's own."""
    image = one.image
    source: dict[str, Any] = {"url": f"{one.address}/|zarr{2 if image.version == '0.4' else 3}:"}
    axes = dimensions(image)
    if shared is not None or any(some.name != some.axis.name for some in axes):
        names = [f"{some.name}'" if some.axis.kind == "channel" and shared is None else some.name for some in axes]
        source["transform"] = {"outputDimensions": dict(zip(names, (some.pair for some in axes), strict=True))}
    return {
        "type": "image",
        "name": name,
        "source": source,
        "tab": "rendering",
        "opacity": 1,
        "shader": GREY if colour == WHITE else COLOURED.replace("COLOUR", colour),
        "shaderControls": {"contrast": _control(span, image)},
    }


def _control(span: Span, image: Image) -> dict[str, Any]:
    """Return the contrast, and the window of values in which a user moves its ends."""
    low, high = span
    room = [low - (high - low) / 4, high + (high - low)]
    if image.dtype.kind == "f":
        return {"range": [low, high], "window": room}
    whole = [int(low), int(high)]
    window = [max(int(room[0]), 0 if image.dtype.kind == "u" else int(room[0])), int(room[1])]
    # Integers of 64 bits are texts in its JSON.
    texts = image.dtype.itemsize == 8
    return {name: [str(one) if texts else one for one in ends] for name, ends in (("range", whole), ("window", window))}
