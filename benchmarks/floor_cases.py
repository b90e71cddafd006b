"""The cases whose floors are counted: images, plates and networks, at a small size and at that of a race."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from benchmarks.race import cases as raced
from scalesr.engine import Options
from scalesr.images import (
    Axis,
    PlateLayout,
    create_image,
    create_plate,
    mark_plate,
    open_image,
    pyramid_layout,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.race.cases import Network
    from scalesr.images import Image, Plate

Size = Literal["small", "full"]
SHARD = {2: 2048, 3: 128}
"""Edge of the input's shards, by the number of spatial axes."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """An image, and what is done with it."""

    name: str
    """That of the race, where it has the case."""
    title: str
    axes: str
    shapes: Mapping[Size, tuple[int, ...]]
    """Pixels of the image, or of one field."""
    fields: Mapping[Size, int] = field(default_factory=lambda: {"small": 1, "full": 1})
    """Fields of a plate; 1 where it is an image."""
    network: Network | None = None
    """`None` where the options name a model without weights."""
    options: Mapping[str, Any] = field(default_factory=dict)


FACTORY = "benchmarks.peers.networks:load"
"""Builds networks that scalesr does not know by their files."""
CASES = (
    Case(
        name="edsr-2d",
        title="EDSR, x2",
        axes="yx",
        shapes={"small": (1024, 1024), "full": (8192, 8192)},
        network=raced.EDSR,
    ),
    Case(
        name="edsr-2d-bf16",
        title="EDSR, x2, bf16",
        axes="yx",
        shapes={"small": (1024, 1024), "full": (8192, 8192)},
        network=raced.EDSR,
        options={"precision": "bf16"},
    ),
    Case(
        name="rrdb-2d",
        title="RRDBNet, x4",
        axes="yx",
        shapes={"small": (512, 512), "full": (4096, 4096)},
        network=raced.RRDB,
    ),
    Case(
        name="unet-3d",
        title="U-Net of volumes",
        axes="zyx",
        shapes={"small": (128, 128, 128), "full": (512, 512, 512)},
        network=raced.UNET,
        options={"axes": "zyx", "model": FACTORY},
    ),
    Case(
        name="bands",
        title="EDSR, x2, each band by itself",
        axes="cyx",
        shapes={"small": (8, 256, 256), "full": (200, 256, 256)},
        network=raced.EDSR,
        options={"strategy": "single"},
    ),
    Case(
        name="plate",
        title="EDSR, x2, a plate",
        axes="cyx",
        shapes={"small": (1, 256, 256), "full": (1, 1080, 1080)},
        fields={"small": 8, "full": 96},
        network=raced.EDSR,
        options={"normalise": "dtype"},
    ),
    Case(
        name="cubic",
        title="cubic interpolation, x2",
        axes="yx",
        shapes={"small": (4096, 4096), "full": (16384, 16384)},
        options={"model": "cubic", "scale": 2},
    ),
    Case(
        name="copy",
        title="copy",
        axes="yx",
        shapes={"small": (8192, 8192), "full": (32768, 32768)},
        options={"model": "identity"},
    ),
)


def make(folder: Path, shape: Sequence[int], axes: str, *, seed: int = 0) -> Image:
    """Write an image of blobs and noise with any axes, plane of shards by plane of shards."""
    kinds: dict[str, Any] = {"c": "channel", "t": "time"}
    spatial = sum(axis not in kinds for axis in axes)
    shards = [1 if axis in kinds else min(n, SHARD[spatial]) for axis, n in zip(axes, shape, strict=True)]
    chunks = [
        1 if axis in kinds else min(n, SHARD[spatial] // 2 ** (3 - spatial))
        for axis, n in zip(axes, shape, strict=True)
    ]
    layout = pyramid_layout(
        axes=tuple(Axis(axis, kinds.get(axis, "space"), None if axis in kinds else "micrometer") for axis in axes),
        shape=tuple(shape),
        dtype="uint16",
        scale=(1.0,) * len(shape),
        translation=(0.0,) * len(shape),
        chunks=tuple(chunks),
        shards=tuple(shards),
        smallest=max(shape),
        name=folder.stem,
    )
    writer = create_image(folder, layout, mode="overwrite")
    for region in np.ndindex(*(-(-n // s) for n, s in zip(shape, shards, strict=True))):
        part = tuple(slice(i * s, min((i + 1) * s, n)) for i, s, n in zip(region, shards, shape, strict=True))
        places = np.meshgrid(*(np.arange(p.start, p.stop, dtype=np.float32) for p in part), indexing="ij", sparse=True)
        smooth = sum((np.sin(place / (7 + 11 * k)) for k, place in enumerate(places)), np.float32(0))
        noise = np.random.default_rng((seed, *region)).integers(0, 256, [p.stop - p.start for p in part], np.uint16)
        writer.write(0, part, (2000 + 500 * smooth + noise).astype(np.uint16))
    writer.publish()
    return open_image(folder)


def make_plate(folder: Path, shape: Sequence[int], axes: str, *, fields: int) -> Plate:
    """Write a plate with so many fields, each in a well of its own."""
    wells = {f"A/{number + 1}": ["0"] for number in range(fields)}
    plate = create_plate(folder, PlateLayout.of_wells("fields", wells))
    for number, path in enumerate(plate.fields):
        make(Path(plate.location(path).url), shape, axes, seed=number)
    return mark_plate(plate, state="done")


def options_of(case: Case, weights: Path | None) -> Options:
    """Return what a run of the case is told."""
    if case.options.get("model") == FACTORY:
        return Options(**case.options, model_options=(("weights", str(weights)),))
    own: dict[str, Any] = {} if weights is None else {"model": str(weights)}
    return Options(**own, **case.options)
