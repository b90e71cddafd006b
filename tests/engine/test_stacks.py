"""Stacks whose planes are points: kept bit for bit, made up where they are missing, with standard deviations."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from engine.conftest import voxels
from engine.stack_model import MODELS, SIZES, TILES, Stack, rows
from hypothesis import given
from hypothesis import strategies as st

import scalesr
from scalesr.engine.gaps import made_up_rows
from scalesr.engine.masks import nearest
from scalesr.errors import InputError, LedgerError, ModelError, OutputError, PlanError
from scalesr.images import open_image, remove_image
from scalesr.images.importing.companions import open_companion
from scalesr.models import row_of
from scalesr.tiling import AxisLattice

if TYPE_CHECKING:
    from pathlib import Path

    from engine.conftest import MakeImage
    from numpy.typing import NDArray


def stack(which: str, dtype: str = "uint16", *, seed: int = 0) -> NDArray[Any]:
    """Return random planes."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(3, 2, SIZES[which]).astype(dtype)
    return rng.integers(0, np.iinfo(dtype).max, SIZES[which], endpoint=True).astype(dtype)


def options(which: str, **changes: Any) -> dict[str, Any]:
    """Return the options of a run with ramps along all axes."""
    return {"model": MODELS[which][0], "scheduler": "serial", **TILES[which], **changes}


def lazily(image: scalesr.Image, which: str, **changes: Any) -> NDArray[Any]:
    """Return the lazy array, computed."""
    computed: NDArray[Any] = scalesr.lazy(image, **options(which, **changes)).compute(scheduler="sync")
    return computed


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("which", ["whole", "fraction"])
def test_measured_planes_come_back_bit_for_bit(make_image: MakeImage, tmp_path: Path, which: str, dtype: str) -> None:
    pixels = stack(which, dtype)
    if dtype == "float32":
        pixels[0, 0, :3] = -0.0, 1e-40, -3e38
    image = make_image(pixels, "zyx", chunk=8)
    at = rows(len(pixels), MODELS[which][1])
    for block in (1, (2, 1, 3)):
        result = scalesr.run(image, tmp_path / "out.zarr", mode="overwrite", **options(which, block=block))
        out = voxels(result.image)
        assert out[at].tobytes() == pixels.tobytes()
        assert result.image.levels[0].translation == image.levels[0].translation
        others = np.setdiff1d(np.arange(len(out)), at)
        assert all((out[row] != pixels[k]).any() for row in others for k in range(len(pixels)))
    np.testing.assert_array_equal(lazily(image, which), out)


@pytest.mark.parametrize(("dtype", "out"), [("uint16", "uint8"), ("float32", "uint16"), ("uint8", "float32")])
def test_planes_are_cast_as_the_rest_is(make_image: MakeImage, tmp_path: Path, dtype: str, out: str) -> None:
    pixels = stack("whole", dtype)
    expected: NDArray[Any] = pixels
    clipped = 0
    if np.dtype(out).kind == "u":
        limit = np.iinfo(out).max
        rounded = np.rint(pixels.astype(np.float64))
        clipped = int(((rounded < 0) | (rounded > limit)).sum())
        expected = np.clip(rounded, 0, limit)
    image = make_image(pixels, "zyx", chunk=8)
    result = scalesr.run(image, tmp_path / "out.zarr", **options("whole", out_dtype=out))
    found = voxels(result.image)[rows(len(pixels), Fraction(4))]
    np.testing.assert_array_equal(found, expected.astype(out))
    assert result.clipped >= clipped


def test_what_is_kept_is_not_counted_as_clipped(make_image: MakeImage, tmp_path: Path) -> None:
    # Bright planes next to dark ones: with noise on top the model overshoots between them, and never at them.
    pixels = np.full((11, 19, 23), 255, np.uint8)
    image = make_image(pixels, "zyx", chunk=8)
    result = scalesr.run(image, tmp_path / "out.zarr", **options("whole", normalise=(0, 255)))
    assert (voxels(result.image) == 255).all()
    assert 0 < result.clipped <= pixels.size * 3


