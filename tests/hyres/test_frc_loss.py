"""The FRC as a loss: the value is that of the metric, the gradient that of finite differences, and both are finite."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scalesr.errors import ModelError
from scalesr.hyres.frc_loss import FRCLoss, Window
from scalesr.metrics.rings import correlation_of, rings_of, spectrum, window_of
from scalesr.phantoms import cells

SIZES = st.tuples(st.integers(4, 24), st.integers(4, 24))


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def related(y: int, x: int, *, seed: int = 0, n: int = 2, channels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """Two batches with a share of structure in common."""
    target = noise(n, channels, y, x, seed=seed)
    return target + noise(n, channels, y, x, seed=seed + 1), target


def metric(prediction: torch.Tensor, target: torch.Tensor, window: Window) -> np.ndarray[Any, Any]:
    """Return the correlation of the rings between the first and the last as the metric `frc` computes it."""
    patch = tuple(prediction.shape[-2:])
    fade = np.ones(patch) if window == "none" else window_of(patch, window)
    rings = rings_of(patch, (1.0, 1.0))
    spectra = (spectrum(image.double().numpy(), fade) for image in (prediction, target))
    return correlation_of(rings.correlate(*spectra))[1:-1]


@settings(max_examples=30, deadline=None)
@given(size=SIZES, window=st.sampled_from(["hann", "tukey", "none"]), seed=st.integers(0, 1000))
def test_rings_correlate_as_in_the_metric(size: tuple[int, int], window: Window, seed: int) -> None:
    prediction, target = related(*size, seed=seed)
    loss = FRCLoss(window=window, floor=1e-12)
    curves = loss.correlation(prediction, target)
    for n in range(2):
        for c in range(3):
            expected = metric(prediction[n, c], target[n, c], window)
            # Of the smallest patches the window of Hann leaves a few pixels, and rings of next to nothing.
            np.testing.assert_allclose(curves[n, c].numpy(), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(loss(prediction, target), 1 - curves.mean(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [(32, 32), (48, 33)])
def test_float32_is_near_float64(size: tuple[int, int]) -> None:
    prediction, target = related(*size)
    exact = FRCLoss()(prediction, target)
    assert exact.dtype == torch.float64
    quick = FRCLoss()(prediction.float(), target.float())
    assert quick.dtype == torch.float32
    assert float(quick) == pytest.approx(float(exact), abs=1e-5)


def test_automatic_casting_changes_no_bit() -> None:
    prediction, target = (image.float() for image in related(32, 32))
    loss = FRCLoss()
    plain = loss(prediction, target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = loss(prediction, target)
        short = loss(prediction.bfloat16(), target)
    assert torch.equal(plain, cast)
    assert short.dtype == torch.float32
    assert float(short) == pytest.approx(float(plain), abs=1e-2)


@settings(max_examples=30, deadline=None)
@given(
    size=SIZES,
    gain=st.floats(0.1, 10.0),
    offset=st.floats(-10.0, 10.0),
    weights=st.sampled_from(["flat", "linear"]),
    seed=st.integers(0, 1000),
)
def test_gain_and_offset_are_not_seen(
    size: tuple[int, int], gain: float, offset: float, weights: Any, seed: int
) -> None:
    prediction, target = related(*size, seed=seed)
    loss = FRCLoss(window="none", weights=weights, floor=1e-12)
    assert float(loss(gain * target + offset, target)) == pytest.approx(0.0, abs=1e-9)
    assert float(loss(-gain * target, target)) == pytest.approx(2.0, abs=1e-9)
    first, other = loss(prediction, target), loss(gain * prediction + offset, target)
    assert float(first) == pytest.approx(float(other), abs=1e-9)


def test_what_is_unrelated_does_not_correlate() -> None:
    loss = FRCLoss()(noise(8, 1, 64, 64, seed=1), noise(8, 1, 64, 64, seed=2))
    assert float(loss) == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("window", ["hann", "tukey", "none"])
@pytest.mark.parametrize("weights", ["flat", "linear"])
@pytest.mark.parametrize("size", [(8, 8), (7, 10)])
def test_gradients_are_those_of_finite_differences(window: Any, weights: Any, size: tuple[int, int]) -> None:
    prediction, target = related(*size, n=1, channels=2)
    loss = FRCLoss(window=window, weights=weights)
    assert torch.autograd.gradcheck(
        lambda image: loss(image, target, limit=0.9), (prediction.requires_grad_(),), check_undefined_grad=False
    )


FLAT = {
    "zeros": torch.zeros(1, 1, 16, 16),
    "constant": torch.full((1, 1, 16, 16), 1000.1),
    "noise": noise(1, 1, 16, 16, dtype=torch.float32),
    "tiny": 1e-18 * noise(1, 1, 16, 16, dtype=torch.float32),
    "one ring": torch.cos(torch.arange(16) * math.pi / 4).repeat(16, 1)[None, None],
}


@pytest.mark.parametrize("target", FLAT)
@pytest.mark.parametrize("prediction", FLAT)
@pytest.mark.parametrize("window", ["hann", "none"])
def test_values_and_gradients_are_finite_without_structure(prediction: str, target: str, window: Window) -> None:
    image = FLAT[prediction].clone().requires_grad_()
    loss = FRCLoss(window=window)(image, FLAT[target])
    (gradient,) = torch.autograd.grad(loss, image)
    value = loss.item()
    assert 0 <= value <= 2
    assert bool(torch.isfinite(gradient).all())
    if target in ("zeros", "constant"):
        assert value == 1.0
        assert not gradient.any()
    elif prediction in ("zeros", "constant"):
        # A prediction of nothing is told where to go.
        assert gradient.any()


def test_the_largest_gradient_is_bounded_by_the_floor() -> None:
    """However weak the prediction: the gradient of the correlation of each ring is at most 1 / sqrt(e)."""
    target = noise(1, 1, 32, 32, dtype=torch.float32)
    image = (1e-9 * noise(1, 1, 32, 32, seed=5, dtype=torch.float32)).requires_grad_()
    norms = []
    for floor in (1e-3, 1e-1):
        (gradient,) = torch.autograd.grad(FRCLoss(window="none", floor=floor)(image, target), image)
        power = rings_of((32, 32), (1.0, 1.0)).correlate(*[np.fft.rfft2(target[0, 0].double().numpy()) / 32] * 2)[1]
        norms.append(float(gradient.norm()))
        assert norms[-1] <= 1 / math.sqrt(floor * power[1:-1].max())
    assert norms[0] > norms[1]


def blurred(images: torch.Tensor, cut: float) -> torch.Tensor:
    """Cut off all frequencies from a share of Nyquist on."""
    y, x = images.shape[-2:]
    radius = torch.hypot(torch.fft.fftfreq(y)[:, None], torch.fft.rfftfreq(x)[None])
    cut_off: torch.Tensor = torch.fft.irfft2(torch.fft.rfft2(images) * (radius < cut / 2), s=(y, x))
    return cut_off


def test_a_limit_leaves_the_rest_unseen() -> None:
    target = noise(2, 1, 64, 64)
    prediction = blurred(target, 0.5) + 3 * (noise(2, 1, 64, 64, seed=9) - blurred(noise(2, 1, 64, 64, seed=9), 0.5))
    loss = FRCLoss(window="none")
    assert float(loss(prediction, target, limit=0.45)) == pytest.approx(0.0, abs=1e-6)
    assert float(loss(prediction, target)) > 0.4


def test_a_rising_limit_takes_in_rings_smoothly() -> None:
    """A step of a twentieth of a ring moves the loss by no more than a twentieth of what a ring may weigh."""
    prediction, target = related(32, 32)
    loss = FRCLoss()
    limits = torch.linspace(2.0, 16.0, 281) / 16
    values = torch.stack([loss(prediction, target, limit=float(limit)) for limit in limits])
    steps = values.diff().abs() * (limits[:-1] * 16 - 1)
    assert float(steps.max()) <= 0.05 * 2.1
    assert values[-1] == loss(prediction, target)


def test_linear_weights_look_at_fine_structure() -> None:
    target = noise(2, 1, 64, 64)
    smooth = blurred(target, 0.5)
    assert FRCLoss(weights="linear")(smooth, target) > FRCLoss()(smooth, target) + 0.1


def test_it_is_one_number_over_patches_and_channels() -> None:
    prediction, target = related(16, 24, n=3, channels=2)
    loss = FRCLoss()
    each = [loss(prediction[n : n + 1, c : c + 1], target[n : n + 1, c : c + 1]) for n in range(3) for c in range(2)]
    torch.testing.assert_close(loss(prediction, target), torch.stack(each).mean())


def test_descending_it_finds_the_target_but_for_gain_and_offset() -> None:
    target = blurred(noise(1, 1, 32, 32), 0.8)
    image = (noise(1, 1, 32, 32, seed=1) + 7).requires_grad_()
    loss = FRCLoss(window="none", floor=1e-6)
    optimiser = torch.optim.Adam([image], lr=0.05)
    for _ in range(200):
        optimiser.zero_grad()
        loss(image, target, limit=0.75).backward()
        optimiser.step()
    assert loss(image, target, limit=0.75).item() < 0.02
    assert abs(image.mean().item() - 7) < 0.5


@pytest.mark.parametrize("seed", [0, 2])
@pytest.mark.parametrize("above", [0.25, 0.5])
def test_with_l1_it_neither_dampens_nor_exaggerates_detail(seed: int, above: float) -> None:
    """A floor among the rings of the signal would reward amplitude in the weaker of them."""
    truth = torch.from_numpy(cells((128, 128), seed=seed).region((slice(0, 128), slice(0, 128))))[None, None].double()
    loss, smooth = FRCLoss(), blurred(truth, above)
    paid = []
    for gain in (0.5, 0.9, 1.0, 1.1, 1.5, 2.0):
        prediction = smooth + gain * (truth - smooth)
        paid.append(float((prediction - truth).abs().mean() + 0.1 * loss(prediction, truth)))
    assert paid.index(min(paid)) == 2
    assert paid[2] == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("limit", [0.0, 0.05, 1.1, math.nan])
def test_limits_without_rings_are_refused(limit: float) -> None:
    with pytest.raises(ModelError, match="times Nyquist"):
        FRCLoss()(*related(32, 32), limit=limit)


def test_other_shapes_and_choices_are_refused() -> None:
    with pytest.raises(ModelError, match="same shape"):
        FRCLoss()(noise(1, 1, 8, 8), noise(1, 1, 8, 9))
    with pytest.raises(ModelError, match="no ring between"):
        FRCLoss()(noise(1, 1, 3, 3), noise(1, 1, 3, 3))
    with pytest.raises(ModelError, match="no window 'hamming'"):
        FRCLoss(window="hamming")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="keep gradients finite"):
        FRCLoss(floor=0.0)
    assert "hann" in repr(FRCLoss())
