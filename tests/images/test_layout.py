from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalesr.images import Axis, Channel, ImageLayout, halved_axes, level_steps, pyramid_layout, scaled_geometry

T, C = Axis("t", "time", "second"), Axis("c", "channel")
Z, Y, X = (Axis(name, "space", "micrometer") for name in "zyx")


@given(
    sizes=st.tuples(
        st.integers(1, 3), st.integers(1, 3), st.integers(1, 900), st.integers(1, 900), st.integers(1, 900)
    ),
    scale=st.tuples(*[st.floats(1e-3, 1e3)] * 5),
    origin=st.tuples(*[st.floats(-1e3, 1e3)] * 5),
    smallest=st.integers(1, 300),
)
def test_every_level_covers_the_same_ground(
    sizes: tuple[int, ...], scale: tuple[float, ...], origin: tuple[float, ...], smallest: int
) -> None:
    axes = (T, C, Z, Y, X)
    layout = pyramid_layout(axes=axes, shape=sizes, dtype="uint8", scale=scale, translation=origin, smallest=smallest)
    assert all(n <= smallest for n in layout.levels[-1].shape[2:])
    for number in range(1, len(layout.levels)):
        fine, coarse = layout.levels[number - 1], layout.levels[number]
        steps = level_steps(layout, number)
        assert steps == halved_axes(axes, fine.shape, fine.scale)
        assert not {0, 1} & set(steps)
        for axis in range(5):
            edge_before = fine.translation[axis] - fine.scale[axis] / 2
            edge_after = coarse.translation[axis] - coarse.scale[axis] / 2
            assert edge_after == pytest.approx(edge_before, rel=1e-9, abs=1e-9 * coarse.scale[axis])
            halved = axis in steps
            assert coarse.shape[axis] == (-(-fine.shape[axis] // 2) if halved else fine.shape[axis])
            assert coarse.scale[axis] == fine.scale[axis] * (2 if halved else 1)
    for level in layout.levels:
        assert level.shards is not None
        assert all(shard % chunk == 0 for shard, chunk in zip(level.shards, level.chunks, strict=True))


@given(
    factors=st.tuples(*[st.fractions(Fraction(1, 8), 8).filter(lambda f: f > 0)] * 2),
    size=st.floats(0.01, 100),
    start=st.floats(-50, 50),
)
def test_scaling_keeps_the_outer_edge(factors: tuple[Fraction, ...], size: float, start: float) -> None:
    level = pyramid_layout(
        axes=(Y, X), shape=(8, 8), dtype="uint8", scale=(size, 2 * size), translation=(start, -start)
    ).levels[0]
    scale, origin = scaled_geometry(level, (Y, X), factors)
    for axis, factor in enumerate(factors):
        assert scale[axis] == pytest.approx(level.scale[axis] / factor)
        before = level.translation[axis] - level.scale[axis] / 2
        assert origin[axis] - scale[axis] / 2 == pytest.approx(before, abs=1e-9 * size * 100)


def test_scaling_by_two_moves_the_first_centre_a_quarter_pixel() -> None:
    level = pyramid_layout(axes=(Y, X), shape=(8, 8), dtype="uint8", scale=(1, 4), translation=(0, 10)).levels[0]
    assert scaled_geometry(level, (Y, X), (Fraction(2), Fraction(1))) == ((0.5, 4), (-0.25, 10))
    with pytest.raises(ValueError, match="do not fit"):
        scaled_geometry(level, (Y, X), (Fraction(2),))


def test_thick_slices_are_halved_once_the_pixels_are_as_large() -> None:
    layout = pyramid_layout(
        axes=(Z, Y, X), shape=(100, 2000, 2000), dtype="uint8", scale=(2.0, 0.5, 0.5), translation=(0, 0, 0)
    )
    assert [level_steps(layout, n) for n in range(1, len(layout.levels))] == [(1, 2), (1, 2), (0, 1, 2)]


def test_units_are_compared_as_lengths() -> None:
    axes = (Axis("z", "space", "nanometer"), Y, X)
    assert halved_axes(axes, (9, 9, 9), (500.0, 0.5, 0.5)) == (0, 1, 2)
    # without a unit for each, the numbers are all there is
    assert halved_axes((Axis("z", "space"), Y, X), (9, 9, 9), (500.0, 0.5, 0.5)) == (1, 2)


def test_shards_of_a_block_shrink_with_it() -> None:
    layout = pyramid_layout(
        axes=(Y, X),
        shape=(5000, 5000),
        dtype="uint16",
        scale=(1, 1),
        translation=(0, 0),
        chunks=(256, 256),
        shards=(1024, 1024),
        block_levels=3,
    )
    assert [level.shards for level in layout.levels] == [
        (1024, 1024), (512, 512), (256, 256), (128, 128), (1024, 1024), (1024, 1024)
    ][: len(layout.levels)]  # fmt: skip
    assert [level.chunks for level in layout.levels][:4] == [(256, 256), (256, 256), (256, 256), (128, 128)]
    with pytest.raises(ValueError, match="cannot be halved"):
        pyramid_layout(
            axes=(Y, X), shape=(900, 900), dtype="uint8", scale=(1, 1), translation=(0, 0),
            chunks=(3, 3), shards=(9, 9), block_levels=1,
        )  # fmt: skip
    with pytest.raises(ValueError, match="not multiples"):
        pyramid_layout(
            axes=(Y, X), shape=(9, 9), dtype="uint8", scale=(1, 1), translation=(0, 0), chunks=(2, 2), shards=(9, 9)
        )


def test_json_comes_back_equal() -> None:
    layout = pyramid_layout(
        axes=(C, Y, X),
        shape=(2, 700, 611),
        dtype="float32",
        scale=(1.0, 0.1, 1 / 3),
        translation=(0.0, 0.1 + 0.2, -1e-17),
        channels=(Channel("\u03b2-actin", 0.1, 1e300, "FF00AA"), Channel()),
        name="\u00fc",
    )
    assert ImageLayout.from_json(layout.to_json()) == layout
    assert ImageLayout.from_json(layout.to_json()).to_json() == layout.to_json()
