"""Over each input pixel the output has, on average, what was measured there; zero stays zero."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from engine.conftest import voxels
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.torch import save_file

import scalesr
from scalesr.engine.flux import Corrected, choose_flux, conserve
from scalesr.errors import LedgerError, ModelError, PlanError
from scalesr.models import load, resolve
from scalesr.models.edsr import EDSR

if TYPE_CHECKING:
    from pathlib import Path

    from engine.conftest import MakeImage
    from numpy.typing import NDArray

SMALL: dict[str, Any] = {"cell": 16, "halo": 8, "scheduler": "serial", "flux": "conserved"}


def means(out: NDArray[Any], scale: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the mean over each input pixel."""
    split = [part for size, step in zip(out.shape, scale, strict=True) for part in (size // step, step)]
    found: NDArray[np.float64] = out.astype(np.float64).reshape(split).mean(axis=tuple(range(1, len(split), 2)))
    return found


def deviation(out: NDArray[Any], pixels: NDArray[Any], scale: tuple[int, ...]) -> float:
    """Return the largest relative deviation of the mean over an input pixel from the pixel."""
    there = pixels != 0
    assert (means(out, scale)[~there] == 0).all()
    return float((np.abs(means(out, scale) - pixels)[there] / np.abs(pixels[there].astype(float))).max())


@st.composite
def cases(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, ...]]:
    """Draw voxels, input pixels and a scale."""
    scale = draw(st.tuples(*[st.integers(1, 4)] * draw(st.integers(1, 3))))
    shape = draw(st.tuples(*[st.integers(1, 4)] * len(scale)))
    numbers = st.floats(-1e6, 1e6).map(lambda x: x if abs(x) > 1e-6 else 0.0)
    measured = draw(arrays.arrays(np.float64, shape, elements=numbers))
    values = draw(arrays.arrays(np.float64, tuple(n * s for n, s in zip(shape, scale, strict=True)), elements=numbers))
    return values, measured, scale


@given(cases())
def test_the_mean_is_what_was_measured(case: Any) -> None:
    values, measured, scale = case
    before = values.copy()
    corrected = conserve(values, measured, scale)
    # Below zero a number is added, so that what is lost to rounding goes with the largest value.
    bound = np.maximum(np.abs(measured), np.where(measured < 0, np.abs(before).max(), 0))
    assert (np.abs(means(values, scale) - measured) <= 1e-12 * bound).all()
    grown = np.kron(measured, np.ones(scale))
    assert (values[grown >= 0] >= 0).all()
    assert (values[grown == 0] == 0).all()
    assert corrected.negative == np.count_nonzero((grown >= 0) & (before < 0))
    empty = means(np.maximum(before, 0), scale) == 0
    assert corrected.flat == np.count_nonzero(empty & (measured > 0))


@given(cases(), st.integers(1, 4))
def test_the_same_bits_for_any_cut(case: Any, rows: int) -> None:
    values, measured, scale = case
    whole, pieces = values.copy(), values.copy()
    expected = conserve(whole, measured, scale)
    found = Corrected()
    for start in range(0, len(measured), rows):
        part = slice(start * scale[0], (start + rows) * scale[0])
        # In another order in memory as well.
        piece = np.asfortranarray(pieces[part])
        found += conserve(piece, measured[start : start + rows], scale)
        pieces[part] = piece
    assert whole.tobytes() == pieces.tobytes()
    assert found == expected


@given(cases())
def test_conserving_twice_changes_nothing_more(case: Any) -> None:
    values, measured, scale = case
    conserve(values, measured, scale)
    again = values.copy()
    assert conserve(again, measured, scale) == Corrected()
    np.testing.assert_allclose(again, values, rtol=1e-12, atol=1e-8)


def test_what_is_missing_is_left_alone() -> None:
    values = np.array([[1.0, -2.0, 3.0, 5.0]])
    conserve(values, np.array([[np.nan, 8.0]]), (1, 2))
    np.testing.assert_array_equal(values, [[1.0, -2.0, 6.0, 10.0]])


def test_a_vanishing_sum_becomes_flat() -> None:
    values = np.array([[5e-324, 0.0, 1.0, 3.0]])
    assert conserve(values, np.array([[7.0, 2.0]]), (1, 2)) == Corrected(flat=1)
    np.testing.assert_array_equal(values, [[7.0, 7.0, 1.0, 3.0]])


@pytest.mark.parametrize("blend", [0, 5])
@pytest.mark.parametrize("block", [1, 3])
def test_a_run_conserves_the_flux(
    make_image: MakeImage, speckle: NDArray[np.uint16], edsr: Path, tmp_path: Path, blend: int, block: int
) -> None:
    pixels = (speckle.astype(np.float32) - 1500).clip(0)
    pixels[20:37, 30:41] = 0
    image = make_image(pixels)
    result = scalesr.run(image, tmp_path / "out.zarr", model=str(edsr), blend=blend, block=block, **SMALL)
    out = voxels(result.image)
    assert deviation(out, pixels, (2, 2)) < 1e-6
    assert out.min() == 0
    assert (out[40:74, 60:82] == 0).all()
    assert result.corrected.negative > 0
    free = voxels(
        scalesr.run(image, tmp_path / "free.zarr", model=str(edsr), blend=blend, **SMALL | {"flux": "free"}).image
    )
    assert deviation(free + 1, pixels + 1, (2, 2)) > 1e-3
    lazily = scalesr.lazy(image, model=str(edsr), blend=blend, block=block, **SMALL).compute(scheduler="sync")
    np.testing.assert_array_equal(lazily, out)


@pytest.mark.parametrize("tiles", [{"blend": 0}, {"blend": 5}], ids=["cropped", "blended"])
def test_the_same_bytes_for_any_block_and_executor(
    make_image: MakeImage, speckle: NDArray[np.uint16], edsr: Path, tmp_path: Path, tiles: dict[str, Any]
) -> None:
    image = make_image(speckle.astype(np.float32))
    ways: list[dict[str, Any]] = [{"block": 1}, {"block": 20}, {"block": 3, "scheduler": "threads", "workers": 4}]
    outs = [
        voxels(scalesr.run(image, tmp_path / f"{k}.zarr", model=str(edsr), **SMALL | tiles | way).image)
        for k, way in enumerate(ways)
    ]
    assert outs[0].tobytes() == outs[1].tobytes() == outs[2].tobytes()


def test_volumes_channels_and_negative_values(make_image: MakeImage, tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).normal(1, 1, (2, 3, 20, 22)).astype(np.float32)
    result = scalesr.run(
        make_image(pixels, "czyx"),
        tmp_path / "out.zarr",
        model="cubic",
        axes="zyx",
        scale=(2, 4, 4),
        **SMALL | {"cell": 8},
    )
    out = voxels(result.image)
    assert np.abs(means(out, (1, 2, 4, 4)) - pixels).max() < 1e-6
    grown = np.kron(pixels, np.ones((1, 2, 4, 4)))
    assert (out[grown >= 0] >= 0).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_integers_are_exact_up_to_rounding(
    make_image: MakeImage, speckle: NDArray[np.uint16], edsr: Path, tmp_path: Path, dtype: str
) -> None:
    pixels: Any = (speckle // 40).clip(0, 200) if dtype == "uint8" else speckle
    result = scalesr.run(make_image(pixels.astype(dtype)), tmp_path / "out.zarr", model=str(edsr), **SMALL)
    assert result.image.dtype == dtype
    out = voxels(result.image)
    # Where something had to be clipped it is counted.
    whole = out.reshape(150, 2, 171, 2).max(axis=(1, 3)) < np.iinfo(dtype).max
    assert np.abs(means(out, (2, 2)) - pixels)[whole].max() <= 0.5
    assert (result.clipped > 0) == (not whole.all())


def test_missing_values_stay_missing(
    make_image: MakeImage, speckle: NDArray[np.uint16], edsr: Path, tmp_path: Path
) -> None:
    pixels = speckle.astype(np.float32)
    pixels[33, 17], pixels[0, 0], pixels[149, 170] = np.nan, np.inf, np.nan
    image = make_image(pixels)
    for blend in (0, 4):
        wanted = {"model": str(edsr), "on_nan": "fill", "blend": blend, **SMALL}
        out = voxels(scalesr.run(image, tmp_path / f"{blend}.zarr", **wanted).image)
        there = np.isfinite(pixels)
        np.testing.assert_array_equal(np.isnan(out), ~np.kron(there, np.ones((2, 2), bool)))
        assert deviation(np.nan_to_num(out), np.where(there, pixels, 0), (2, 2)) < 1e-6
        np.testing.assert_array_equal(scalesr.lazy(image, **wanted).compute(scheduler="sync"), out)


def test_the_pixels_are_read_again_as_they_were_read_first(
    make_image: MakeImage, speckle: NDArray[np.uint16], edsr: Path, tmp_path: Path
) -> None:
    from pathlib import Path as Place  # noqa: PLC0415 only here at run time

    image = make_image(speckle.astype(np.float32))
    shard = sorted(p for p in Place(image.url, "0").rglob("*") if p.is_file() and p.name != "zarr.json")[0]
    content = bytearray(shard.read_bytes())
    content[100:400] = bytes(300)
    shard.write_bytes(bytes(content))
    wanted = {"model": str(edsr), "on_bad_block": "fill", "normalise": (0.0, 60000.0), **SMALL}
    result = scalesr.run(image, tmp_path / "out.zarr", **wanted)
    assert len(result.bad_chunks) == 1
    assert (voxels(result.image)[:64, :64] == 0).all()


def test_measured_on_the_way_as_afterwards(
    make_image: MakeImage, speckle: NDArray[np.uint16], edsr: Path, tmp_path: Path
) -> None:
    image = make_image(speckle.astype(np.float32))
    plain = scalesr.run(image, tmp_path / "a.zarr", model=str(edsr), **SMALL)
    riding = scalesr.run(image, tmp_path / "b.zarr", model=str(edsr), metrics=("consistency",), **SMALL)
    np.testing.assert_array_equal(voxels(riding.image), voxels(plain.image))


def save_edsr(path: Path, **metadata: str) -> Path:
    """Write a small network with something in its metadata."""
    torch.manual_seed(2)
    network = EDSR(in_channels=1, out_channels=1, features=4, blocks=1, scale=2)
    sizes = {"in_channels": 1, "out_channels": 1, "features": 4, "blocks": 1, "scale": 2}
    facts = {"architecture": "edsr", **{name: json.dumps(size) for name, size in sizes.items()}, **metadata}
    save_file(network.state_dict(), path, metadata=facts)
    return path


def test_the_model_says_whether_by_itself(make_image: MakeImage, speckle: NDArray[np.uint16], tmp_path: Path) -> None:
    image = make_image(speckle.astype(np.float32))
    wanted = {**SMALL, "flux": "auto"}
    for said, found in ((None, "free"), ("free", "free"), ("conserved", "conserved")):
        path = save_edsr(tmp_path / f"{said}.safetensors", **({"flux": said} if said else {}))
        ref = resolve(str(path), image_channels=None, image_axes="yx")
        assert load(ref).spec.flux == found
        result = scalesr.run(image, tmp_path / f"{said}.zarr", model=str(path), **wanted)
        assert result.plan.flux == found
    free = scalesr.run(image, tmp_path / "f.zarr", model=str(path), **wanted | {"flux": "free"})
    assert free.plan.flux == "free"
    ref = resolve(str(save_edsr(tmp_path / "odd.safetensors", flux="sometimes")), image_channels=None, image_axes="yx")
    with pytest.raises(ModelError, match="sometimes"):
        load(ref)


def test_it_is_part_of_the_plan_and_of_the_manifest(
    make_image: MakeImage, speckle: NDArray[np.uint16], edsr: Path, tmp_path: Path
) -> None:
    image = make_image(speckle)
    wanted: dict[str, Any] = {"model": str(edsr), **SMALL}
    plan = scalesr.run(image, tmp_path / "out.zarr", **wanted).plan
    assert type(plan).from_json(plan.to_json()) == plan
    free = replace(plan, flux="free")
    assert plan.bytes_read - free.bytes_read == speckle.nbytes
    assert plan.requests_read > free.requests_read
    assert plan.digest != free.digest
    assert any(name == "flux" for name, _ in scalesr.tiling.describe(plan))
    with pytest.raises(LedgerError, match="flux"):
        scalesr.run(image, tmp_path / "out.zarr", **wanted | {"flux": "free", "mode": "resume"})
    path = tmp_path / "out.zarr" / "scalesr" / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["identity"]["plan"]["flux"]
    path.write_text(json.dumps(manifest))
    # A run of a version that knew of no flux.
    with pytest.raises(LedgerError, match="flux"):
        scalesr.run(image, tmp_path / "out.zarr", **wanted | {"mode": "resume"})


def test_where_it_is_not_possible(make_image: MakeImage, speckle: NDArray[np.uint16], tmp_path: Path) -> None:
    image = make_image(speckle)
    with pytest.raises(PlanError, match="3/2 along 'y'"):
        scalesr.run(image, tmp_path / "out.zarr", model="cubic", scale="3/2", flux="conserved")
    with pytest.raises(PlanError, match="does not enlarge"):
        scalesr.run(image, tmp_path / "out.zarr", model="identity", flux="conserved")
    spec = load(resolve("cubic", scale=2, image_channels=None, image_axes="yx")).spec
    conserved = type(spec)(**{**vars(spec), "flux": "conserved"})
    names = ("y", "x")
    assert choose_flux("auto", spec, [Fraction(2)] * 2, names=names) == "free"
    assert choose_flux("auto", conserved, [Fraction(2)] * 2, names=names) == "conserved"
    assert choose_flux("auto", conserved, [Fraction(3, 2)] * 2, names=names) == "free"
    assert choose_flux("auto", conserved, [Fraction(1)] * 2, names=names) == "free"


def test_the_counts_are_recorded(
    make_image: MakeImage, speckle: NDArray[np.uint16], edsr: Path, tmp_path: Path
) -> None:
    result = scalesr.run(make_image(speckle.astype(np.float32)), tmp_path / "out.zarr", model=str(edsr), **SMALL)
    records = [json.loads(path.read_text()) for path in (tmp_path / "out.zarr" / "scalesr" / "blocks").rglob("*.json")]
    assert sum(record["negative"] for record in records) == result.corrected.negative
    assert sum(record["flat"] for record in records) == result.corrected.flat
