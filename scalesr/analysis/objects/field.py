"""A field of view as measurements of objects see it: channels first, then two or three axes of space, by region."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from scalesr.engine.pairing import OBJECTS, SAME_PLACE, SAME_SIZE
from scalesr.errors import InputError
from scalesr.images import Image, open_image
from scalesr.images.axes import metres

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source

Region: TypeAlias = tuple[slice, ...]
"""One slice for each axis of space, with a start and a stop inside the field."""
LARGEST = 2**63 - 1


class NoObjectError(InputError):
    """An image of labels, or a whole plate, holds no object."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """An image of channels and space; nothing is read before it is asked for, and nothing is kept."""

    image: Image
    """The image."""
    channel: int | None
    """Which of its axes holds the channels; `None` where it has none."""
    space: tuple[int, ...]
    """Which of its axes are y and x, or z, y and x."""

    @classmethod
    def open(cls, source: Source, *, storage_options: Mapping[str, Any] | None = None) -> Field:
        """Open an image as a field; only metadata is read. An axis z of one plane is no axis of space.

        Raises
        ------
        InputError
            There is no image, or it has several time points or objects, or channels along several axes.
        """
        image = source if isinstance(source, Image) else open_image(source, storage_options=storage_options)
        spatial = [axis for axis in range(image.ndim) if image.axes[axis].kind == "space"]
        space = [axis for axis in spatial[:-2] if image.shape[axis] > 1] + spatial[-2:]
        rest = [axis for axis in range(image.ndim) if axis not in spatial and image.shape[axis] > 1]
        apart = [axis for axis in rest if image.axes[axis].kind == "time" or image.axis_names[axis] == OBJECTS]
        if len(spatial) < 2 or len(rest) > 1 or apart:
            what = ", ".join(f"{name} ({n})" for name, n in zip(image.axis_names, image.shape, strict=True))
            raise InputError(
                f"{image.url} is no single field of view: its axes are {what}.",
                remedy="Give an image of y and x, with z and channels at most; of a time series, one time point; in "
                "place of a stack of objects, the field that they were gathered from.",
            )
        return cls(image=image, channel=rest[0] if rest else None, space=tuple(space))

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis of space."""
        return tuple(self.image.shape[axis] for axis in self.space)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the axes of space."""
        return tuple(self.image.axes[axis].name for axis in self.space)

    @property
    def scale(self) -> tuple[float, ...]:
        """Size of a pixel along each axis of space, each in the unit of that axis."""
        return tuple(self.image.levels[0].scale[axis] for axis in self.space)

    @property
    def origin(self) -> tuple[float, ...]:
        """Centre of the first pixel along each axis of space, each in the unit of that axis."""
        return tuple(self.image.levels[0].translation[axis] for axis in self.space)

    @property
    def aspect(self) -> tuple[float, ...]:
        """Sizes of a pixel relative to the smallest; 1 along all axes where not all units are known lengths."""
        units = [metres(self.image.axes[axis].unit) for axis in self.space]
        if not all(units) and len({self.image.axes[axis].unit for axis in self.space}) > 1:
            return (1.0,) * len(self.space)
        sizes = [size * (unit or 1.0) for size, unit in zip(self.scale, units, strict=True)]
        return tuple(size / min(sizes) for size in sizes)

    @property
    def whole(self) -> Region:
        """The region of all pixels."""
        return tuple(slice(0, n) for n in self.shape)

    @property
    def channels(self) -> int:
        """How many channels there are; 1 where no axis holds them."""
        return 1 if self.channel is None else self.image.shape[self.channel]

    @property
    def channel_names(self) -> tuple[str, ...]:
        """One for each channel: its label, or its number where labels are absent or repeat."""
        labels = [channel.label for channel in self.image.channels]
        known = len(labels) == self.channels and all(labels) and len(set(labels)) == len(labels)
        return tuple(str(label) for label in labels) if known else tuple(map(str, range(self.channels)))

    def numbers(self, channels: Sequence[int | str] | None) -> tuple[int, ...]:
        """Return the numbers of channels that are given by number or by name; all when `None`.

        Raises
        ------
        InputError
            There is no such channel, or one is named twice.
        """
        if channels is None:
            return tuple(range(self.channels))
        known = dict(zip(self.channel_names, range(self.channels), strict=True))
        found = tuple(channel if isinstance(channel, int) else known.get(channel, -1) for channel in channels)
        if any(not 0 <= number < self.channels for number in found) or len(set(found)) < len(found):
            raise InputError(
                f"{self.image.url} has the channels {', '.join(self.channel_names)}; {list(channels)} were asked for.",
                remedy=f"Name each channel once, or give numbers from 0 to {self.channels - 1}.",
            )
        return found

    def read(self, region: Region, channel: int = 0) -> NDArray[Any]:
        """Return one channel of a region, shape (y, x) or (z, y, x), in the image's number format.

        Raises
        ------
        StorageError
            A chunk cannot be read.
        """
        where = [slice(0, 1)] * self.image.ndim
        for axis, part in zip(self.space, region, strict=True):
            where[axis] = part
        if self.channel is not None:
            where[self.channel] = slice(channel, channel + 1)
        shape = tuple(part.stop - part.start for part in region)
        order = tuple(axis for axis in range(self.image.ndim) if axis not in self.space) + self.space
        return np.ascontiguousarray(self.image.read(tuple(where)).transpose(order).reshape(shape))

    def read_labels(self, region: Region) -> NDArray[np.int64]:
        """Return the labels of a region.

        Raises
        ------
        InputError
            A label is negative, or beyond 64-bit integers with a sign.
        """
        pixels = self.read(region)
        if pixels.size and (int(pixels.max()) > LARGEST or int(pixels.min()) < 0):
            raise InputError(
                f"{self.image.url} has labels from {int(pixels.min())} to {int(pixels.max())}.",
                remedy="Number the objects from 1, and give 0 to what belongs to none.",
            )
        return pixels.astype(np.int64)


def open_label_field(source: Source, *, storage_options: Mapping[str, Any] | None = None) -> Field:
    """Open an image of labels: one whole number for each pixel, 0 where it belongs to no object.

    Raises
    ------
    InputError
        There is no such image, the pixels are floats, or there are several channels.
    """
    try:
        field = Field.open(source, storage_options=storage_options)
    except InputError as error:
        raise InputError(
            f"There are no labels to use: {error.problem}",
            remedy="Make some with `scalesr objects label`, or say where they are with --labels or --name.",
        ) from error
    if field.channels > 1 or field.image.dtype.kind not in "iu":
        raise InputError(
            f"{field.image.url} has {field.channels} channel(s) of {field.image.dtype}, and labels are one of "
            "integers.",
            remedy="Give an image with one whole number for each pixel, or make one with `scalesr objects label`.",
        )
    return field


def no_object(labels: Field) -> NoObjectError:
    """Return the error that an image of labels holds no object."""
    return NoObjectError(
        f"{labels.image.url} labels no object: all its {math.prod(labels.shape)} pixels are 0.",
        remedy="Leave out empty fields, or label with a lower threshold.",
    )


def check_grid(labels: Field, field: Field) -> None:
    """Refuse an image whose pixels are not those of the labels, in number, size and place, told in physical units.

    Raises
    ------
    InputError
        They are not.
    """
    remedy = "Label the image itself, or resample one to the other's grid."
    if labels.shape != field.shape:
        raise InputError(
            f"{labels.image.url} has {labels.shape} pixels along {', '.join(labels.names)}, and {field.image.url} has "
            f"{field.shape}.",
            remedy=remedy,
        )
    for k, name in enumerate(labels.names):
        units = [metres(each.image.axes[each.space[k]].unit) for each in (labels, field)]
        factor = units[1] / units[0] if units[0] and units[1] else 1.0
        pixel, other = labels.scale[k], field.scale[k] * factor
        gap = abs(labels.origin[k] - field.origin[k] * factor)
        if abs(other / pixel - 1) > SAME_SIZE or gap > SAME_PLACE * pixel:
            raise InputError(
                f"Along {name} {labels.image.url} begins at {labels.origin[k]:g} with pixels of {pixel:g}, and "
                f"{field.image.url} at {field.origin[k] * factor:g} with pixels of {other:g}.",
                remedy=remedy,
            )
