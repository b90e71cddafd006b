from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalesr.images import StatisticsAccumulator, image_statistics, open_image

if TYPE_CHECKING:
    from pathlib import Path

QUANTILES = [0, 0.1, 1, 33.3, 50, 99.9, 100]
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int64", "float16", "float32", "float64"]


@given(data=st.data(), dtype=st.sampled_from(DTYPES[:4]))
def test_small_integers_are_exact(data: st.DataObject, dtype: str) -> None:
    values = data.draw(hnp.arrays(dtype, st.integers(1, 60)))
    found = StatisticsAccumulator(dtype).update(values).finalize()
    assert (found.min, found.max, found.count) == (values.min(), values.max(), values.size)
    for q in QUANTILES:
        assert found.percentile(q) == pytest.approx(np.percentile(values.astype(float), q), rel=1e-12, abs=1e-9)


@given(data=st.data(), dtype=st.sampled_from(DTYPES))
def test_any_cut_and_any_order_give_the_same(data: st.DataObject, dtype: str) -> None:
    values = data.draw(hnp.arrays(dtype, st.integers(0, 40)))
    whole = StatisticsAccumulator(dtype).update(values)
    cuts = sorted(data.draw(st.lists(st.integers(0, values.size), max_size=4)))
    parts = [values[a:b] for a, b in itertools.pairwise([0, *cuts, values.size])]
    merged = StatisticsAccumulator(dtype)
    for part in data.draw(st.permutations(parts)):
        stored = json.loads(json.dumps(StatisticsAccumulator(dtype).update(part).to_dict()))
        merged.merge(StatisticsAccumulator.from_dict(stored))
    assert merged.to_dict() == whole.to_dict()
    assert whole.finalize().count == values.size


@given(
    values=hnp.arrays("float32", st.integers(1, 60), elements=st.floats(width=32, allow_nan=True, allow_infinity=True))
)
def test_floats_are_counted_to_a_bucket(values: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    found = StatisticsAccumulator("float32").update(values).finalize()
    finite = values[np.isfinite(values)]
    assert found.nan_count == np.isnan(values).sum()
    assert found.inf_count == np.isinf(values).sum()
    if not finite.size:
        assert found.min is None
        with pytest.raises(ValueError, match="finite"):
            found.percentile(50)
        return
    assert (found.min, found.max) == (finite.min(), finite.max())
    ordered = np.sort(finite).astype(float)
    for rank in range(finite.size):
        exact = ordered[rank]
        assert found._value(rank) == pytest.approx(exact, rel=2**-7, abs=2**-132)
    percentiles = [found.percentile(q) for q in QUANTILES]
    assert percentiles == sorted(percentiles)


def test_large_integers_and_doubles_stay_in_range() -> None:
    for values in (np.array([-(2**63), 0, 2**63 - 1]), np.array([-1e300, 0.0, 1e300]), np.array([0, 2**64 - 1], "u8")):
        found = StatisticsAccumulator(values.dtype).update(values).finalize()
        assert found.inf_count == 0
        assert found.percentile(0) == pytest.approx(float(values.min()), rel=0.01) or values.dtype == float
        assert found.min == values.min()
        assert found.max == values.max()


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="order"):
        StatisticsAccumulator("complex64")
    with pytest.raises(ValueError, match="merge"):
        StatisticsAccumulator("uint8").merge(StatisticsAccumulator("uint16"))
    with pytest.raises(ValueError, match="0 to 100"):
        StatisticsAccumulator("uint8").update(np.zeros(1, "u1")).finalize().percentile(101)


def test_of_an_image_and_of_a_region(data: Path) -> None:
    image = open_image(data / "omezarr/nextflow_plk1/xy_8bit__nuclei_PLK1_control.ome.zarr")
    pixels = np.asarray(image.array(0)[:])
    found = image_statistics(image, level=0)
    assert found.count == pixels.size
    assert (found.min, found.max) == (pixels.min(), pixels.max())
    assert found.percentile(99.9) == pytest.approx(np.percentile(pixels, 99.9))
    region = (slice(0, 1), slice(0, 1), slice(0, 1), slice(100, 300), slice(7, 650))
    part = image_statistics(image, level=0, region=region)
    assert part.percentile(50) == np.percentile(pixels[region], 50)
    assert part.count == pixels[region].size
