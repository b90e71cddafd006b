"""Stacks of objects, or fields of many, by regularised latent search, as a tile model."""

from __future__ import annotations

import copy
import math
from dataclasses import fields, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import torch

from scalesr.errors import ModelError, PlanError
from scalesr.models import Cost, ModelSpec, determinism
from scalesr.models.memory import peak_bytes
from scalesr.models.network import checked_precision, parameter_bytes, torch_device
from scalesr.rls.checkpoints import pair_of
from scalesr.rls.degradation import Degradation
from scalesr.rls.generator import unit
from scalesr.rls.objective import Objective
from scalesr.rls.samples import restarts
from scalesr.rls.search import SearchSettings, search
from scalesr.tiling import round_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalesr.models import Precision
    from scalesr.models.checkpoint import Checkpoint
    from scalesr.rls.checkpoints import Pair

Objects = Literal["stack", "field"]
"""What an image holds. ``stack``: objects along an axis ``n``, each an image of its own; ``field``: one image, whose
cells of the generator's size are searched for one by one, for generators that were trained on crops from anywhere."""
_STRIDE = 1 << 16
"""Cells of a row of a field that have numbers of their own."""
_BACKWARD = 3.0
"""Passes of a network that a step counts as: forward, and backward to the latents through activations alone."""