@pytest.mark.parametrize("which", ["whole", "fraction"])
def test_nan_within_a_measured_plane_stays_nan(make_image: MakeImage, tmp_path: Path, which: str) -> None:
    pixels = stack(which, "float32")
    pixels[3, 4, 5], pixels[7, 0, 0] = np.nan, np.inf
    image = make_image(pixels, "zyx", chunk=8)
    with pytest.raises(InputError, match="z=3, y=4, x=5"):
        scalesr.run(image, tmp_path / "out.zarr", **options(which))
    result = scalesr.run(image, tmp_path / "out.zarr", mode="overwrite", **options(which, on_nan="fill"))
    assert result.not_finite == 2
    at = rows(len(pixels), MODELS[which][1])
    out = voxels(result.image)
    np.testing.assert_array_equal(out[at], np.where(np.isfinite(pixels), pixels, np.nan))
    lost = np.zeros(out.shape, bool)
    lost[at[3] : at[4], 4, 5] = lost[at[7] : at[8], 0, 0] = True
    np.testing.assert_array_equal(np.isnan(out), lost)
    assert result.deviation is not None
    np.testing.assert_array_equal(np.isnan(voxels(result.deviation)), lost)
    np.testing.assert_array_equal(lazily(image, which, on_nan="fill"), out)


def test_what_a_mask_leaves_out_stays_left_out(make_image: MakeImage, tmp_path: Path) -> None:
    pixels, kept = stack("fraction"), np.ones(SIZES["fraction"], np.uint8)
    kept[:, :5, 6:] = kept[2:9, 10:] = 0
    image, mask = make_image(pixels, "zyx", chunk=8), make_image(kept, "zyx", name="mask.zarr")
    result = scalesr.run(image, tmp_path / "out.zarr", **options("fraction", mask=mask.url))
    at = rows(len(pixels), MODELS["fraction"][1])
    out = voxels(result.image)
    np.testing.assert_array_equal(out[at], np.where(kept, pixels, 0))
    enlarged = open_companion(result.image, "mask")
    assert enlarged is not None
    beside = np.asarray(enlarged[...])
    np.testing.assert_array_equal(beside[at], kept)
    assert (out[beside == 0] == 0).all()
    assert result.deviation is not None
    np.testing.assert_array_equal(np.isnan(voxels(result.deviation)), beside == 0)
    np.testing.assert_array_equal(lazily(image, "fraction", mask=mask.url), out)


@given(st.fractions(1, 9, max_denominator=16), st.integers(0, 60))
def test_a_row_of_points_belongs_to_the_last_plane_at_or_below_it(scale: Fraction, planes: int) -> None:
    at = [row_of(plane, scale) for plane in range(planes + 2)]
    if len(set(at)) < len(at):
        return
    expected = [k for k in range(planes + 1) for _ in range(at[k], at[k + 1])]
    np.testing.assert_array_equal(nearest(range(at[-1]), scale, sampling="point"), expected)


