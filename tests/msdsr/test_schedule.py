"""The steps are those of the paper, and on Gaussian images, whose course is known, they end where it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import diffusers
import pytest
import torch

from scalesr.msdsr.schedule import Reverse, betas, signal_shares

if TYPE_CHECKING:
    from scalesr.msdsr.schedule import Sampler
    from scalesr.msdsr.settings import Prediction


def test_the_schedule_is_the_cosine_of_diffusers() -> None:
    made: Any = diffusers.DDIMScheduler(beta_schedule="squaredcos_cap_v2")  # type: ignore[no-untyped-call]
    torch.testing.assert_close(betas().float(), made.betas, rtol=0, atol=1e-7)
    assert signal_shares()[996] == pytest.approx(2.186e-5, rel=1e-3)


def test_the_paper_asks_at_these_steps() -> None:
    steps = Reverse(sampler="ddim", prediction="epsilon", steps=200, eta=1.0).timesteps
    assert steps == tuple(range(996, 0, -5))


@pytest.mark.parametrize("sampler", ["ddim", "dpm"])
@pytest.mark.parametrize(("steps", "start"), [(1, 1.0), (10, 1.0), (10, 0.5), (20, 0.3), (200, 1.0), (7, 0.9)])
def test_a_start_in_the_middle_leaves_out_the_noisiest_steps(sampler: Sampler, steps: int, start: float) -> None:
    found = Reverse(sampler=sampler, prediction="epsilon", steps=steps, start=start).timesteps
    assert len(found) == steps
    assert list(found) == sorted(set(found), reverse=True)
    assert 0 <= found[-1] <= found[0] <= 1000 * start + 1
    if sampler == "ddim":
        assert found == Reverse(sampler=sampler, prediction="epsilon", steps=round(steps / start)).timesteps[-steps:]
    else:
        assert found[0] == round(995 * start)


def test_any_number_of_steps_are_different_ones() -> None:
    for steps in range(1, 900, 37):
        found = Reverse(sampler="dpm", prediction="epsilon", steps=steps).timesteps
        assert len(set(found)) == steps
        assert 4 <= found[-1] <= found[0] == 995


def predicted(state: torch.Tensor, share: float, spread: float, prediction: Prediction) -> torch.Tensor:
    """What the best network says of images that are normal with such a standard deviation."""
    noise = (1 - share) ** 0.5 * state / (share * spread**2 + 1 - share)
    image = (state - (1 - share) ** 0.5 * noise) / share**0.5
    velocity: torch.Tensor = share**0.5 * noise - (1 - share) ** 0.5 * image
    return noise if prediction == "epsilon" else velocity


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(
    ("sampler", "steps", "spread", "error"),
    [("ddim", 200, 0.3, 0.02), ("dpm", 10, 0.3, 0.025), ("dpm", 16, 0.3, 0.01), ("dpm", 10, 0.05, 0.06)],
)
def test_gaussian_images_are_restored(
    sampler: Sampler, steps: int, spread: float, error: float, prediction: Prediction
) -> None:
    shares = signal_shares()
    reverse = Reverse(sampler=sampler, prediction=prediction, steps=steps)
    begin = torch.linspace(-2, 2, 9)
    state = begin
    for timestep in reverse.timesteps:
        share = float(shares[timestep])
        state = reverse.step(predicted(state, share, spread, prediction), timestep, state, None)
    first = float(shares[reverse.timesteps[0]])
    # The deterministic course multiplies by the ratio of the standard deviations at its ends.
    torch.testing.assert_close(state, begin * spread / (first * spread**2 + 1 - first) ** 0.5, rtol=error, atol=1e-4)


def test_noise_in_between_keeps_the_spread() -> None:
    spread, shares = 0.3, signal_shares()
    reverse = Reverse(sampler="ddim", prediction="epsilon", steps=200, eta=1.0)
    random = torch.Generator().manual_seed(0)
    state = torch.randn(20_000, generator=random)
    for timestep in reverse.timesteps:
        noise = torch.randn(state.shape, generator=random)
        state = reverse.step(predicted(state, float(shares[timestep]), spread, "epsilon"), timestep, state, noise)
    assert float(state.std()) == pytest.approx(spread, rel=0.05)


def test_samples_do_not_share_what_a_sampler_remembers() -> None:
    first, second = (Reverse(sampler="dpm", prediction="epsilon", steps=4) for _ in range(2))
    state = torch.ones(3)
    for timestep in first.timesteps:
        state = first.step(state / 2, timestep, state, None)
    again = torch.ones(3)
    for timestep in second.timesteps:
        again = second.step(again / 2, timestep, again, None)
    assert torch.equal(state, again)
