"""Generators, and the priors of their latents, in files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from safetensors.torch import save_file

from scalesr.errors import ModelError
from scalesr.models import checkpoint
from scalesr.models.catalogue import weights_of
from scalesr.models.filling import filled
from scalesr.rls.degradation import Degradation
from scalesr.rls.flow import MAF
from scalesr.rls.generator import StyleGAN2
from scalesr.rls.keymaps import recognised, translated
from scalesr.rls.prior import Prior, spread
from scalesr.rls.ranges import measured_range
from scalesr.rls.search import SearchSettings
from scalesr.rls.settings import FlowSettings, GeneratorSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from scalesr.models import Percentiles
    from scalesr.models.checkpoint import Checkpoint

ARCHITECTURE = "rls"
"""Name in the metadata of a file."""
MEAN_OF = 16_384
"""Latents whose mean is taken."""
KNOWN = "known"
"""Tensor of a file with the latents of real objects."""
FACTOR = 16
"""Pixels of an image for each measured one along an axis, where a file does not say."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """A generator, and the prior of its latents where one was trained."""

    generator: StyleGAN2
    """Evaluates, and learns nothing."""
    prior: Prior | None
    """Without it only what needs no flow can be searched with."""
    metadata: Mapping[str, str]
    """What the file says of itself."""

    @property
    def factor(self) -> int:
        """Pixels of an image for each measured one along y and x that the file recommends."""
        return int(self.metadata.get("factor", FACTOR))

    def percentiles(self, degradation: Degradation) -> Percentiles:
        """Return those of what is measured of the generator's images, see `scalesr.rls.ranges`."""
        if "percentiles" in self.metadata and degradation == Degradation(factor=self.factor):
            return tuple((low, high) for low, high in json.loads(self.metadata["percentiles"]))
        return measured_range(self.generator, degradation)

    @property
    def search(self) -> SearchSettings:
        """How the file says that latents are searched for; as the released code does where it says nothing.

        Raises
        ------
        PlanError
            It says what cannot be used.
        """
        return SearchSettings.from_json(json.loads(self.metadata.get("search", "{}")))


def save(
    path: Path,
    generator: StyleGAN2,
    prior: Prior | None = None,
    *,
    title: str,
    factor: int = FACTOR,
    search: SearchSettings | None = None,
    percentiles: Percentiles | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a generator, and perhaps the prior of its latents, as safetensors that ``scalesr run --model`` takes.

    Parameters
    ----------
    path
        The file, which is replaced.
    generator, prior
        What is written.
    title
        One line on them.
    factor
        Pixels of an image for each measured one along y and x; a run may ask for another.
    search
        How latents of this generator are best searched for; a run may ask for something else, option by option.
    percentiles
        Those of what is measured of its images by that factor, see `scalesr.rls.ranges`; without them they are found
        again, less exactly, whenever the file is loaded.
    extra
        Further notes; names get ``training.`` in front unless they have a dot.
    """
    notes = {name if "." in name else f"training.{name}": value for name, value in (extra or {}).items()}
    metadata = {"generator": generator.settings.to_json(), "factor": factor, **notes}
    tensors = {f"generator.{name}": value for name, value in generator.state_dict().items()}
    if len(generator.known):
        tensors[KNOWN] = generator.known
    if search is not None:
        metadata["search"] = search.to_json()
    if percentiles is not None:
        metadata["percentiles"] = percentiles
    if prior is not None:
        metadata["flow"] = prior.flow.settings.to_json()
        tensors |= {f"prior.{name}": value for name, value in prior.state_dict().items()}
    save_file(
        {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()},
        path,
        metadata={
            "architecture": ARCHITECTURE,
            "title": title,
            "scale": f"1,{factor},{factor}",
            **{name: json.dumps(value) for name, value in metadata.items()},
        },
    )


def load(source: str | Path, *, trust: Literal["safe", "pickle"] = "safe", condition: int | None = None) -> Pair:
    """Return what a file holds: one of `save`, or the state dict of a published StyleGAN2.

    Parameters
    ----------
    source
        A file, or the name of a network that was trained here.
    trust
        Whether a pickle may be read.
    condition
        Class of a conditional published network.

    Raises
    ------
    ModelError
        There is no such file, it is a pickle that is not trusted, or holds another network.
    """
    path = weights_of(str(source))
    if not path.is_file():
        path = Path(source)
    checkpoint.refuse_pickle(path, trust=trust)
    return pair_of(checkpoint.read(path, sha256=checkpoint.fingerprint(path), trust=trust), condition=condition)


def pair_of(weights: Checkpoint, *, condition: int | None = None) -> Pair:
    """Return what a file that was read holds; see `load`.

    Raises
    ------
    ModelError
        It holds another network, or tensors and settings do not go together.
    """
    metadata = weights.metadata
    try:
        if metadata.get("architecture") == ARCHITECTURE:
            settings = GeneratorSettings.from_json(json.loads(metadata["generator"]))
            state = _under("generator.", weights.tensors)
        elif recognised(weights.tensors) is not None:
            settings, state = translated(weights.tensors, condition=condition)
        else:
            raise ModelError(
                f"{weights.path} holds no generator that is known here.",
                remedy="Make one by `scalesr train rls-generator`, or give g_ema or G_ema of a StyleGAN2.",
            )
        generator = filled(lambda: StyleGAN2(settings), state)
        if not generator.mean.any():
            # Files of rosinality's have no mean latent, from which a search without a flow begins.
            generator.mean.copy_(spread(generator, count=MEAN_OF, seed=0)[0])
        if KNOWN in weights.tensors and metadata.get("architecture") == ARCHITECTURE:
            generator.known = _of_latents(weights.tensors[KNOWN], generator)
        prior = None
        if "flow" in metadata:
            flow = FlowSettings.from_json(json.loads(metadata["flow"]))
            prior = filled(lambda: Prior(MAF(flow)), _under("prior.", weights.tensors))
            prior.eval().requires_grad_(requires_grad=False)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"The metadata and the weights of {weights.path} do not go together: {error}",
            remedy="Write it by scalesr.rls.checkpoints.save, or give a StyleGAN2 generator, whole.",
        ) from error
    return Pair(generator=generator.eval().requires_grad_(requires_grad=False), prior=prior, metadata=dict(metadata))


def _of_latents(known: torch.Tensor, generator: StyleGAN2) -> torch.Tensor:
    if known.ndim != 2 or known.shape[1] != generator.settings.latent or not known.isfinite().all():
        raise ValueError(f"known latents of shape {tuple(known.shape)}")
    return known.to(generator.mean.dtype)


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
