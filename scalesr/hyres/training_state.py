"""What a training has come to at a step: all that is needed to go on from there bit by bit."""

from __future__ import annotations

import copy
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from scalesr.errors import LedgerError, OutputError, ScalesrError
from scalesr.hyres.discriminator import UNetDiscriminator
from scalesr.hyres.patches import Draws
from scalesr.hyres.settings import TrainingSettings, differences
from scalesr.hyres.start import start_as_linear
from scalesr.models.rrdb import RRDBNet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CHECKPOINT = "checkpoint.pt"
"""Name of the file."""
FORMAT = 1
"""Of the file; another is refused."""


@dataclass
class Counters:
    """Numbers of a training that are no tensors."""

    step: int = 0
    """Steps done, with those that were skipped."""
    seconds: float = 0.0
    """Time spent, with validation, without pauses between interruption and resumption."""
    best: float = -math.inf
    """Highest PSNR of a validation, in dB."""
    best_step: int = 0
    """Step of that validation, whose weights are kept."""
    skipped: int = 0
    """Steps whose loss or gradient was not finite."""
    skipped_in_a_row: int = 0
    """The last of them without a good one between."""
    validations: int = 0
    """Validations done."""
    losses: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Sums of the losses since the last validation by name, and of how many steps."""

    def note(self, name: str, loss: float) -> None:
        """Add a loss of a step."""
        total, steps = self.losses.get(name, (0.0, 0))
        self.losses[name] = total + loss, steps + 1

    def take_losses(self) -> dict[str, float]:
        """Return the means of the losses by name, and begin anew."""
        means = {name: total / steps for name, (total, steps) in self.losses.items()}
        self.losses = {}
        return means


@dataclass(eq=False)
class TrainingState:
    """Networks, optimisers and counters; random numbers need no state, as they follow from the seed and the step."""

    network: RRDBNet
    """The generator that is trained."""
    average: RRDBNet
    """The moving average of its weights, which is validated and kept."""
    optimiser: torch.optim.Adam
    """Of the generator."""
    discriminator: UNetDiscriminator | None
    """None where no loss asks for one."""
    rival: torch.optim.Adam | None
    """Optimiser of the discriminator."""
    counters: Counters = field(default_factory=Counters)
    """Where it is."""

    @classmethod
    def begin(cls, settings: TrainingSettings, start: RRDBNet | None = None) -> TrainingState:
        """Return the state before the first step.

        Parameters
        ----------
        settings
            They decide all first weights, by their seed; torch's own random numbers are left as they were.
        start
            A generator to go on from; without one a new one begins as linear interpolation.
        """
        device = torch.device(settings.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = start or start_as_linear(
                RRDBNet(
                    features=settings.features, growth=settings.growth, blocks=settings.blocks, scale=settings.scale
                )
            )
            discriminator = UNetDiscriminator(1) if settings.adversarial else None
        network = _placed(network, device).train()
        average = copy.deepcopy(network).requires_grad_(requires_grad=False).eval()
        if discriminator is not None:
            discriminator = _placed(discriminator, device).train()
        return cls(
            network=network,
            average=average,
            optimiser=torch.optim.Adam(network.parameters(), lr=settings.rate, betas=(0.9, 0.99)),
            discriminator=discriminator,
            rival=None
            if discriminator is None
            else torch.optim.Adam(discriminator.parameters(), lr=settings.rate, betas=(0.9, 0.99)),
        )

    def follow(self, weight: float) -> None:
        """Move the average towards the network; `weight` is that of the past, and less in the first steps."""
        kept = min(weight, (1 + self.counters.step) / (10 + self.counters.step))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, 1 - kept)

    def save(self, folder: Path, *, settings: TrainingSettings, sources: Sequence[str], draws: Draws) -> None:
        """Write the checkpoint such that the file is at any time whole: the former one or this one.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        content = {
            "format": FORMAT,
            "settings": settings.to_json(),
            "sources": list(sources),
            "draws": draws.to_json(),
            "counters": asdict(self.counters),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }
        fresh = folder / (CHECKPOINT + ".new")
        try:
            torch.save(content, fresh)
            fresh.replace(folder / CHECKPOINT)
        except (OSError, RuntimeError) as error:
            raise OutputError(
                f"{folder / CHECKPOINT} cannot be written: {error}.",
                remedy="Check the folder and the space on its disk.",
            ) from error

    def restore(self, folder: Path, *, settings: TrainingSettings, sources: Sequence[str]) -> Draws:
        """Read the checkpoint into this state, and return the counts of patches.

        Raises
        ------
        LedgerError
            There is none, it cannot be read, or it belongs to a training with other settings or images; the message
            says which.
        """
        path = folder / CHECKPOINT
        if not path.exists():
            raise LedgerError(
                f"There is no training to go on with: {path} does not exist.", remedy="Leave --resume out to begin one."
            )
        content = read_checkpoint(path)
        other = differences(settings, content["settings"])
        if list(sources) != content["sources"]:
            other.append("the images are others")
        if other:
            raise LedgerError(
                f"{folder} belongs to another training: {'; '.join(other)}.",
                remedy="Use the same settings and images, or begin another training in a folder of its own.",
            )
        for name, part in self._parts().items():
            part.load_state_dict(content[name])
        self.counters = Counters(**content["counters"])
        return Draws(**content["draws"])

    def _parts(self) -> Mapping[str, Any]:
        parts = {
            "network": self.network,
            "average": self.average,
            "optimiser": self.optimiser,
            "discriminator": self.discriminator,
            "rival": self.rival,
        }
        return {name: part for name, part in parts.items() if part is not None}


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint; nothing in it is run.

    Raises
    ------
    LedgerError
        It is damaged, or no checkpoint of this version.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        known = isinstance(content, dict) and content.get("format") == FORMAT
    except Exception as error:  # torch raises what its zip and pickle readers do
        raise _damaged(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if not known:
        raise _damaged(path, f"it is not of format {FORMAT}")
    return dict(content)


def _damaged(path: Path, why: str) -> ScalesrError:
    return LedgerError(
        f"{path} is no checkpoint that can be gone on from: {why}.",
        remedy="Begin the training anew, in another folder.",
    )


def _placed(network: Any, device: torch.device) -> Any:
    """Return a network on a device, with channels last, which convolutions are quicker with."""
    return network.to(device).to(memory_format=torch.channels_last)
