"""The axis n of a stack: objects that have nothing to do with each other, never bands of one image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from analysis.object_samples import stored

import scalesr
from scalesr.analysis.cube import Cube
from scalesr.analysis.objects.field import Field
from scalesr.errors import InputError
from scalesr.images import Axis, Image, create_image, open_image, pyramid_layout

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

KINDS: dict[str, Any] = {"n": "other", "w": "other", "c": "channel"}


def stack_of(target: Path, pixels: NDArray[Any], axes: str) -> Image:
    """Write a stack with one chunk for each object."""
    layout = pyramid_layout(
        axes=tuple(Axis(name, KINDS.get(name, "space")) for name in axes),
        shape=pixels.shape,
        dtype=pixels.dtype.name,
        scale=(1.0,) * pixels.ndim,
        translation=(0.0,) * pixels.ndim,
        chunks=(1, *pixels.shape[1:]),
        smallest=max(pixels.shape),
    )
    writer = create_image(target, layout)
    writer.write(0, tuple(slice(0, n) for n in pixels.shape), pixels)
    writer.publish()
    return open_image(target)


@pytest.mark.parametrize("axes", ["nyx", "ncyx"])
def test_each_object_has_figures_of_its_own(tmp_path: Path, axes: str) -> None:
    rng = np.random.default_rng(0)
    shape = (4, 2, 24, 20) if "c" in axes else (4, 24, 20)
    truth = rng.integers(0, 4000, shape, dtype=np.uint16)
    made = (truth + rng.integers(0, 200, shape)).astype(np.uint16)
    one, other = stack_of(tmp_path / "made", made, axes), stack_of(tmp_path / "truth", truth, axes)
    options: Any = {"metrics": ["psnr"], "data_range": 4000.0, "scheduler": "serial"}
    whole = scalesr.measure(one, reference=other, by="n", **options)
    assert whole.frame.bands == (2 if "c" in axes else 1)
    for n in range(4):
        alone = scalesr.measure(
            stored(tmp_path / f"made {n}", made[n]), reference=stored(tmp_path / f"truth {n}", truth[n]), **options
        )
        found = [m.value for m in whole.measures if m.where == f"n={n}"]
        assert found == [m.value for m in alone.measures]


@pytest.mark.parametrize(("axes", "shape"), [("nyx", (3, 8, 9)), ("ncyx", (3, 1, 8, 9)), ("ncyx", (3, 2, 8, 9))])
def test_a_stack_is_neither_a_spectral_image_nor_a_field(tmp_path: Path, axes: str, shape: tuple[int, ...]) -> None:
    stack = stack_of(tmp_path / "stack", np.ones(shape, np.uint8), axes)
    with pytest.raises(InputError, match=r"is no plane with bands: its axes are n \(3\)"):
        Cube.open(stack)
    with pytest.raises(InputError, match=r"no single field of view: its axes are n \(3\).*gathered from"):
        Field.open(stack)
    # One object is an image as any other, and axes of other names hold bands as before.
    one = stack_of(tmp_path / "one", np.ones((1, *shape[1:]), np.uint8), axes)
    assert Cube.open(one).bands == Field.open(one).channels == (shape[1] if "c" in axes else 1)
    banded = stack_of(tmp_path / "banded", np.ones(shape, np.uint8), axes.replace("n", "w"))
    if axes == "nyx":
        assert Cube.open(banded).bands == Field.open(banded).channels == 3
