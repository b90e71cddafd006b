"""Pairs: a function of seed and step, measured by the physics, and nothing about them silent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scalesr.errors import InputError, PlanError
from scalesr.hyres.augmentation import augment, turn
from scalesr.hyres.family import InstrumentFamily
from scalesr.hyres.instrument import Instrument
from scalesr.hyres.patches import MARGIN, Pairs, Patches, measure
from scalesr.hyres.presets import PRESETS
from scalesr.learning import ArraySource
from scalesr.metrics.blurs import Diffraction, Gaussian


def texture(*shape: int, seed: int = 0) -> ArraySource:
    """Return a source of noise, in which every patch differs."""
    return ArraySource(np.random.default_rng(seed).random(shape, dtype=np.float32), normalise="none")


def patches(*sources: ArraySource, instrument: str = "binning", **options: object) -> Patches:
    """Return patches of 8 pixels, two a step, by the very instrument unless told."""
    given: dict[str, object] = {"edge": 8, "batch": 2, "seed": 3, "augmentation": "turns", **options}
    vary = given.pop("vary", "fixed")
    family = InstrumentFamily.read(instrument, factor=4, vary=vary)  # type: ignore[arg-type]
    return Patches(sources, family, **given)  # type: ignore[arg-type]


def same(first: Pairs, second: Pairs) -> bool:
    """Say whether two batches are the same bits."""
    return all(torch.equal(getattr(first, n), getattr(second, n)) for n in ("low", "high", "known", "measured", "zero"))


def test_a_batch_is_a_function_of_seed_and_step() -> None:
    source = texture(3, 90, 80)
    options = {"instrument": "maldi", "vary": "family", "augmentation": "full"}
    first, second = patches(source, **options), patches(source, **options)
    first.batch(0)  # what was drawn before does not matter
    assert same(first.batch(7), second.batch(7))
    assert not same(first.batch(7), first.batch(8))
    assert not same(first.batch(7), patches(source, seed=4, **options).batch(7))


def test_shapes_and_the_measurement_of_binning() -> None:
    pairs = patches(texture(2, 64, 70)).batch(0)
    assert pairs.low.shape == pairs.measured.shape == (2, 1, 8, 8)
    assert pairs.high.shape == pairs.known.shape == (2, 1, 32, 32)
    assert pairs.zero.shape == (2, 1, 1, 1)
    assert all(tensor.dtype == torch.float32 for tensor in (pairs.low, pairs.high, pairs.known, pairs.measured))
    torch.testing.assert_close(torch.nn.functional.avg_pool2d(pairs.high, 4), pairs.low)


def test_a_patch_is_a_part_of_its_source_up_to_turns() -> None:
    source = texture(1, 60, 60)
    high = patches(source).batch(5).high[0, 0].numpy()
    windows = np.lib.stride_tricks.sliding_window_view(source.pixels[0], (32, 32)).reshape(-1, 32, 32)
    turned = [np.rot90(side, k) for k in range(4) for side in (high, high[::-1])]
    assert any((windows == one).all(axis=(1, 2)).any() for one in turned)


def test_blur_reaches_in_from_around_the_patch() -> None:
    """A patch out of a larger one is measured as that part of the larger one is."""
    instrument = Instrument(factor=4, washout=0.5)
    truth = np.random.default_rng(0).random((1, 64, 64))
    whole = instrument.expected(truth)
    edge = 16 + 8 * MARGIN
    part = instrument.expected(truth[:, 16 : 16 + edge, 16 : 16 + edge])
    inner = slice(MARGIN, -MARGIN)
    np.testing.assert_allclose(
        part[:, inner, inner], whole[:, 4 + MARGIN : 8 + MARGIN, 4 + MARGIN : 8 + MARGIN], atol=1e-6
    )


def test_intensities_below_zero_are_counted_from_the_lowest() -> None:
    truth = np.random.default_rng(0).normal(0.0, 1.0, (160, 160)).astype(np.float32)
    low, _, _ = measure(truth, Instrument(factor=4, counts=1e6), seed=0)
    expected = truth.reshape(40, 4, 40, 4).mean((1, 3))
    assert np.abs(low - expected).max() < 0.05
    assert abs(float((low - expected).mean())) < 1e-3


def test_dead_and_saturated_pixels_are_counted() -> None:
    found = patches(texture(1, 80, 80), instrument="factor=4,dead=0.2,full_scale=0.5", batch=8)
    pairs = found.batch(0)
    dead = pairs.measured == 0
    assert 0.1 < float(dead.float().mean()) < 0.3
    assert (pairs.low[dead] == 0).all()
    assert found.draws.dead >= int(dead.sum())
    assert found.draws.saturated > 0
    assert found.draws.patches == 8


def test_missing_pixels_do_not_count_and_gappy_patches_are_drawn_again() -> None:
    values = np.random.default_rng(0).random((1, 200, 200), dtype=np.float32)
    values[0, :, :90] = np.nan
    values[0, 100, 150] = np.nan
    found = patches(ArraySource(values, normalise="none"), batch=16)
    pairs = found.batch(0)
    assert found.draws.missing > 0
    assert float((pairs.known == 0).float().mean()) <= 0.1
    assert torch.isfinite(pairs.low).all()
    assert torch.isfinite(pairs.high).all()
    blocks = torch.nn.functional.avg_pool2d(pairs.known, 4)
    assert torch.equal(blocks == 1, pairs.measured == 1)
    assert found.draws.filled >= int((pairs.known == 0).sum())


def test_images_with_nothing_but_gaps_are_refused() -> None:
    values = np.full((1, 100, 100), np.nan, np.float32)
    values[0, 0, 0] = 1.0
    with pytest.raises(InputError, match="missing pixels"):
        patches(ArraySource(values, normalise="none")).batch(0)
    with pytest.raises(InputError, match="no image"):
        patches()


def test_flat_patches_are_mostly_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.zeros((1, 400, 400), np.float32)
    values[0, :160, :160] = np.random.default_rng(0).random((160, 160))
    source = ArraySource(values, normalise="none")

    def flat(found: Patches) -> float:
        return float((found.batch(0).high.std(dim=(1, 2, 3)) < 0.03).float().mean())

    found = patches(source, batch=64)
    share = flat(found)
    assert found.draws.flat > 64
    assert found.draws.flat_kept > 0
    monkeypatch.setattr("scalesr.hyres.patches.FLAT", 0.0)
    assert share < flat(patches(source, batch=64)) / 1.5


def test_an_image_smaller_than_a_patch_is_mirrored() -> None:
    pairs = patches(texture(1, 20, 26)).batch(0)
    assert pairs.high.shape == (2, 1, 32, 32)


def test_sources_are_drawn_by_weight() -> None:
    heavy = ArraySource(np.ones((1, 60, 60)), weight=3.0, normalise="none")
    light = ArraySource(np.zeros((1, 60, 60)), normalise="none")
    high = patches(heavy, light, batch=400).batch(0).high[:, 0, 0, 0]
    assert float(high.mean()) == pytest.approx(0.75, abs=0.08)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**31), preset=st.sampled_from(sorted(PRESETS)))
def test_a_family_stays_near_its_centre(seed: int, preset: str) -> None:
    centre = PRESETS[preset]
    drawn = InstrumentFamily(centres=(centre,)).draw(np.random.default_rng(seed))
    assert drawn.factor == centre.factor
    assert drawn.dead == centre.dead
    assert drawn.washout == pytest.approx(centre.washout, rel=0.5)
    if centre.counts is not None:
        assert drawn.counts is not None
        assert centre.counts / 4 <= drawn.counts <= centre.counts * 4
    assert drawn.gain <= max(2 * centre.gain, 0.05)
    assert drawn.read_noise <= max(2 * centre.read_noise, 0.02)
    fixed = InstrumentFamily(centres=(centre,), vary="fixed")
    assert fixed.draw(np.random.default_rng(seed)) == centre


def test_several_instruments_are_drawn_alike_and_keep_their_size_on_the_sample() -> None:
    family = InstrumentFamily.read("binning; binning; maldi,counts=50", factor=2, vary="fixed")
    assert [centre.factor for centre in family.centres] == [2, 2, 2]
    assert family.centres[2].spot == Gaussian.of_width(1.0)
    random = np.random.default_rng(0)
    share = np.mean([family.draw(random).counts == 50 for _ in range(600)])
    assert share == pytest.approx(1 / 3, abs=0.06)
    with pytest.raises(PlanError, match="one factor"):
        InstrumentFamily(centres=(PRESETS["binning"], PRESETS["binning"].at(2)))


def test_a_blur_by_wavelength_is_refused() -> None:
    lens = Instrument(factor=4, spot=Diffraction(aperture=0.1, pixel=2.0, wavelengths=(0.5, 0.6)))
    with pytest.raises(PlanError, match="wavelength"):
        InstrumentFamily(centres=(lens,))


@given(seed=st.integers(0, 2**31))
def test_augmented_truths_are_finite(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = random.normal(0.3, 0.5, (16, 16)).astype(np.float32)
    out = augment(truth, random)
    assert out.dtype == np.float32
    assert out.shape == truth.shape
    assert np.isfinite(out).all()
    assert sorted(turn(truth, random).ravel()) == sorted(truth.ravel())
