"""Planes go to their rows, and slices go back to where they were cut."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scalesr.errors import ModelError
from scalesr.msdsr.slicing import Slicing, canvas


def volume(*shape: int) -> torch.Tensor:
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape)


@pytest.mark.parametrize(
    ("scale", "rows"),
    [(Fraction(4), [0, 4, 8, 12]), (Fraction(5, 2), [0, 3, 5, 8]), (Fraction(3, 2), [0, 2, 3, 5])],
)
def test_planes_lie_at_their_rows(scale: Fraction, rows: list[int]) -> None:
    tiles = volume(2, 3, 4, 5, 6)
    placed = canvas(tiles, scale=scale)
    assert placed.values.shape == (2, 3, 4 * scale, 5, 6)
    torch.testing.assert_close(placed.values[:, :, rows], tiles, rtol=0, atol=0)
    assert placed.known[:, 0].any(dim=(0, 2, 3)).nonzero().flatten().tolist() == rows
    assert placed.values.sum() == tiles.sum()


def test_what_lacks_a_channel_is_unknown_in_all() -> None:
    tiles = volume(1, 2, 2, 3, 3)
    tiles[0, 1, 0, 1, 2] = torch.nan
    placed = canvas(tiles, scale=Fraction(2))
    assert placed.known[0, 0, 0, 1, 2] == 0
    assert placed.values[0, :, 0, 1, 2].tolist() == [0, 0]
    assert placed.known.sum() == 2 * 9 - 1
    assert placed.values.isfinite().all()


def test_planes_that_end_between_rows_are_refused() -> None:
    with pytest.raises(ModelError, match="3 planes") as caught:
        canvas(volume(1, 1, 3, 2, 2), scale=Fraction(5, 2))
    assert "multiple of 2" in caught.value.remedy


@given(
    tiles=st.integers(1, 3),
    orientation=st.sampled_from(["xz", "yz"]),
    sizes=st.tuples(*[st.integers(1, 7)] * 3),
    multiple=st.sampled_from([1, 4, 8]),
    data=st.data(),
)
def test_slices_go_back_to_where_they_were_cut(
    tiles: int, orientation: Literal["xz", "yz"], sizes: tuple[int, int, int], multiple: int, data: st.DataObject
) -> None:
    rows, height, width = sizes
    across, columns = (height, width) if orientation == "xz" else (width, height)
    start = data.draw(st.integers(0, across - 1))
    part = range(start, data.draw(st.integers(start + 1, across)))
    slicing = Slicing(orientation=orientation, tiles=tiles, part=part, rows=rows, columns=columns, multiple=multiple)
    whole = volume(tiles, 2, rows, height, width)
    slices = slicing.cut(whole)
    assert slices.shape == (slicing.count, 2, *slicing.shape)
    assert all(edge % multiple == 0 for edge in slicing.shape)
    wanted = whole[:, :, :, part.start : part.stop] if orientation == "xz" else whole[..., part.start : part.stop]
    assert torch.equal(slicing.join(slices), wanted)


def test_slices_are_continued_by_reflection() -> None:
    slicing = Slicing(orientation="xz", tiles=1, part=range(1), rows=3, columns=2, multiple=4)
    image = slicing.cut(volume(1, 1, 3, 1, 2))[0, 0]
    assert image[:, 0].tolist() == [0, 2, 4, 2]
    assert image[0].tolist() == [0, 1, 0, 1]
