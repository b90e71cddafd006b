"""The standard deviations of a run's voxels: an image of its own, of the output's grid."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scalesr.engine.targets import exists
from scalesr.errors import LedgerError, OutputError, PlanError
from scalesr.images import ImageWriter, Location

if TYPE_CHECKING:
    from scalesr.engine.options import Options
    from scalesr.images import Image
    from scalesr.models import ModelSpec
    from scalesr.tiling import Plan

NAME = "deviation"
"""What the image inside the output is called."""


def deviation_place(output: Location, options: Options) -> Location:
    """Return where the standard deviations go, if there are any."""
    if options.deviation in ("beside", "none"):
        return output / NAME
    return Location.parse(options.deviation)


def check_returned(spec: ModelSpec, options: Options) -> None:
    """Refuse a place of its own for standard deviations that the model does not return.

    Raises
    ------
    PlanError
        It does not.
    """
    if options.deviation not in ("beside", "none") and spec.deviation == "none":
        raise PlanError(
            f"The model {spec.name!r} returns no standard deviations that could go to {options.deviation}.",
            remedy="Leave out --deviation, or use a model that samples more than once.",
        )


def deviation_writer(output: ImageWriter, plan: Plan, options: Options) -> ImageWriter | None:
    """Return the way to write the standard deviations; None where none are kept."""
    if plan.deviation == "none":
        return None
    place = deviation_place(Location(output.url, output.storage_options), options)
    # What windows suit the values do not suit these.
    layout = replace(output.layout, dtype="float32", channels=(), name=f"{output.layout.name} {NAME}")
    return ImageWriter(place.url, layout, storage_options=place.options)


def deviation_name(output: ImageWriter, deviation: ImageWriter) -> str:
    """Return where the standard deviations lie, seen from the output: a name inside it, or a place of its own."""
    inside = Location(output.url, output.storage_options) / NAME
    return NAME if deviation.url == inside.url else deviation.url


def check_place(image: Image, output: Location, options: Options) -> None:
    """Refuse a place of its own for the standard deviations that cannot be used.

    Raises
    ------
    OutputError
        It is the input, the output, or something that exists already.
    """
    if options.deviation in ("beside", "none"):
        return
    place = deviation_place(output, options)
    if place.url in (Location.parse(image.url).url, output.url):
        raise OutputError(
            f"The standard deviations cannot go to {place}: that is the run's input or output.",
            remedy="Choose another place for --deviation.",
        )
    if exists(place) and options.mode == "create":
        raise OutputError(
            f"{place} already exists.", remedy="Choose another place for --deviation, or pass --overwrite or --resume."
        )


def check_begun(deviation: ImageWriter) -> None:
    """Refuse to resume a run whose standard deviations are gone: those of its blocks that are done would stay zero.

    Raises
    ------
    LedgerError
        They are.
    """
    if not exists(Location(deviation.url, deviation.storage_options)):
        raise LedgerError(
            f"The run that is to be resumed has lost its standard deviations, {deviation.url}.",
            remedy="Start again with --overwrite.",
        )
