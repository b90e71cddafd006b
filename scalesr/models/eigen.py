"""The strategy ``eigen:K``: a network of one channel on the eigenimages of a spectral image instead of on its bands."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from scalesr.errors import ModelError
from scalesr.models.baselines import Interpolation
from scalesr.models.eigen_basis import SPECTRUM_BITS, product

if TYPE_CHECKING:
    from scalesr.models.eigen_basis import EigenBasis
    from scalesr.models.spec import Model, ModelSpec, Precision

_VALUES = 2**22
"""Values projected at a time: 32 MiB of float64."""


class Eigen:
    """What a network adds to cubic interpolation, for each eigenimage: K channels of details from all bands of a tile.

    Band c of the result is ``cubic(band c) + sum over k of vectors[c, k] details[k]``, both on the normalised scale:
    see `mix`. What the eigenimages do not hold of a band is interpolated, so nothing of it is lost. With as many
    eigenimages as bands and a network that is linear, this is the network on each band.

    Parameters
    ----------
    model
        Takes and returns one channel.
    basis
        Directions of the eigenimages, and their normalisation.
    group
        Eigenimages of each tile that go through the network at a time. It decides the shape of the network's batches,
        and with it last bits.

    Raises
    ------
    ModelError
        The model takes or returns more than one channel.
    """

    def __init__(self, model: Model, basis: EigenBasis, *, group: int = 1) -> None:
        inner = model.spec
        if inner.channels != 1 or inner.out_channels != 1:
            raise ModelError(
                f"The model '{inner.name}' takes {inner.channels} channels and returns {inner.out_channels}; "
                "eigenimages go through a network one by one.",
                remedy="Use a network of one channel, or one of three that the strategy 'single' makes one of.",
            )
        self._model = model
        self._basis = basis
        self._group = min(group, basis.k)
        self._device = torch.device("cpu")
        self._cubic = Interpolation("cubic", axes=inner.axes, scale=inner.scale)
        self._vectors = torch.from_numpy(basis.vectors.T.copy())
        self._spec = _spec(inner, self._cubic.spec, basis, group=self._group)

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself: all bands in, K details out."""
        return self._spec

    def to(self, *, device: str, precision: Precision) -> Eigen:
        """Return the model on a device, with its network in a number format; projection and mixing are exact in any."""
        moved = Eigen(self._model.to(device=device, precision=precision), self._basis, group=self._group)
        moved._device = torch.device(device)
        moved._cubic = self._cubic.to(device=device, precision="fp32")
        moved._vectors = self._vectors.to(moved._device)
        return moved

    def __call__(self, tiles: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:
        """Run one batch; see `Model`.

        Parameters
        ----------
        tiles
            float32, shape ``(n, bands, *axes)``, each band normalised.
        origins
            int64, shape ``(n, len(axes))``.

        Returns
        -------
        torch.Tensor
            float32, shape ``(n, K, *(axes * scale))``: ``gain_k * (network(e_k) - cubic(e_k))`` of the normalised
            eigenimages e_k, on the normalised scale of the bands.

        Raises
        ------
        ModelError
            A value is so far beyond the normalised scale, or not finite, that spectra cannot be projected exactly.
        """
        with torch.inference_mode():
            images = self._project(tiles.to(self._device))
            groups = [
                self._details(images[:, first : first + self._group], origins, first)
                for first in range(0, self._basis.k, self._group)
            ]
            return torch.cat(groups, dim=1)

    def _project(self, tiles: torch.Tensor) -> torch.Tensor:
        """Return the normalised eigenimages, float32, shape ``(n, K, *axes)``."""
        basis = self._basis
        offset, gain = (torch.from_numpy(figures).to(self._device)[:, None] for figures in (basis.offset, basis.gain))
        images = torch.empty(len(tiles), basis.k, *tiles.shape[2:], device=self._device)
        step = max(1, _VALUES // basis.bands)
        for tile, image in zip(tiles.flatten(2), images.flatten(2), strict=True):
            for start in range(0, tile.shape[1], step):
                part = slice(start, start + step)
                amounts = product(self._vectors, tile[:, part], bits=SPECTRUM_BITS)
                image[:, part] = amounts.sub_(offset).div_(gain)
        return images

    def _details(self, images: torch.Tensor, origins: torch.Tensor, first: int) -> torch.Tensor:
        """Return the details of the eigenimages from `first` on, shape as the images' times the scale."""
        count, k, *edges = images.shape
        single = images.reshape(count * k, 1, *edges)
        details = self._model(single, origins.repeat_interleave(k, dim=0)) - self._cubic(single, origins)
        gain = torch.from_numpy(self._basis.gain[first : first + k]).to(details)
        scaled: torch.Tensor = details.reshape(count, k, *details.shape[2:]) * gain.view(-1, *[1] * len(edges))
        return scaled


def _spec(inner: ModelSpec, cubic: ModelSpec, basis: EigenBasis, *, group: int) -> ModelSpec:
    assert cubic.receptive is not None
    enlarged = float(math.prod(inner.scale))
    # All bands, the eigenimages, the details so far and their concatenation, beside a network at work on a group, whose
    # result is alive while its interpolation is made.
    held = 4.0 * basis.bands + 4.0 * basis.k * (1 + 2 * enlarged)
    busy = max(inner.activation_bytes, cubic.activation_bytes + 4.0 * enlarged)
    return replace(
        inner,
        name=f"{inner.name}, {basis.k} eigenimages",
        channels=basis.bands,
        out_channels=basis.k,
        multiple=math.lcm(inner.multiple, cubic.multiple),
        receptive=None
        if inner.receptive is None
        else tuple(max(pair) for pair in zip(inner.receptive, cubic.receptive, strict=True)),
        activation_bytes=held + group * busy,
        # The basis, and the slab of spectra that is being projected: in float64, rounded, and its absolute values.
        weight_bytes=inner.weight_bytes + 8 * basis.bands * basis.k + 3 * 8 * _VALUES,
    )
