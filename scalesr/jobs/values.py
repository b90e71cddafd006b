"""What people type, or write into job files, as values: sizes, scales, bytes. Texts are read once, here."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING, Literal

from scalesr.errors import ScalesrError
from scalesr.secrecy import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.engine.options import Normalise

_PREFIXES = ("", "k", "m", "g", "t", "p")
_BYTES = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*(?:([kmgtp])(i?))?b", re.IGNORECASE)
_SUCH = {"--set": "steps=20", "--storage-options": "anon=true", "--target-options": "anon=true"}


class OptionError(ScalesrError):
    """An option's text cannot be understood, or two options contradict each other."""

    exit_code = 2


def parse_bytes(text: str | None, option: str) -> int | None:
    """Return a number of bytes: ``8GB`` is decimal, ``8GiB`` binary."""
    if text is None:
        return None
    found = _BYTES.fullmatch(text.strip())
    if found is None:
        raise OptionError(f"{option} {text!r} is not an amount of memory.", remedy="Give one such as 8GB or 512MiB.")
    number, prefix, binary = found.groups()
    power = _PREFIXES.index((prefix or "").lower())
    count = int(float(number) * (1024 if binary else 1000) ** power)
    if count < 1:
        raise OptionError(f"{option} {text!r} is no memory at all.", remedy="Give an amount such as 8GB.")
    return count


def parse_sizes(text: str | None, option: str) -> int | tuple[int, ...] | None:
    """Return one size, or one for each axis: ``64`` or ``16,64,64``."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise OptionError(
            f"{option} {text!r} is not a size.",
            remedy="Give a whole number, or one for each axis that the model works along: 64 or 16,64,64.",
        )
    sizes = tuple(int(part) for part in parts)
    return sizes[0] if len(sizes) == 1 else sizes


def parse_scale(text: str | None) -> str | tuple[str, ...] | None:
    """Return one factor, or one for each axis: ``4``, ``1.5``, ``48/13,1,1``; or ``isotropic``, as it is."""
    if text is None or text.strip() == "isotropic":
        return text and text.strip()
    parts = tuple(part.strip() for part in text.split(","))
    for part in parts:
        try:
            positive = Fraction(part) > 0
        except (ValueError, ZeroDivisionError):
            positive = False
        if not positive:
            raise OptionError(
                f"--scale {text!r} is not a scale.",
                remedy="Give a positive number or fraction, or one for each axis: 4, 1.5 or 48/13,1,1; or isotropic.",
            )
    return parts[0] if len(parts) == 1 else parts


def parse_normalise(text: str) -> Normalise:
    """Return a way to normalise: ``auto``, ``percentile``, ``dtype``, ``none``, or two values such as ``0,4095``."""
    match text:
        case "auto" | "percentile" | "dtype" | "none":
            return text
        case _:
            pass
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0.0
    if not low < high < float("inf"):
        raise OptionError(
            f"--normalise {text!r} is not a way to normalise.",
            remedy="Give auto, percentile, dtype, none, or the values that become 0 and 1, such as 0,4095.",
        )
    return low, high


def parse_strategy(text: str) -> str:
    """Return a strategy for channels: ``auto``, ``single``, ``triples``, or ``eigen:K`` with any number for K."""
    if text not in ("auto", "single", "triples") and re.fullmatch(r"eigen:[1-9][0-9]*", text) is None:
        raise OptionError(
            f"--strategy {text!r} is not a strategy.", remedy="Give auto, single, triples, or eigen:32 (any number)."
        )
    return text


def parse_settings(texts: Sequence[str], option: str = "--set") -> tuple[tuple[str, str | float | int | bool], ...]:
    """Return what a model or a store is told, sorted: ``steps=20``, ``anon=true``; the last of each name."""
    found: dict[str, str | float | int | bool] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals or not name.isidentifier() or not value:
            raise OptionError(
                f"{option} {text!r} sets nothing.", remedy=f"Give a name and a value, such as {_SUCH[option]}."
            )
        try:
            read = json.loads(value)
        except ValueError:
            read = value
        if not isinstance(read, str | float | int | bool):
            raise OptionError(
                f"{option} {text!r} gives no single value.",
                remedy=f"Give a number, true, false or a word, such as {_SUCH[option]}.",
            )
        found[name] = read
    return tuple(sorted(found.items()))


def parse_store(texts: Sequence[str] | None, option: str) -> dict[str, str | float | int | bool]:
    """Return how a store is opened. Secrets are refused: command lines and files of jobs are read by others.

    Raises
    ------
    OptionError
        A text sets nothing, or what it sets is not known to be harmless.
    """
    told = dict(parse_settings(texts or (), option))
    if told:
        from scalesr.images.stores import StoreOptions  # noqa: PLC0415 zarr takes most of a second

        for name, value in told.items():
            if HIDDEN in repr(StoreOptions({name: value})):
                raise OptionError(
                    f"{option} gives {name!r}, which may be a secret.",
                    remedy="Leave it out: keys are found where the tools of the store look for them, such as "
                    "AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
                )
    return told


def parse_planes(text: str) -> tuple[int, ...] | Literal["auto", "none"]:
    """Return planes, each once and in order: ``5,17``; or ``auto`` or ``none``."""
    match text.strip():
        case "auto" | "none" as word:
            return word
        case _:
            pass
    planes = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in planes):
        raise OptionError(
            f"--missing-planes {text!r} names no planes.",
            remedy="Count planes from 0 and give those that were not measured, such as 5,17; or auto or none.",
        )
    return tuple(sorted({int(part) for part in planes}))


def parse_metrics(text: str | None) -> list[str] | None:
    """Return the metrics asked for, each once."""
    from scalesr.metrics.summaries import SUMMARIES  # noqa: PLC0415 torch takes seconds

    if text is None:
        return None
    names = list(dict.fromkeys(part.strip().lower().replace("-", "_") for part in text.split(",") if part.strip()))
    for name in names:
        if name not in SUMMARIES:
            near = get_close_matches(name, SUMMARIES, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise OptionError(f"There is no metric {name!r}.", remedy=f"{hint}`scalesr measure --list` names all.")
    if not names:
        raise OptionError("--metrics names none.", remedy="Give some, such as psnr,ssim.")
    return names


def positive(number: float | None, option: str) -> float | None:
    """Return a number that must be more than nothing."""
    if number is not None and not 0 < number < inf:
        raise OptionError(f"{option} {number:g} is not positive.", remedy="Give a number such as 4.")
    return number


def parse_fields(text: str | None) -> tuple[str, ...]:
    """Return the patterns of a list of fields; none where nothing was said."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
