"""What all fields of a plate have in common, without which they could not go through one model in one way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalesr.engine.planning import channel_axis
from scalesr.errors import InputError

if TYPE_CHECKING:
    from scalesr.images import Image, Plate

_REMEDY = "Leave it out with --fields, or write it as the others are."


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Axes, number format and channels. Shapes may differ."""

    field: str
    """Path of the field that they are those of."""
    axes: tuple[str, ...]
    """Names of the axes."""
    dtype: str
    """Name of the number format."""
    channels: int
    """How many channels there are."""
    labels: tuple[str | None, ...]
    """Their names, as far as the image tells."""

    @classmethod
    def of(cls, path: str, image: Image) -> Kind:
        """Return the kind of a field."""
        axis = channel_axis(image.axes)
        channels = 1 if axis is None else image.shape[axis]
        labels = tuple(channel.label for channel in image.channels)
        return cls(
            field=path,
            axes=image.axis_names,
            dtype=image.dtype.name,
            channels=channels,
            labels=labels if len(labels) == channels else (None,) * channels,
        )

    def check(self, path: str, image: Image) -> None:
        """Refuse a field of another kind.

        A channel that has no name in one of both is taken for the same.

        Raises
        ------
        InputError
            Its axes, number format or channels are others, or its channels come in another order.
        """
        own = Kind.of(path, image)
        if own.axes != self.axes or own.dtype != self.dtype:
            raise InputError(
                f"The field {path} has the axes {''.join(own.axes)} and holds {own.dtype}; {self.field} has "
                f"{''.join(self.axes)} and holds {self.dtype}.",
                remedy=_REMEDY,
            )
        if own.channels != self.channels:
            raise InputError(
                f"The field {path} has {own.channels} channel{'s' if own.channels > 1 else ''}{_listed(own)}; "
                f"{self.field} has {self.channels}{_listed(self)}.",
                remedy=_REMEDY,
            )
        if any(mine and first and mine != first for mine, first in zip(own.labels, self.labels, strict=True)):
            what = "its channels in another order" if set(own.labels) == set(self.labels) else "other channels"
            raise InputError(
                f"The field {path} has {what}{_listed(own)} than {self.field}{_listed(self)}.", remedy=_REMEDY
            )


def first_of(plate: Plate) -> tuple[Kind, Image]:
    """Return the first field of a plate that can be opened, which says what the others must be like.

    Raises
    ------
    InputError
        None can.
    """
    first: InputError | None = None
    for path in plate.fields:
        try:
            image = plate.open_field(path)
        except InputError as error:
            first = first or error
            continue
        return Kind.of(path, image), image
    problem = first.problem if first is not None else "it has none"
    raise InputError(
        f"No field of the plate {plate.url} can be opened: {problem}", remedy="Copy the plate again, with its images."
    )


def _listed(kind: Kind) -> str:
    if not any(kind.labels):
        return ""
    return f" ({', '.join(label or '?' for label in kind.labels)})"