class LatentSearch:
    """The same object gives the same bits whatever batch it is in; its noise is that of its number in the stack.

    A solution that does not agree with the measurement is returned all the same;
    `scalesr.analysis.objects.misfits_of_objects` says of a run which these are.

    Tiles are expected in the intensities that the generator makes, 0..1. Where a run normalises by percentiles, those
    of the stack become what they are of the generator's own images once measured (`scalesr.rls.ranges`), so that the
    stack is to be of objects like those; ``--normalise`` with ``none`` or two values takes what it is given for 0..1.

    Parameters
    ----------
    pair
        The generator, and the prior of its latents. They are taken over.
    degradation
        What a measurement sees of an image, and its noise.
    search
        How latents are searched for.
    objects
        What an image holds.
    samples
        Solutions for each object; of several the mean is returned, and their standard deviation.
    name
        Of the model, for tables.
    device, precision
        Where it runs, and fp32.

    Raises
    ------
    ModelError
        The device is absent, or a term of the objective needs a prior and there is none.
    PlanError
        The factor does not divide the generator's images.
    """

    def __init__(
        self,
        pair: Pair,
        *,
        degradation: Degradation,
        search: SearchSettings | None = None,
        objects: Objects = "stack",
        samples: int = 1,
        name: str = "rls",
        device: str = "cpu",
        precision: Precision = "fp32",
    ) -> None:
        determinism.settle()
        where = torch_device(device)
        self._pair = replace(
            pair,
            generator=pair.generator.to(where),
            prior=None if pair.prior is None else pair.prior.to(where),
        )
        self._degradation, self._search = degradation, search or SearchSettings()
        self._objects: Objects = objects
        self._samples = samples
        settings, factor = pair.generator.settings, degradation.factor
        if settings.size % factor:
            raise PlanError(
                f"Images of {settings.size} px cannot be measured in pixels of {factor}.",
                remedy="Give a factor that divides the size of the generator's images.",
            )
        if self._search.objective.needs_flow and pair.prior is None:
            raise ModelError(
                f"The model '{name}' has no flow, and the objective asks for the density of latents.",
                remedy="Train one by `scalesr train rls-flow`, or give density=0 and ring=0.",
            )
        edge, finer = settings.size // factor, Fraction(factor)
        stacked = objects == "stack"
        # A tile holds a group of objects, which costs little more than a single one.
        across = max(1, math.isqrt(self._search.group)) * edge
        tile = (self._search.group, edge, edge) if stacked else (across, across)
        self._spec = ModelSpec(
            name=name,
            axes="nyx" if stacked else "yx",
            scale=(Fraction(1), finer, finer) if stacked else (finer, finer),
            channels=settings.channels,
            out_channels=settings.channels,
            multiple=1 if stacked else edge,
            receptive=None,
            randomness="seeded",
            activation_bytes=0.0,
            weight_bytes=parameter_bytes(pair.generator) + (0 if pair.prior is None else parameter_bytes(pair.prior)),
            tile=tile,
            halo=(0,) * len(tile),
            blend=(0,) * len(tile),
            deviation="returned" if samples > 1 else "none",
            extent=(None, edge, edge) if stacked else None,
            percentiles=pair.percentiles(degradation),
        )
        checked_precision(precision, spec=self._spec, device=where)
        self._spec = replace(self._spec, activation_bytes=self._activation_bytes(edge))

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        return self._spec

    def to(self, *, device: str, precision: Precision) -> LatentSearch:
        """Return the model on a device; this one stays as it is."""
        where = torch_device(device)
        checked_precision(precision, spec=self._spec, device=where)
        pair = self._pair
        if where != pair.generator.mean.device:
            pair = replace(
                pair,
                generator=copy.deepcopy(pair.generator).to(where),
                prior=None if pair.prior is None else copy.deepcopy(pair.prior).to(where),
            )
        other = object.__new__(LatentSearch)
        other.__dict__.update(self.__dict__, _pair=pair)
        return other

    def tailored(self, margins: tuple[int, ...]) -> LatentSearch:
        """Return the model itself: objects have no margins; see `Tailored`.

        Raises
        ------
        ModelError
            Tiles with margins are asked for.
        """
        if any(margins):
            raise ModelError(
                f"Tiles with margins of {margins} px were asked for, and objects are searched for whole.",
                remedy="Leave out --halo.",
            )
        return self

    def cost(self, tile: tuple[int, ...], margins: tuple[int, ...]) -> Cost:  # noqa: ARG002  # none, see `tailored`
        """Return what the search for the objects of a tile costs, the gradients as twice the passes."""
        settings, group = self._pair.generator.settings, self._search.group
        edge = settings.size // self._degradation.factor
        passes = round_up(math.prod(tile) // (edge * edge), group) * self._search.steps * self._samples
        flops = 0.0
        for conv, (y, x) in zip(self._pair.generator.convs, self._pair.generator.noise_shapes, strict=True):
            kernel = conv.conv.weight  # type: ignore[union-attr]
            flops += 2.0 * float(kernel.numel()) * y * x  # type: ignore[operator]
        if self._pair.prior is not None:
            flops += 2.0 * settings.layers * sum(value.numel() for value in self._pair.prior.flow.parameters())
        return Cost(passes=passes, flops=_BACKWARD * passes * flops)

    def __call__(self, tiles: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:
        """Search for one batch of tiles; see `Model`.

        Parameters
        ----------
        tiles
            float32, shape ``(n, channels, objects, y, x)`` of a stack, or ``(n, channels, y, x)`` of a field, of some
            whole cells along both axes.
        origins
            int64, shape ``(n, 3)`` or ``(n, 2)``: the number of a tile's first object in the stack, or the field's
            pixel where a tile begins.

        Returns
        -------
        torch.Tensor
            float32, shape ``(n, channels, objects, size, size)``, or ``(n, channels, y, x)`` times the factor; with
            samples ``2 * channels``: the mean, and the standard deviation.

        Raises
        ------
        ModelError
            The objects have another size or number of channels than the generator's images over the factor.
        """
        edge = self._pair.generator.settings.size // self._degradation.factor
        if self._objects == "stack":
            count, _, depth = tiles.shape[:3]
            ids = (origins[:, :1] + torch.arange(depth)).flatten()
            found = self._solved(tiles.movedim(2, 1).flatten(0, 1), ids)
            return found.unflatten(0, (count, depth)).movedim(1, 2)  # type: ignore[no-untyped-call,no-any-return]
        count, _, height, width = tiles.shape
        if height % edge or width % edge:
            raise ModelError(
                f"A tile of {height} x {width} px has no whole cells of {edge} px.",
                remedy=f"Give --cell as a multiple of {edge}.",
            )
        rows, columns = height // edge, width // edge
        whole = tiles.reshape(count, -1, rows, edge, columns, edge).permute(0, 2, 4, 1, 3, 5)
        # The same numbers for any way of cutting the field into blocks.
        down, across = (origins // edge).split(1, dim=1)  # type: ignore[no-untyped-call]
        ids = ((down + torch.arange(rows))[:, :, None] * _STRIDE + (across + torch.arange(columns))[:, None]).flatten()
        found = self._solved(whole.flatten(0, 2), ids)
        size = found.shape[-1]
        placed = found.reshape(count, rows, columns, -1, size, size).permute(0, 3, 1, 4, 2, 5)
        return placed.reshape(count, -1, rows * size, columns * size)

    def _solved(self, low: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Return the images of objects, and with samples their standard deviations as further channels."""
        pair = self._pair
        given = pair.generator, pair.prior, low, self._degradation, self._search
        if self._samples == 1:
            return search(*given, ids=ids).images
        several = restarts(*given, samples=self._samples, ids=ids)
        return torch.cat([several.mean, several.deviation], dim=1)

    def _activation_bytes(self, edge: int) -> float:
        """Count what is alive at the peak for each measured pixel of an object, the gradients' memory included."""
        generator = self._pair.generator
        latents = torch.zeros(1, generator.layers, generator.settings.latent, device=generator.mean.device)
        # Backward keeps what forward makes: some four times the peak of a forward pass that forgets.
        kept = 4.0 * peak_bytes(lambda w: self._degradation(unit(generator.synthesis(w))), latents)
        return kept / (edge * edge)


def build(
    weights: Checkpoint,
    *,
    scale: tuple[Fraction, ...] | None,
    image_channels: int | None,
    options: Mapping[str, Any],
) -> LatentSearch:
    """Return the model that a file of weights holds.

    Options are those of `Degradation` (``kind``, ``factor``, ``psf``, ``noise``, ``counts``), of `Objective` (``data``,
    ``density``, ``ring``, ``cross``) and of `SearchSettings` by name, and ``objects`` and ``samples`` of
    `LatentSearch`. Those that are not given are those of the file, where it says any.

    Parameters
    ----------
    weights
        Of `scalesr.rls.checkpoints.save`, or of a published StyleGAN2 under that architecture.
    scale
        None, as a file says its own; or one whose last factor is meant.
    image_channels
        Channels of the image; None if it has no such axis.
    options
        By name.

    Raises
    ------
    ModelError
        The image has other channels than the generator, or the file another network.
    PlanError
        An option that there is not, or that cannot be used.
    """
    pair = pair_of(weights)
    name = weights.metadata.get("name", weights.path.stem)
    needed, there = pair.generator.settings.channels, image_channels or 1
    if needed != there:
        raise ModelError(
            f"The model '{name}' makes images of {needed} channel(s), and the image has {there}.",
            remedy="Select the channels that it was trained on, in their order.",
        )
    given = dict(options)
    parts = {kind: _taken(given, kind) for kind in (Degradation, Objective, SearchSettings)}
    objects, samples = given.pop("objects", "stack"), given.pop("samples", 1)
    if given:
        known = [each.name for kind in parts for each in fields(kind) if each.name != "objective"]
        raise PlanError(
            f"Latent search has no option '{sorted(given)[0]}'.",
            remedy=f"Its options are {', '.join([*known, 'objects', 'samples'])}.",
        )
    if objects not in ("stack", "field") or not isinstance(samples, int) or not 1 <= samples <= 256:
        raise PlanError(
            f"objects is {objects!r} and samples {samples!r}.",
            remedy="Give stack or field, and a whole number from 1 to 256.",
        )
    factor = int(scale[-1]) if scale is not None else pair.factor
    try:
        degradation = Degradation(**{"factor": factor, **parts[Degradation]})
        objective = replace(pair.search.objective, **parts[Objective])
        settings = replace(pair.search, objective=objective, **parts[SearchSettings])
    except TypeError as error:
        raise PlanError(f"An option has a wrong type: {error}.", remedy="Give numbers where they belong.") from error
    return LatentSearch(pair, degradation=degradation, search=settings, objects=objects, samples=samples, name=name)


def _taken(given: dict[str, Any], kind: type[Any]) -> dict[str, Any]:
    """Take the options of a kind of settings out of all."""
    names = [each.name for each in fields(kind) if each.name != "objective" and each.name in given]
    return {name: given.pop(name) for name in names}
