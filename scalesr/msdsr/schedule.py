"""How much noise there is at each step of the diffusion, and the steps back from noise to an image."""

from __future__ import annotations

import copy
import math
import warnings
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import torch

from scalesr.errors import ModelError

if TYPE_CHECKING:
    from scalesr.msdsr.settings import Prediction

Sampler = Literal["dpm", "ddim"]
"""``dpm``: DPM-Solver++ of second order (Lu et al. 2022, 2M), deterministic. ``ddim``: Song et al. 2021, with `eta`."""

STEPS = 1000
"""Steps of the diffusion that networks are trained on."""
_OFFSET = 0.008
_LARGEST_BETA = 0.999
_NOISIEST, _CLEANEST, _POWER = 995, 4, 3
"""Steps at which DPM-Solver++ begins and asks last, and the power of whose roots its steps lie at even distances.

Our own choice. Beyond step 995 the cosine schedule leaves a network that predicts noise nothing of the image. Even
distances between the steps themselves, as usual, lose what is fine: of detail with a standard deviation of 0.05, which
the best network knows, 16 steps return 0.41; these return 0.96, and 0.95 of it in 10."""


def betas() -> torch.Tensor:
    """Return the variance that each step adds: the cosine schedule (Nichol & Dhariwal 2021) with at most 0.999.

    float64, shape (1000,).
    """
    angles = (torch.arange(STEPS + 1, dtype=torch.float64) / STEPS + _OFFSET) / (1 + _OFFSET) * math.pi / 2
    shares = torch.cos(angles) ** 2
    return (1 - shares[1:] / shares[:-1]).clamp(0.0, _LARGEST_BETA)


@lru_cache(maxsize=1)
def signal_shares() -> torch.Tensor:
    """Return the share of the image in the variance at each step, the cumulative product of 1 - beta.

    float64, shape (1000,), on the CPU; not to be written to.
    """
    # Who asks first may be inside inference mode, whose tensors cannot be used outside.
    with torch.inference_mode(mode=False):
        return torch.cumprod(1 - betas(), dim=0)


class Reverse:
    """The steps from noise to an image, with what a sampler remembers of earlier ones: one for each sample.

    All arithmetic is in the number format of the states, float32 at least.

    Parameters
    ----------
    sampler
        Which one.
    prediction
        What the network predicts.
    steps
        How many steps, each of which asks the network once.
    start
        Share of the diffusion that is gone back: 1 begins at noise, less at a noised image.
    eta
        Noise that ``ddim`` adds at each step, from none, 0, to as much as the diffusion has, 1.

    Raises
    ------
    ModelError
        diffusers is not installed.
    """

    def __init__(
        self, *, sampler: Sampler, prediction: Prediction, steps: int, start: float = 1.0, eta: float = 0.0
    ) -> None:
        self._eta = eta
        self._scheduler: Any = copy.deepcopy(_scheduler(sampler, prediction, steps, start))
        self.timesteps: tuple[int, ...] = tuple(int(step) for step in self._scheduler.timesteps)[-steps:]
        """Steps of the diffusion at which the network is asked, from the noisiest."""

    def step(
        self, prediction: torch.Tensor, timestep: int, state: torch.Tensor, noise: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the state after a step.

        Parameters
        ----------
        prediction
            Of the network at `state`, of its shape, float32.
        timestep
            Which of `timesteps`; they are gone through in order.
        state
            The image and its noise, float32.
        noise
            Standard normal, for ``ddim`` with an `eta` above 0; else none.
        """
        extra = {"eta": self._eta, "variance_noise": noise} if noise is not None else {}
        found: torch.Tensor = self._scheduler.step(prediction, timestep, state, return_dict=False, **extra)[0]
        return found


@lru_cache(maxsize=16)
def _scheduler(sampler: Sampler, prediction: Prediction, steps: int, start: float) -> Any:
    """Return a scheduler that has not made a step yet."""
    try:
        import diffusers  # noqa: PLC0415  # an extra, and seconds to import
    except ImportError as error:
        raise ModelError(
            "Diffusion networks need the package diffusers.", remedy="pip install 'scalesr[volumes]'."
        ) from error
    made: Any = diffusers  # not all of it is typed
    common: dict[str, Any] = {
        "num_train_timesteps": STEPS,
        "trained_betas": betas().numpy(),
        "prediction_type": prediction,
    }
    # The caller may be inside inference mode, whose tensors cannot be used outside.
    with torch.inference_mode(mode=False), warnings.catch_warnings():
        # The conversion of its tables to numpy is deprecated; nothing a caller can change.
        warnings.simplefilter("ignore", DeprecationWarning)
        if sampler == "ddim":
            # As in the released code: steps 1, 6, ..., 996 of 200, no clipping, and a last step that ends at step 0.
            scheduler = made.DDIMScheduler(
                **common, clip_sample=False, set_alpha_to_one=False, steps_offset=1, timestep_spacing="leading"
            )
            scheduler.set_timesteps(round(steps / start))
        else:
            scheduler = made.DPMSolverMultistepScheduler(**common, algorithm_type="dpmsolver++", solver_order=2)
            scheduler.set_timesteps(timesteps=_powers(steps, start))
    return scheduler


def _powers(steps: int, start: float) -> list[int]:
    """Return the steps of DPM-Solver++, all different, from the noisiest."""
    noisiest = round(_NOISIEST * start)
    first, last = (side ** (1 / _POWER) for side in (noisiest, _CLEANEST))
    roots = torch.linspace(first, last, steps, dtype=torch.float64)
    found = [round(root**_POWER) for root in roots.tolist()]
    for at in range(steps - 2, -1, -1):
        found[at] = max(found[at], found[at + 1] + 1)
    for at in range(steps):
        found[at] = min(found[at], noisiest - at)
    return found
