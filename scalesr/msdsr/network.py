"""The diffusion network: a U-Net of diffusers, told of the measured rows; its files."""

from __future__ import annotations

import json
from math import gcd
from typing import TYPE_CHECKING, Any, Literal

import torch
from safetensors.torch import save_file
from torch import nn

from scalesr.errors import ModelError
from scalesr.models import checkpoint
from scalesr.models.catalogue import weights_of
from scalesr.models.filling import filled
from scalesr.msdsr.settings import NetworkSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scalesr.models.checkpoint import Checkpoint
    from scalesr.msdsr.settings import Span

ARCHITECTURE = "msdsr"
"""Name in the metadata of a file."""
HEAD = 32
"""Channels of an attention head."""
GROUPS = 32
"""Groups of features that are normalised together, at most."""


class Denoiser(nn.Module):
    """Predicts the noise, or the velocity, of an image whose measured rows stand clean in it.

    Parameters
    ----------
    settings
        What it is.

    Raises
    ------
    ModelError
        diffusers is not installed.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.unet: nn.Module = _unet(settings)

    def forward(
        self, noisy: torch.Tensor, steps: torch.Tensor, known: torch.Tensor, guide: torch.Tensor
    ) -> torch.Tensor:
        """Predict.

        Parameters
        ----------
        noisy
            Shape (n, channels, rows, columns) in the network's span, measured pixels overwritten by the clean ones;
            edges are multiples of ``settings.multiple``.
        steps
            int64, shape (n,): steps of the schedule, 0 to 999.
        known
            Shape (n, 1, rows, columns), 1 where measured.
        guide
            Shape as `noisy`: linear interpolation along the rows between the measured ones, in the network's span.

        Returns
        -------
        torch.Tensor
            Shape as `noisy`.
        """
        parts = {"rows": (noisy,), "mask": (noisy, known), "guide": (noisy, known, guide)}[self.settings.conditioning]
        image = torch.cat([part.to(noisy.dtype) for part in parts], dim=1) if len(parts) > 1 else noisy
        found: torch.Tensor = self.unet(image, steps).sample
        return found


def to_span(values: torch.Tensor, span: Span) -> torch.Tensor:
    """Return intensities of 0..1 as the network has them."""
    return values if span == "unit" else 2 * values - 1


def from_span(values: torch.Tensor, span: Span) -> torch.Tensor:
    """Return the intensities of values of the network."""
    return values if span == "unit" else (values + 1) / 2


def save_denoiser(
    denoiser: Denoiser,
    path: Path,
    *,
    title: str,
    extra: Mapping[str, Any] | None = None,
    architecture: str = ARCHITECTURE,
    stored: Literal["fp32", "fp16"] = "fp32",
) -> None:
    """Write a network as safetensors that ``scalesr run --model`` takes.

    Parameters
    ----------
    denoiser
        The network.
    path
        The file, which is replaced.
    title
        One line on the network.
    extra
        Further notes; names get ``training.`` in front unless they have a dot.
    architecture
        What the network is used as.
    stored
        Number format in the file: ``fp16`` halves it, and rounds the weights once.
    """
    notes = {name if "." in name else f"training.{name}": value for name, value in (extra or {}).items()}
    metadata = {name: json.dumps(value) for name, value in {**denoiser.settings.to_json(), **notes}.items()}
    dtype = torch.float16 if stored == "fp16" else torch.float32
    tensors = {name: value.detach().cpu().to(dtype).contiguous() for name, value in denoiser.unet.state_dict().items()}
    save_file(tensors, path, metadata={"architecture": architecture, "title": title, **metadata})


def load_denoiser(source: str | Path, *, trust: Literal["safe", "pickle"] = "safe") -> Denoiser:
    """Return a network from a file or by the name of one that was trained here.

    Raises
    ------
    ModelError
        There is no such file, it is a pickle that is not trusted, or holds another network.
    """
    path = weights_of(str(source))
    if not path.is_file():
        path = type(path)(source)
    checkpoint.refuse_pickle(path, trust=trust)
    return denoiser_of(checkpoint.read(path, sha256=checkpoint.fingerprint(path), trust=trust))


def denoiser_of(weights: Checkpoint, *, architecture: str = ARCHITECTURE) -> Denoiser:
    """Return the network that a file holds.

    Raises
    ------
    ModelError
        It holds another network, or tensors and settings do not go together.
    """
    metadata = weights.metadata
    if metadata.get("architecture") != architecture:
        raise ModelError(
            f"{weights.path} holds no diffusion network of scalesr.", remedy="Make one by `scalesr train msdsr`."
        )
    try:
        known = NetworkSettings().to_json()
        settings = NetworkSettings.from_json({name: json.loads(metadata[name]) for name in known if name in metadata})
        tensors = {f"unet.{name}": value.float() for name, value in weights.tensors.items()}
        denoiser = filled(lambda: Denoiser(settings), tensors)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"The metadata and the weights of {weights.path} do not go together: {error}",
            remedy="Write it by scalesr.msdsr.save_denoiser.",
        ) from error
    return denoiser.eval()


def _unet(settings: NetworkSettings) -> nn.Module:
    try:
        import diffusers  # noqa: PLC0415 an extra, and seconds to import
    except ImportError as error:
        raise ModelError(
            "Diffusion networks need the package diffusers.", remedy="pip install 'scalesr[volumes]'."
        ) from error
    inner = {"rows": 0, "mask": 1, "guide": 1 + settings.channels}[settings.conditioning]
    make: Any = diffusers.UNet2DModel  # its types are not told
    unet: nn.Module = make(
        sample_size=settings.tile,
        in_channels=settings.channels + inner,
        out_channels=settings.channels,
        block_out_channels=settings.widths,
        layers_per_block=settings.layers,
        down_block_types=tuple("AttnDownBlock2D" if on else "DownBlock2D" for on in settings.attention),
        up_block_types=tuple("AttnUpBlock2D" if on else "UpBlock2D" for on in reversed(settings.attention)),
        attention_head_dim=HEAD,
        norm_num_groups=gcd(GROUPS, *settings.widths) if min(settings.widths) >= 2 * GROUPS else 8,
        add_attention=any(settings.attention),
    )
    return unet
