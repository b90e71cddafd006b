"""A pixel of a phantom does not depend on the region that it is made with."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalesr.errors import InputError
from scalesr.phantoms import Phantom, cells, degrade, spectral_cube, volume

if TYPE_CHECKING:
    from collections.abc import Callable

FAR = 3_000_000_000
"""Longer than 32 bits can count."""

MAKERS: dict[str, Callable[[int], Phantom]] = {
    "nuclei": lambda seed: cells((FAR, FAR), seed=seed, pitch=14.0, stain="nuclei"),
    "cells": lambda seed: cells((FAR, FAR), seed=seed, pitch=14.0),
    "cytoplasm": lambda seed: cells((FAR, FAR, FAR), seed=seed, pitch=9.0, stain="cytoplasm"),
    "spectral_cube": lambda seed: spectral_cube((40, FAR, FAR), seed=seed, pitch=12.0),
    "volume": lambda seed: volume((FAR, FAR, FAR), seed=seed, pitch=8.0),
    "degraded": lambda seed: degrade(cells((FAR, FAR), seed=seed, pitch=30.0), factor=(2, 3), photons=30.0, seed=seed),
    "dim": lambda seed: degrade(spectral_cube((40, FAR, FAR), seed=seed), factor=(1, 4, 4), photons=0.2, seed=seed),
}


@dataclass(frozen=True)
class Cut:
    """A region, and where to cut it along each axis."""

    region: tuple[slice, ...]
    at: tuple[tuple[int, ...], ...]


@st.composite
def cuts(draw: st.DrawFn, phantom: Phantom) -> Cut:
    region, at = [], []
    for length in phantom.shape:
        extent = draw(st.integers(1, min(length, 20)))
        start = draw(st.one_of(st.integers(0, 60), st.integers(0, length - extent))) if length > 100 else 0
        region.append(slice(start, start + extent))
        inner = draw(st.lists(st.integers(1, extent), max_size=2, unique=True)) if extent > 1 else []
        at.append(tuple(sorted({start, start + extent, *(start + i for i in inner)})))
    return Cut(tuple(region), tuple(at))


@pytest.mark.parametrize("kind", MAKERS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_a_region_is_the_same_bits_however_it_is_cut(kind: str, data: st.DataObject) -> None:
    phantom = MAKERS[kind](data.draw(st.integers(0, 2**62)))
    cut = data.draw(cuts(phantom))
    whole = phantom.region(cut.region)
    assert whole.dtype == np.float32
    assert whole.shape == tuple(part.stop - part.start for part in cut.region)
    assert np.isfinite(whole).all()
    for corner in itertools.product(*(itertools.pairwise(points) for points in cut.at)):
        piece = phantom.region(tuple(slice(*ends) for ends in corner))
        inside = tuple(
            slice(start - r.start, stop - r.start) for (start, stop), r in zip(corner, cut.region, strict=True)
        )
        np.testing.assert_array_equal(piece, whole[inside])


@pytest.mark.parametrize("kind", MAKERS)
def test_the_seed_decides(kind: str) -> None:
    region = [slice(100, 140) if length > 100 else slice(0, 5) for length in MAKERS[kind](0).shape]
    first, again, other = (MAKERS[kind](seed).region(region) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.2


@pytest.mark.parametrize("kind", MAKERS)
def test_every_phantom_keeps_the_protocol(kind: str) -> None:
    phantom = MAKERS[kind](0)
    assert isinstance(phantom, Phantom)
    assert len(phantom.axes) == len(phantom.shape)
    assert set(phantom.axes) <= set("tczyx")


def test_the_shape_of_the_image_changes_no_pixel() -> None:
    where = (slice(10, 50), slice(20, 60))
    np.testing.assert_array_equal(cells((64, 64), seed=5).region(where), cells((999, 4000), seed=5).region(where))


@pytest.mark.parametrize(
    ("slices", "said"),
    [
        ((slice(0, 4),), "1 axes was asked of a phantom of 2"),
        ((slice(0, 4), slice(5, 65)), "5:65:1 of axis 1"),
        ((slice(-1, 4), slice(0, 4)), "-1:4:1 of axis 0"),
        ((slice(3, 3), slice(0, 4)), "3:3:1 of axis 0"),
        ((slice(0, 4, 2), slice(0, 4)), "0:4:2 of axis 0"),
    ],
)
def test_a_region_outside_is_refused(slices: tuple[slice, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        cells((64, 64)).region(slices)


def test_open_slices_mean_all() -> None:
    assert cells((9, 7)).region((slice(None), slice(3, None))).shape == (9, 4)


@pytest.mark.parametrize("shape", [(4,), (4, 0), (2, 2, 2, 2)])
def test_a_shape_that_is_none_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="cannot have the shape"):
        cells(shape)


def test_phantoms_need_numpy_alone() -> None:
    heavy = "{'torch', 'zarr', 'dask', 'scipy', 'skimage'}"
    code = f"import sys, scalesr.phantoms; assert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ})
