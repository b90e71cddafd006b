"""Cubic interpolation of blocks: that of the model, and the same bits wherever an image is cut."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scalesr.errors import ModelError
from scalesr.models import kernels
from scalesr.models.baselines import Interpolation
from scalesr.models.enlarging import cubic

scales = st.sampled_from([Fraction(4), Fraction(2), Fraction(3), Fraction(3, 2), Fraction(48, 13), Fraction(1)])


def context_of(scale: Fraction) -> int:
    return math.ceil(kernels.receptive("cubic", scale) / scale.denominator) * scale.denominator


@given(scale=st.tuples(scales, scales), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_it_is_that_of_the_model(scale: tuple[Fraction, Fraction], seed: int) -> None:
    context = [context_of(factor) for factor in scale]
    shape = [2 * near + 3 * factor.denominator for near, factor in zip(context, scale, strict=True)]
    low = np.random.default_rng(seed).standard_normal((3, *shape)).astype(np.float32)
    model = Interpolation("cubic", axes="yx", scale=scale)
    expected = model(torch.from_numpy(low)[:, None], torch.zeros(3, 2, dtype=torch.int64))[:, 0].numpy()
    rims = [int(near * factor) for near, factor in zip(context, scale, strict=True)]
    inside = expected[:, rims[0] : expected.shape[1] - rims[0], rims[1] : expected.shape[2] - rims[1]]
    found = cubic(low, scale=scale, context=context)
    assert found.dtype == np.float64
    assert found.flags.c_contiguous
    np.testing.assert_allclose(found, inside, atol=1e-6)


@given(data=st.data(), scale=st.tuples(scales, scales), width=st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_any_cut_gives_the_same_bits(data: st.DataObject, scale: tuple[Fraction, Fraction], width: int) -> None:
    context = [context_of(factor) for factor in scale]
    periods = (data.draw(st.integers(1, 9)), max(1, width // scale[1].denominator))
    shape = [2 * n + p * f.denominator for n, p, f in zip(context, periods, scale, strict=True)]
    low = np.random.default_rng(width).standard_normal((data.draw(st.integers(1, 5)), *shape))
    whole = cubic(low, scale=scale, context=context)
    cut: list[slice] = []
    source: list[slice] = []
    for n, p, f in zip(context, periods, scale, strict=True):
        first = data.draw(st.integers(0, p - 1))
        last = data.draw(st.integers(first + 1, p))
        source.append(slice(first * f.denominator, last * f.denominator + 2 * n))
        cut.append(slice(first * f.numerator, last * f.numerator))
    band = data.draw(st.integers(0, len(low) - 1))
    part = cubic(low[(slice(band, band + 1), *source)], scale=scale, context=context)
    assert part.tobytes() == whole[(slice(band, band + 1), *cut)].tobytes()


def test_larger_than_what_is_worked_on_at_a_time() -> None:
    low = np.random.default_rng(0).standard_normal((3, 70, 300))
    scale, context = (Fraction(4), Fraction(4)), (2, 2)
    whole = cubic(low, scale=scale, context=context)
    for y in range(0, 66, 11):
        for x in range(0, 296, 37):
            part = cubic(low[:, y : y + 15, x : x + 41], scale=scale, context=context)
            assert part.tobytes() == whole[:, 4 * y : 4 * y + 44, 4 * x : 4 * x + 148].tobytes()


@given(scale=scales)
@settings(deadline=None)
def test_quadratics_are_reproduced(scale: Fraction) -> None:
    near = context_of(scale)
    length = 5 * scale.denominator
    position = np.arange(-near, length + near, dtype=np.float64)
    found = cubic((position**2)[None], scale=(scale,), context=(near,))[0]
    where = (np.arange(math.floor(length * scale)) + 0.5) / float(scale) - 0.5
    np.testing.assert_allclose(found, where**2, atol=1e-10 * max(1, length**2))


def test_volumes_and_scales_of_one() -> None:
    low = np.random.default_rng(3).standard_normal((2, 9, 8, 7))
    found = cubic(low, scale=(Fraction(2), Fraction(1), Fraction(4)), context=(2, 2, 2))
    assert found.shape == (2, 10, 4, 12)
    plane = cubic(low[:, :, 3], scale=(Fraction(2), Fraction(4)), context=(2, 2))
    assert found[:, :, 1].tobytes() == plane.tobytes()


def test_zeros_stay_zeros_without_a_sign() -> None:
    found = cubic(-np.zeros((1, 7, 8)), scale=(Fraction(4), Fraction(4)), context=(2, 2))
    assert not found.any()
    assert not np.signbit(cubic(np.zeros((1, 7, 8)), scale=(Fraction(4), Fraction(4)), context=(2, 2))).any()


@pytest.mark.parametrize(("scale", "context"), [(Fraction(4), 1), (Fraction(3, 2), 3), (Fraction(48, 13), 0)])
def test_a_context_that_does_not_fit_is_refused(scale: Fraction, context: int) -> None:
    with pytest.raises(ModelError, match="on either side") as caught:
        cubic(np.zeros((1, 40)), scale=(scale,), context=(context,))
    assert caught.value.remedy
