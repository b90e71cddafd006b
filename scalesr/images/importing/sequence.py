"""Numbered files, one plane each, as one stack."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.errors import InputError
from scalesr.images.importing.source import UNKNOWN, Facts
from scalesr.images.importing.tiff import TiffSource

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from scalesr.images.importing.spacing import MissingPlanes

_WORDS = {
    "t": "t", "time": "t", "frame": "t", "timepoint": "t",
    "z": "z", "slice": "z", "plane": "z", "section": "z",
    "c": "c", "ch": "c", "channel": "c", "w": "c", "d": "c",
}  # fmt: skip
_SHOWN = 6


class SequenceSource:
    """TIFF files of equal shape, whose names differ in one or more numbers; each number is an axis.

    The letters before a number (``z0012``, ``_t3``, ``ch1``, ``frame7``) say which axis it is. A file is opened when a
    region needs it, and closed after.

    Parameters
    ----------
    paths
        The files, in any order.
    where
        What to call them in errors.
    axes
        One letter for each dimension, the numbers first, over what the names say.
    missing
        Whether numbers may be missing along z; `spacing` then makes planes of these.

    Raises
    ------
    InputError
        No files, a number is missing, or the files differ in shape or number format.
    """

    def __init__(
        self, paths: list[Path], *, where: str, axes: str | None = None, missing: MissingPlanes = "refuse"
    ) -> None:
        if not paths:
            raise InputError(f"{where} matches no TIFF files.", remedy="Check the folder, or quote the pattern.")
        self._grid, letters = _grid(paths, where)
        named = [letter.lower() for letter in (axes or letters)[: len(letters)]]
        planes = named.index("z") if "z" in named else None
        first = _facts_of(next(iter(self._grid.values())))
        for path in self._grid.values():
            facts = _facts_of(path)
            if (facts.shape, facts.dtype) != (first.shape, first.dtype):
                raise InputError(
                    f"{path} is {facts.shape} {facts.dtype}, but {first.where} is {first.shape} {first.dtype}.",
                    remedy="Take the odd file out of the folder, or narrow the pattern.",
                )
        self._numbers = [sorted({index[i] for index in self._grid}) for i in range(len(letters))]
        _check_complete(self._grid, self._numbers, where, planes, missing=missing)
        self.facts = Facts(
            where=where,
            name=_stem(paths, where),
            letters=(*letters, *first.letters),
            shape=(*(len(numbers) for numbers in self._numbers), *first.shape),
            dtype=first.dtype,
            sizes=first.sizes,
            units=first.units,
            channels=first.channels,
            reads=first.reads,
            colours=first.colours,
            positions=() if planes is None else tuple(map(float, self._numbers[planes])),
        )

    def read(self, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return the pixels of a region; raises InputError where a file cannot be decoded."""
        lead = len(self._numbers)
        out = np.empty([piece.stop - piece.start for piece in region], self.facts.dtype)
        for index in np.ndindex(*out.shape[:lead]):
            numbers = tuple(self._numbers[axis][region[axis].start + offset] for axis, offset in enumerate(index))
            source = TiffSource(self._grid[numbers])
            try:
                out[index] = source.read(region[lead:])
            finally:
                source.close()
        return out

    def close(self) -> None:
        """Nothing is open between reads."""


def _grid(paths: list[Path], where: str) -> tuple[dict[tuple[int, ...], Path], tuple[str, ...]]:
    pieces = {path: re.split(r"(\d+)", path.name) for path in paths}
    frames = {tuple(parts[::2]) for parts in pieces.values()}
    if len(frames) > 1:
        odd = sorted(path.name for path in paths)
        raise InputError(
            f"{where}: names differ in more than numbers: {', '.join(odd[:_SHOWN])}.",
            remedy="Choose one series with a pattern, such as 'folder/image_z*.tif'.",
        )
    frame = next(iter(frames))
    count = len(frame) - 1
    moving = [i for i in range(count) if len({parts[2 * i + 1] for parts in pieces.values()}) > 1]
    grid = {tuple(int(parts[2 * i + 1]) for i in moving): path for path, parts in pieces.items()}
    if len(grid) < len(paths):
        raise InputError(f"{where}: two files have the same numbers.", remedy="Choose one series with a pattern.")
    return dict(sorted(grid.items())), tuple(_axis(frame[i]) for i in moving)


def _axis(before: str) -> str:
    word = re.search(r"([A-Za-z]+)[\W_]*$", before)
    return _WORDS.get(word.group(1).lower(), UNKNOWN) if word else UNKNOWN


def _check_complete(
    grid: dict[tuple[int, ...], Path],
    numbers: list[list[int]],
    where: str,
    planes: int | None,
    *,
    missing: MissingPlanes,
) -> None:
    expected = 1
    for place, values in enumerate(numbers):
        gaps = sorted(set(range(values[0], values[-1] + 1)) - set(values))
        steps = {b - a for a, b in itertools.pairwise(values)}
        if len(steps) > 1 and gaps and not (place == planes and missing == "keep"):
            keep = ", or keep the gaps as planes that a model makes up with --missing-planes keep"
            raise InputError(
                f"{where}: number(s) {', '.join(map(str, gaps[:_SHOWN]))} are missing between {values[0]} and "
                f"{values[-1]}.",
                remedy=f"Add the missing files, or choose the others with a pattern{keep * (place == planes)}.",
            )
        expected *= len(values)
    if expected != len(grid):
        raise InputError(
            f"{where}: {expected} combinations of numbers are expected, {len(grid)} files are there.",
            remedy="Add the missing files, or choose the others with a pattern.",
        )


def _facts_of(path: Path) -> Facts:
    source = TiffSource(path)
    source.close()
    return source.facts


def _stem(paths: list[Path], where: str) -> str:
    common = re.split(r"\d+", paths[0].name)[0].strip("_-. ")
    return common or where.rstrip("/").rsplit("/", 1)[-1]
