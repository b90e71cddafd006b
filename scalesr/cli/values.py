"""What people type for other commands than a run, as values; those of a run are read in `scalesr.jobs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalesr.errors import InputError
from scalesr.jobs.values import OptionError, parse_sizes

if TYPE_CHECKING:
    from collections.abc import Mapping


def parse_shape(text: str) -> tuple[int, ...]:
    """Return the shape of an image: ``32768,131072,131072``."""
    sizes = parse_sizes(text, "--shape")
    return sizes if isinstance(sizes, tuple) else (sizes or 0,)


def parse_whole(option: str, text: str | None) -> tuple[int, ...] | None:
    """Return whole numbers above zero, such as ``32,64,96,128``; None where nothing was given."""
    if text is None:
        return None
    parts = tuple(part.strip() for part in text.split(","))
    if not all(part.isdecimal() and int(part) for part in parts):
        raise OptionError(f"{option} {text!r} is no list of sizes.", remedy="Give whole numbers, such as 32,64,96,128.")
    return tuple(map(int, parts))


def parse_pixel_size(text: str | None) -> float | Mapping[str, float] | None:
    """Return one size for all spatial axes, or one by axis: ``0.325`` or ``z=2,y=0.325,x=0.325``."""
    if text is None:
        return None
    try:
        if "=" not in text:
            return float(text)
        pairs = [part.split("=") for part in text.split(",")]
        return {name.strip(): float(size) for name, size in pairs}
    except ValueError as error:
        raise OptionError(
            f"--pixel-size {text!r} is not a size.", remedy="Give a number, or one for each axis: z=2,y=0.325,x=0.325."
        ) from error


def parse_threshold(text: str) -> str:
    """Return a threshold of Fourier ring correlations: ``1/7``, ``half-bit``, ``snr:0.3`` ..."""
    from scalesr.metrics.thresholds import read_threshold  # noqa: PLC0415 torch takes seconds

    try:
        return read_threshold(text.strip())
    except InputError as error:
        raise OptionError(f"--threshold {text!r} is not a threshold.", remedy=error.remedy) from error
