"""What the header Range means, against the words of RFC 9110."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalesr.viewer.ranges import OutOfRangeError, asked_range

SIZES = st.integers(0, 50)


@given(size=SIZES, first=st.integers(0, 60), more=st.integers(0, 60))
def test_first_to_last(size: int, first: int, more: int) -> None:
    content = bytes(range(size))
    header = f"bytes={first}-{first + more}"
    if first >= size:
        with pytest.raises(OutOfRangeError):
            asked_range(header, size)
        return
    part = asked_range(header, size)
    assert part is not None
    assert content[part.start : part.stop] == content[first : first + more + 1]


@given(size=SIZES, first=st.integers(0, 60))
def test_from_first_to_the_end(size: int, first: int) -> None:
    if first >= size:
        with pytest.raises(OutOfRangeError):
            asked_range(f"bytes={first}-", size)
    else:
        assert asked_range(f"bytes={first}-", size) == range(first, size)


@given(size=SIZES, count=st.integers(0, 60))
def test_the_end(size: int, count: int) -> None:
    content = bytes(range(size))
    if not count or not size:
        with pytest.raises(OutOfRangeError):
            asked_range(f"bytes=-{count}", size)
        return
    part = asked_range(f"bytes=-{count}", size)
    assert part is not None
    assert content[part.start : part.stop] == content[-count:]


@pytest.mark.parametrize(
    "header", [None, "", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,4-5", "items=0-1", "bytes=a-b", "bytes=\u0661-"]
)
def test_what_is_no_single_range_means_everything(header: str | None) -> None:
    assert asked_range(header, 10) is None