class TestMissing:
    """Planes that were not measured."""

    @pytest.mark.parametrize("which", ["whole", "fraction"])
    def test_what_they_hold_plays_no_part(self, make_image: MakeImage, tmp_path: Path, which: str) -> None:
        gaps = (0, 4, 5, len(stack(which)) - 1)
        found = []
        for seed, junk in ((1, 0), (2, 65535), (3, None)):
            pixels = stack(which)
            pixels[list(gaps)] = stack(which, seed=seed)[list(gaps)] if junk is None else junk
            image = make_image(pixels, "zyx", chunk=8, name=f"{seed}.zarr")
            result = scalesr.run(image, tmp_path / f"{seed}-out.zarr", **options(which, missing_planes=gaps))
            found.append(voxels(result.image))
            np.testing.assert_array_equal(lazily(image, which, missing_planes=gaps), found[-1])
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2])
        at = np.array(rows(len(pixels), MODELS[which][1]))
        there = np.setdiff1d(np.arange(len(pixels)), gaps)
        np.testing.assert_array_equal(found[0][at[there]], pixels[there])
        assert result.plan.missing_planes == gaps
        assert result.made_up == tuple(at[list(gaps)])
        assert result.image.metadata["scalesr"]["made_up"] == {"planes": list(gaps), "rows": list(result.made_up)}
        assert "without missing planes" in result.normalisation.origin
        assert result.deviation is not None
        unsure = voxels(result.deviation)
        assert (unsure[at[there]] == 0).all()
        assert all((unsure[row] > 0).any() for row in result.made_up)

    def test_planes_of_nan_are_missing(self, make_image: MakeImage, tmp_path: Path) -> None:
        pixels = stack("whole", "float32")
        told = make_image(pixels, "zyx", chunk=8)
        expected = scalesr.run(told, tmp_path / "told.zarr", **options("whole", missing_planes=(2, 9)))
        pixels[[2, 9]] = np.nan
        image = make_image(pixels, "zyx", chunk=8, name="nan.zarr")
        result = scalesr.run(image, tmp_path / "out.zarr", **options("whole"))
        assert result.plan.missing_planes == (2, 9)
        assert result.not_finite == 0
        np.testing.assert_array_equal(voxels(result.image), voxels(expected.image))
        np.testing.assert_array_equal(lazily(image, "whole"), voxels(expected.image))
        with pytest.raises(InputError, match="the first at z=2"):
            scalesr.run(image, tmp_path / "not.zarr", **options("whole", missing_planes="none"))

    def test_a_run_with_other_planes_is_another_run(self, make_image: MakeImage, tmp_path: Path) -> None:
        image = make_image(stack("whole"), "zyx", chunk=8)
        scalesr.run(image, tmp_path / "out.zarr", **options("whole", missing_planes=(2,)))
        with pytest.raises(LedgerError, match="missing_planes"):
            scalesr.run(image, tmp_path / "out.zarr", **options("whole", missing_planes=(3,), mode="resume"))

    def test_a_gap_as_wide_as_a_tile_is_refused(self, make_image: MakeImage, tmp_path: Path) -> None:
        pixels = np.zeros((40, 8, 10), np.uint8)
        pixels[0] = 1
        image = make_image(pixels, "zyx", chunk=8)
        gaps = tuple(range(3, 38))
        with pytest.raises(PlanError, match="none that was measured: missing are 3, 4, 5") as caught:
            scalesr.run(image, tmp_path / "out.zarr", **options("whole", missing_planes=gaps))
        assert "--halo" in caught.value.remedy
        scalesr.run(image, tmp_path / "out.zarr", **options("whole", missing_planes=gaps, halo=(18, 3, 4)))

    def test_an_image_without_a_value_is_refused(self, make_image: MakeImage, tmp_path: Path) -> None:
        image = make_image(np.full((5, 8, 10), np.nan, np.float32), "zyx")
        with pytest.raises(InputError, match="All planes"):
            scalesr.run(image, tmp_path / "out.zarr", **options("whole"))

    def test_other_models_cannot_make_planes_up(self, make_image: MakeImage, tmp_path: Path) -> None:
        image = make_image(stack("whole"), "zyx")
        with pytest.raises(PlanError, match="cannot make them up"):
            scalesr.run(image, tmp_path / "out.zarr", model="cubic", axes="zyx", scale=2, missing_planes=(3,))

    def test_areas_are_made_up_in_all_rows_that_they_cover(self) -> None:
        areas = AxisLattice(name="z", size=13, scale=Fraction(48, 13), cell=13)
        assert made_up_rows((0, 2, 12), areas) == (0, 1, 2, 3, 7, 8, 9, 10, 11, 44, 45, 46, 47)
        points = AxisLattice(name="z", size=13, scale=Fraction(48, 13), cell=13, sampling="point")
        assert made_up_rows((0, 2, 12), points) == (0, 7, 44)


