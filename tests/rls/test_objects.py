"""What is held out of stacks: every eighth object, all of it and nothing else."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scalesr.learning import ArraySource
from scalesr.rls.objects import SHARE, Part, judges_of_objects


def numbered(objects: int, channels: int, *, edge: int = 4) -> ArraySource:
    """Return objects whose pixels say which plane they are of."""
    planes = objects * channels
    pixels = np.broadcast_to(np.arange(planes, dtype=np.float32)[:, None, None], (planes, edge, edge))
    return ArraySource(pixels, normalise="none")


def planes_of(source: Part) -> list[int]:
    return [int(source.read(plane, slice(0, 1), slice(0, 1))[0, 0]) for plane in range(source.shape[0])]


@given(objects=st.integers(SHARE, 60), channels=st.integers(1, 3))
def test_the_parts_are_the_whole(objects: int, channels: int) -> None:
    source = numbered(objects, channels)
    taught = Part(source=source, channels=channels, kind="taught")
    held = Part(source=source, channels=channels, kind="held out")
    assert sorted(planes_of(taught) + planes_of(held)) == list(range(objects * channels))
    assert len(planes_of(held)) == objects // SHARE * channels
    # Channels of an object stay together.
    for part in (taught, held):
        found = np.reshape(planes_of(part), (-1, channels))
        assert (found // channels == found[:, :1] // channels).all()
    assert taught.identity != held.identity


def test_what_is_judged_depends_on_what_there_is() -> None:
    stack, field, small = numbered(16, 2), numbered(1, 2, edge=200), numbered(2, 2)
    sources, judges, kind = judges_of_objects([stack], None, channels=2, edge=4)
    assert kind == "held-out objects"
    assert [each.shape[0] for each in (*sources, *judges)] == [28, 4]
    assert "objects held out" in judges[0].name
    assert judges[0].weight == stack.weight
    sources, judges, kind = judges_of_objects([field], None, channels=2, edge=4)
    assert kind == "held-out strips"
    assert [each.shape for each in (*sources, *judges)] == [(2, 136, 200), (2, 64, 200)]
    assert judges_of_objects([small], None, channels=2, edge=4) == ([small], [small], "training pixels")
    assert judges_of_objects([stack], [small], channels=2, edge=4)[2] == "given images"
    # A stack brings judges for those that are too small.
    sources, judges, kind = judges_of_objects([small, stack], None, channels=2, edge=4)
    assert (len(sources), len(judges), kind) == (2, 1, "held-out objects")
