"""How pixels in memory become an OME-Zarr image on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from scalesr.images import Axis, build_pyramid, create_image, open_image, pyramid_layout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from scalesr.images import Image


def store(
    pixels: NDArray[Any],
    target: Path,
    *,
    pixel: float,
    first: Axis | Sequence[Axis] | None = None,
    depth: float = 1.0,
    levels: Literal["pyramid", "one"] = "pyramid",
) -> Image:
    """Write planes as an OME-Zarr image, in place of one that is there, and open it.

    The outer corner of the first pixel lies at 0 along y and x.

    Parameters
    ----------
    pixels
        Shape (y, x), and before these as many as there are axes of `first`.
    target
        Folder of the image, ``NAME.ome.zarr``.
    pixel
        Edge of a pixel in micrometres.
    first
        What the planes lie along, one axis or several; `None` for a single plane.
    depth
        From plane to plane along each of them, in its unit.
    levels
        ``one``: no coarser levels, whose means would have no meaning for labels.

    Raises
    ------
    OutputError
        Something that is no image is there, or storage refuses.
    """
    lead = (first,) if isinstance(first, Axis) else tuple(first or ())
    end: dict[str, Any] = {"smallest": max(pixels.shape)} if levels == "one" else {}
    layout = pyramid_layout(
        axes=(*lead, Axis("y", "space", "micrometer"), Axis("x", "space", "micrometer")),
        shape=pixels.shape,
        dtype=pixels.dtype.name,
        scale=(*(depth for _ in lead), pixel, pixel),
        translation=(*(0.0 for _ in lead), pixel / 2, pixel / 2),
        name=target.name.removesuffix(".ome.zarr"),
        **end,
    )
    writer = create_image(target, layout, mode="overwrite")
    writer.write(0, tuple(slice(0, size) for size in pixels.shape), pixels)
    if levels == "pyramid":
        build_pyramid(writer)
    writer.publish()
    return open_image(target)
