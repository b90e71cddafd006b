"""Reading a region of an array that lies in a file uncompressed and in one piece."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def read_rows(
    path: Path, region: tuple[slice, ...], *, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int
) -> NDArray[Any]:
    """Return a region, read row by row; no more memory is touched than the region has.

    Mapping the file would be shorter to write, but then the pages around each row count as this process's memory.

    Parameters
    ----------
    path
        The file.
    region
        One slice for each axis, within the shape.
    shape, dtype, offset
        The array in the file, the last axis fastest, in the byte order of the file.

    Raises
    ------
    InputError
        The file ends before the region does, or cannot be read.
    """
    out = np.empty([piece.stop - piece.start for piece in region], dtype)
    if out.size == 0:
        return out
    steps = [math.prod(shape[axis + 1 :]) * dtype.itemsize for axis in range(len(shape))]
    # Trailing axes that are taken whole lie in one run with the axis before them.
    run = len(shape) - 1
    while run > 0 and region[run].start == 0 and region[run].stop == shape[run]:
        run -= 1
    base = offset + sum(piece.start * step for piece, step in zip(region, steps, strict=True))
    target = out.reshape(-1).view(np.uint8).data
    length = math.prod(out.shape[run:]) * dtype.itemsize
    try:
        with path.open("rb", buffering=0) as file:
            for number, index in enumerate(np.ndindex(*out.shape[:run])):
                file.seek(base + sum(i * step for i, step in zip(index, steps, strict=False)))
                done = 0
                while done < length:
                    got = file.readinto(target[number * length + done : (number + 1) * length])
                    if not got:
                        raise InputError(f"{path} is cut short.", remedy="Copy the file again.")
                    done += got
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}.", remedy="Check the disk and the permissions.") from error
    return out
