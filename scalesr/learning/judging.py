"""What a network is judged by: images that are named for it, or a part of those that it is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from scalesr.learning.sources import hold_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.learning.sources import Source

Judged = Literal["given images", "held-out strips", "held-out objects", "training pixels"]
"""What the validation looks at. The last is for images too small to hold anything out."""


def judges(
    sources: Sequence[Source], validation: Sequence[Source] | None
) -> tuple[Sequence[Source], Sequence[Source], Judged]:
    """Return what to train on, what to validate on, and what that is.

    Parameters
    ----------
    sources
        What there is to train on.
    validation
        What to validate on. Without it a strip of each source is held out, see `hold_out`; where all of them are too
        small, the network is validated on what it is trained on.
    """
    if validation is not None:
        return sources, validation, "given images"
    train, strips = hold_out(sources)
    return (train, strips, "held-out strips") if strips else (sources, sources, "training pixels")
