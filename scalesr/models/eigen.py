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
    """What a network adds to interpolation, for each eigenimage: K channels of details from all bands of a tile.

    Band c of the result is ``rest(band c) + sum over k of vectors[c, k] details[k]``, both on the normalised scale: see
    `mix`. What the eigenimages do not hold of a band is interpolated, so nothing of it is lost. Through the network go
    views of the eigenimages, which look more like bands than they do themselves; see `EigenBasis`. With as many
    eigenimages as bands, or with enough of them and a network that is linear, this is the network on each band.

    Parameters
    ----------
    model
        Takes and returns one channel.
    basis
        Directions of the eigenimages and of their views, and the normalisation of these.
    group
        Views of each tile that go through the network at a time. It decides the shape of the network's batches, and
        with it last bits.
    repeated
        Share of repeated pixels in the interpolation that the network's result is compared with; the rest is cubic.

    Raises
    ------
    ModelError
        The model takes or returns more than one channel.
    """

    def __init__(self, model: Model, basis: EigenBasis, *, group: int = 1, repeated: float = 0.0) -> None:
        inner = model.spec
        if inner.channels != 1 or inner.out_channels != 1:
            raise ModelError(
                f"The model '{inner.name}' takes {inner.channels} channels and returns {inner.out_channels}; "
                "eigenimages go through a network one by one.",
                remedy="Use a network of one channel, or one of three that the strategy 'single' makes one of.",
            )
        self._model = model
        self._basis = basis
        self._group = min(group, basis.seen)
        self._device = torch.device("cpu")
        self._repeated = repeated
        self._rest = Interpolation("cubic", axes=inner.axes, scale=inner.scale)
        self._nearest = Interpolation("nearest", axes=inner.axes, scale=inner.scale)
        self._views = torch.from_numpy(basis.views.T.copy())
        self._spec = _spec(inner, self._rest.spec, basis, group=self._group)

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself: all bands in, K details out."""
        return self._spec

    def to(self, *, device: str, precision: Precision) -> Eigen:
        """Return the model on a device, with its network in a number format; projection and mixing are exact in any."""
        moved = Eigen(
            self._model.to(device=device, precision=precision), self._basis, group=self._group, repeated=self._repeated
        )
        moved._device = torch.device(device)
        moved._rest = self._rest.to(device=device, precision="fp32")
        moved._nearest = self._nearest.to(device=device, precision="fp32")
        moved._views = self._views.to(moved._device)
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
            float32, shape ``(n, K, *(axes * scale))``: ``sum over m of back[k, m] gain[m] (network(v_m) - rest(v_m))``
            of the normalised views v_m, on the normalised scale of the bands.

        Raises
        ------
        ModelError
            A value is so far beyond the normalised scale, or not finite, that spectra cannot be projected exactly.
        """
        with torch.inference_mode():
            images = self._project(tiles.to(self._device))
            total: torch.Tensor | None = None
            for first in range(0, self._basis.seen, self._group):
                details = self._details(images[:, first : first + self._group], origins)
                for m, seen in enumerate(details.unbind(dim=1), start=first):
                    # Views are added one by one: the order of a matrix product would depend on its shape.
                    weights = torch.from_numpy(self._basis.back[:, m] * self._basis.gain[m]).to(seen)
                    share = seen[:, None] * weights.view(-1, *[1] * (seen.ndim - 1))
                    total = share if total is None else total.add_(share)
            assert total is not None
            return total

    def _project(self, tiles: torch.Tensor) -> torch.Tensor:
        """Return the normalised views, float32, shape ``(n, views, *axes)``."""
        basis = self._basis
        offset, gain = (torch.from_numpy(figures).to(self._device)[:, None] for figures in (basis.offset, basis.gain))
        images = torch.empty(len(tiles), basis.seen, *tiles.shape[2:], device=self._device)
        step = max(1, _VALUES // basis.bands)
        for tile, image in zip(tiles.flatten(2), images.flatten(2), strict=True):
            for start in range(0, tile.shape[1], step):
                part = slice(start, start + step)
                amounts = product(self._views, tile[:, part], bits=SPECTRUM_BITS)
                image[:, part] = amounts.sub_(offset).div_(gain)
        return images

    def _details(self, images: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:
        """Return what the network adds to some normalised views, shape as theirs times the scale."""
        count, views, *edges = images.shape
        single = images.reshape(count * views, 1, *edges)
        details = self._model(single, origins.repeat_interleave(views, dim=0))
        details = details - self._rest(single, origins) * (1 - self._repeated)
        if self._repeated:
            details -= self._nearest(single, origins) * self._repeated
        return details.reshape(count, views, *details.shape[2:])


def _spec(inner: ModelSpec, rest: ModelSpec, basis: EigenBasis, *, group: int) -> ModelSpec:
    assert rest.receptive is not None
    enlarged = float(math.prod(inner.scale))
    # All bands, the views, the details so far and a view's share of them, beside a network at work on a group, whose
    # result is alive while its interpolation is made.
    held = 4.0 * basis.bands + 4.0 * basis.seen + 4.0 * basis.k * 2 * enlarged
    busy = max(inner.activation_bytes, rest.activation_bytes + 8.0 * enlarged)
    return replace(
        inner,
        name=f"{inner.name}, {basis.k} eigenimages",
        channels=basis.bands,
        out_channels=basis.k,
        multiple=math.lcm(inner.multiple, rest.multiple),
        receptive=None
        if inner.receptive is None
        else tuple(max(pair) for pair in zip(inner.receptive, rest.receptive, strict=True)),
        activation_bytes=held + group * busy,
        # The basis and its views, which are held twice, and the slab of spectra that is being projected: in float64,
        # rounded, and its absolute values.
        weight_bytes=inner.weight_bytes + 8 * basis.bands * (basis.k + 2 * basis.seen) + 3 * 8 * _VALUES,
    )