class TestDeviation:
    """Standard deviations as an image of its own."""

    def test_they_are_the_models_own(self, make_image: MakeImage, tmp_path: Path) -> None:
        pixels = stack("whole")
        image = make_image(pixels, "zyx", chunk=8)
        size = {"cell": (12, 20, 24), "halo": (4, 3, 3), "blend": 0, "normalise": (1000, 51000)}
        result = scalesr.run(image, tmp_path / "out.zarr", **options("whole", **size))
        assert result.deviation is not None
        padded = np.pad(pixels, ((4, 5), (3, 4), (3, 4)), mode="reflect").astype(np.float32)
        tile = torch.from_numpy((padded - 1000) / np.float32(50000))[None, None]
        _, expected = Stack(Fraction(4))(tile, torch.tensor([[-4, -3, -3]]))[0].numpy()
        expected = expected[16 : 16 + 44, 3 : 3 + 19, 3 : 3 + 23] * 50000
        expected[::4] = 0
        np.testing.assert_allclose(voxels(result.deviation), expected, atol=50000 * 2.0**-24)
        assert result.deviation.dtype == np.float32
        assert result.deviation.levels[0].scale == result.image.levels[0].scale
        assert result.deviation.levels[0].translation == result.image.levels[0].translation

    @pytest.mark.parametrize("model", ["whole", "two"])
    def test_each_channel_has_its_own(self, make_image: MakeImage, tmp_path: Path, model: str) -> None:
        rng = np.random.default_rng(0)
        pixels = np.stack([rng.normal(5, 1, SIZES["whole"]), rng.normal(900, 300, SIZES["whole"])]).astype(np.float32)
        image = make_image(pixels, "czyx", chunk=8)
        changes = options("whole") | {"model": f"engine.stack_model:{model}", "missing_planes": (5,)}
        result = scalesr.run(image, tmp_path / "out.zarr", **changes)
        assert result.deviation is not None
        out = voxels(result.image)
        at = np.delete(rows(11, Fraction(4)), 5)
        np.testing.assert_array_equal(out[:, at], np.delete(pixels, 5, axis=1))
        np.testing.assert_array_equal(scalesr.lazy(image, **changes).compute(scheduler="sync"), out)
        for channel, own in enumerate(pixels):
            alone = make_image(own, "zyx", chunk=8, name=f"{channel}.zarr")
            single = scalesr.run(alone, tmp_path / f"out{channel}.zarr", **options("whole", missing_planes=(5,)))
            assert single.deviation is not None
            np.testing.assert_array_equal(out[channel], voxels(single.image))
            np.testing.assert_array_equal(voxels(result.deviation)[channel], voxels(single.deviation))

    def test_they_lie_inside_the_output(self, make_image: MakeImage, tmp_path: Path) -> None:
        image = make_image(stack("whole"), "zyx", chunk=8)
        result = scalesr.run(image, tmp_path / "out.zarr", **options("whole"))
        opened = open_image(tmp_path / "out.zarr" / "deviation")
        assert result.deviation is not None
        assert result.deviation.url == opened.url
        assert opened.name == "out deviation"
        assert result.image.metadata["scalesr"]["deviation"] == "deviation"

    def test_or_elsewhere_or_nowhere(self, make_image: MakeImage, tmp_path: Path) -> None:
        image = make_image(stack("whole"), "zyx", chunk=8)
        beside = scalesr.run(image, tmp_path / "out.zarr", **options("whole"))
        place = str(tmp_path / "unsure.zarr")
        elsewhere = scalesr.run(image, tmp_path / "b.zarr", **options("whole", deviation=place))
        nowhere = scalesr.run(image, tmp_path / "c.zarr", **options("whole", deviation="none"))
        assert elsewhere.deviation is not None
        assert beside.deviation is not None
        assert nowhere.deviation is None
        assert elsewhere.image.metadata["scalesr"]["deviation"] == elsewhere.deviation.url == place
        np.testing.assert_array_equal(voxels(elsewhere.deviation), voxels(beside.deviation))
        np.testing.assert_array_equal(voxels(elsewhere.image), voxels(beside.image))
        np.testing.assert_array_equal(voxels(nowhere.image), voxels(beside.image))
        assert not (tmp_path / "c.zarr" / "deviation").exists()
        assert not (tmp_path / "b.zarr" / "deviation").exists()

    def test_a_place_that_cannot_be_used_is_refused(self, make_image: MakeImage, tmp_path: Path) -> None:
        image = make_image(stack("whole"), "zyx", chunk=8)
        for place in (image.url, str(tmp_path / "out.zarr")):
            with pytest.raises(OutputError, match="input or output"):
                scalesr.run(image, tmp_path / "out.zarr", **options("whole", deviation=place))
        (tmp_path / "there.zarr").mkdir()
        (tmp_path / "there.zarr" / "note.txt").write_text("mine")
        with pytest.raises(OutputError, match="already exists"):
            scalesr.run(image, tmp_path / "out.zarr", **options("whole", deviation=str(tmp_path / "there.zarr")))
        with pytest.raises(PlanError, match="no standard deviations"):
            scalesr.run(image, tmp_path / "out.zarr", model="identity", deviation=str(tmp_path / "new.zarr"))
        assert not (tmp_path / "out.zarr").exists()

    def test_a_run_that_lost_them_is_not_resumed(self, make_image: MakeImage, tmp_path: Path) -> None:
        image = make_image(stack("whole"), "zyx", chunk=8)
        place = str(tmp_path / "unsure.zarr")
        scalesr.run(image, tmp_path / "out.zarr", **options("whole", deviation=place))
        with pytest.raises(LedgerError, match="deviation was"):
            scalesr.run(image, tmp_path / "out.zarr", **options("whole", mode="resume"))
        remove_image(place)
        with pytest.raises(LedgerError, match="lost its standard deviations"):
            scalesr.run(image, tmp_path / "out.zarr", **options("whole", deviation=place, mode="resume"))

    def test_another_model_overwrites_them(self, make_image: MakeImage, tmp_path: Path) -> None:
        image = make_image(stack("whole"), "zyx", chunk=8)
        scalesr.run(image, tmp_path / "out.zarr", **options("whole"))
        result = scalesr.run(image, tmp_path / "out.zarr", model="identity", scheduler="serial", mode="overwrite")
        assert result.deviation is None
        assert not (tmp_path / "out.zarr" / "deviation").exists()

    @pytest.mark.parametrize("least", [1, 2**30], ids=["in the pass", "at the end"])
    def test_they_have_a_pyramid(
        self, make_image: MakeImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, least: int
    ) -> None:
        monkeypatch.setattr("scalesr.tiling.plan.LEAST_SHARD_BYTES", least)
        pixels = np.random.default_rng(0).integers(0, 900, (4, 6, 600), dtype=np.uint16)
        image = make_image(pixels, "zyx", chunk=8)
        tiles = {"cell": (4, 8, 128), "halo": (4, 2, 4), "blend": (2, 0, 2)}
        result = scalesr.run(image, tmp_path / "out.zarr", **options("whole", **tiles))
        made = {level.made for level in result.plan.levels[1:]}
        assert made == {"in pass" if least == 1 else "at end"}
        assert result.deviation is not None
        assert len(result.deviation.levels) == len(result.image.levels) > 2
        finest, coarse = (voxels(result.deviation, level=k) for k in (0, 1))
        factors = tuple(round(a / b) for a, b in zip(finest.shape, coarse.shape, strict=True))
        blocks = finest.reshape([n for size, f in zip(coarse.shape, factors, strict=True) for n in (size, f)])
        np.testing.assert_allclose(coarse, blocks.mean(axis=(1, 3, 5)), rtol=1e-5)


