"""Images of one size only, such as stacks of objects: whether an image is of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalesr.errors import InputError

if TYPE_CHECKING:
    from scalesr.engine.planning import Subject
    from scalesr.models import ModelSpec


def check_extent(subject: Subject, spec: ModelSpec) -> None:
    """Refuse an image whose objects are not of the size that a model takes.

    Raises
    ------
    InputError
        They have another number of pixels along an axis.
    """
    if spec.extent is None:
        return
    there = dict(zip((axis.name for axis in subject.axes), subject.shape, strict=True))
    wanted = {name: size for name, size in zip(spec.axes, spec.extent, strict=True) if size is not None}
    wrong = {name: there[name] for name, size in wanted.items() if there[name] != size}
    if wrong:
        made = {
            name: int(size * factor)
            for name, size, factor in zip(spec.axes, spec.extent, spec.scale, strict=True)
            if size is not None
        }
        raise InputError(
            f"{subject.name} has {_said({name: there[name] for name in wanted})} px; the model {spec.name!r} takes "
            f"{_said(wanted)} px and makes {_said(made)} px of them.",
            remedy="Gather objects in crops of that size, or use a model of another size or scale.",
        )


def _said(sizes: dict[str, int]) -> str:
    return f"{' x '.join(map(str, sizes.values()))} ({', '.join(sizes)})"
