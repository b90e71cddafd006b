"""Fine-tuning a generator on one's own cube alone: the cube is its own truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalesr.errors import ModelError
from scalesr.hyres.settings import TrainingSettings

if TYPE_CHECKING:
    from scalesr.models.rrdb import RRDBNet

MINUTES = 5.0
"""Default length."""


def own_settings(start: RRDBNet, **changes: Any) -> TrainingSettings:
    """Return settings for going on with a generator on the measured cube itself, without any finer truth.

    The pairs are the cube's own bands as the truth, and what the instrument makes of them as the measurement: a scale
    further down. **It assumes that structures look alike across scales**: that what is lost from the truth to the
    measurement is like what is lost from the measurement to its own degradation. That holds for edges and textures; it
    does not for structures of one size, such as cells that are just resolved. The noise of the cube becomes part of
    the truth; its mean is learnt, not its draw, as far as the pixels' loss goes. That the paper (arXiv 2503.02908)
    fine-tunes "without the need of additional training data" is known, how is not: this is our own choice.

    A low rate, few steps of warming up, pixels' loss and FRC loss, and changes to the patches by turns and mirrors
    only, so that intensities stay those of the cube. What `train` keeps is at least as good on the held-out strip as
    `start`.

    Parameters
    ----------
    start
        What to go on from; its sizes become those of the settings.
    changes
        Fields of `TrainingSettings` to set otherwise.

    Raises
    ------
    ModelError
        The generator takes or returns more than one channel.
    PlanError
        A change that cannot be used.
    """
    if start.conv_last.out_channels != 1 or start.conv_first.in_channels != start.fold**2:
        raise ModelError(
            "A generator of several channels cannot be tuned on each band alone.",
            remedy="Begin with one of a single channel, such as rrdb-x4.",
        )
    length: dict[str, Any] = {} if changes.get("steps") is not None else {"minutes": MINUTES}
    usual: dict[str, Any] = {"rate": 1e-4, "warm_up": 50, "augment": "turns", "validations": 5, **length}
    return TrainingSettings(**{**usual, **changes, **sizes_of(start)})


def sizes_of(network: RRDBNet) -> dict[str, Any]:
    """Return the fields of `TrainingSettings` that say how large a generator is."""
    return {
        "scale": network.scale,
        "features": network.conv_first.out_channels,
        "growth": network.state_dict()["body.0.rdb1.conv1.bias"].numel(),
        "blocks": len(network.body),
    }