def test_a_model_is_tailored_once(make_image: MakeImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    real = Stack.tailored

    def tailored(self: Stack, margins: tuple[int, ...]) -> Stack:
        asked.append(margins)
        return real(self, margins)

    monkeypatch.setattr(Stack, "tailored", tailored)
    monkeypatch.setattr("scalesr.engine.tailoring._tailored", {})
    image = make_image(stack("whole"), "zyx", chunk=8)
    result = scalesr.run(image, tmp_path / "out.zarr", **options("whole", block=1))
    assert result.plan.blocks > 9
    assert asked == [(3, 1, 1)]
    lazily(image, "whole")
    assert asked == [(3, 1, 1)]


def test_a_stack_is_measured_on_the_way_against_a_reference(make_image: MakeImage, tmp_path: Path) -> None:
    image = make_image(stack("whole"), "zyx", chunk=8)
    truth = scalesr.run(image, tmp_path / "truth.zarr", **options("whole", missing_planes=(2,))).image
    other = options("whole", reference=truth.url, metrics=("mae", "psnr"), missing_planes=(2, 7), block=2)
    result = scalesr.run(image, tmp_path / "out.zarr", **other)
    after = scalesr.measure(result.image, reference=truth, metrics=("mae", "psnr"))
    assert result.measurement is not None
    found = [measure.value for measure in result.measurement.measures]
    assert found == pytest.approx([measure.value for measure in after.measures])
    with pytest.raises(InputError, match="planes are points"):
        scalesr.run(image, tmp_path / "not.zarr", **options("whole", metrics=("consistency",)))


def test_planes_that_are_enlarged_cannot_be_kept(make_image: MakeImage, tmp_path: Path) -> None:
    image = make_image(stack("whole"), "zyx", chunk=8)
    with pytest.raises(ModelError, match="scales 'y' by 2"):
        scalesr.run(image, tmp_path / "out.zarr", model="engine.stack_model:thick", scheduler="serial")
