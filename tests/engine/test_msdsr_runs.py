"""The shipped networks for stacks, through the whole engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import scalesr
from scalesr.demo.storing import store
from scalesr.images import Axis, open_image
from scalesr.phantoms import volume

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from scalesr.images import Image

pytest.importorskip("diffusers")
STACK: tuple[int, int, int] = (5, 40, 36)
QUICK = (("steps", 2),)


@pytest.fixture(scope="module")
def truth() -> NDArray[np.uint8]:
    pixels = volume((4 * (STACK[0] - 1) + 1, *STACK[1:]), seed=3, pitch=12.0).region(
        tuple(slice(0, n) for n in (17, 40, 36))
    )
    return np.asarray(200 * (pixels - pixels.min()) / np.ptp(pixels)).astype(np.uint8)


@pytest.fixture
def stack(truth: NDArray[np.uint8], tmp_path: Path) -> Image:
    planes = np.ascontiguousarray(truth[::4])
    z = Axis("z", "space", "micrometer")
    return store(planes, tmp_path / "stack.ome.zarr", pixel=0.5, first=z, depth=2.0, levels="one")


def whole(path: Path) -> NDArray[Any]:
    image = open_image(path)
    return np.asarray(image.read(tuple(slice(0, size) for size in image.shape)))


def run(stack: Image, target: Path, **options: Any) -> scalesr.Result:
    return scalesr.run(stack, target, **{"model": "msdsr", "model_options": QUICK, "scheduler": "serial", **options})


def test_a_stack_becomes_a_volume_as_fine_along_z(stack: Image, truth: NDArray[np.uint8], tmp_path: Path) -> None:
    result = run(stack, tmp_path / "out.ome.zarr")
    made = open_image(tmp_path / "out.ome.zarr")
    assert made.shape == (20, 40, 36)
    assert made.levels[0].scale == (0.5, 0.5, 0.5)
    assert made.levels[0].translation[0] == stack.levels[0].translation[0]
    assert np.array_equal(whole(tmp_path / "out.ome.zarr")[:17:4], truth[::4])
    assert result.plan.passes > 0


@pytest.mark.parametrize(
    ("scheduler", "block"),
    [("serial", (1, 1, 2)), ("threads", (1, 2, 1)), pytest.param("processes", (2, 1, 1), marks=pytest.mark.slow)],
)
def test_noise_in_every_step_gives_the_same_bytes_for_any_blocks(
    stack: Image, tmp_path: Path, scheduler: str, block: tuple[int, int, int]
) -> None:
    noisy = {"model_options": (*QUICK, ("sampler", "ddim"), ("eta", 1.0)), "cell": (4, 24, 24), "halo": (1, 8, 8)}
    run(stack, tmp_path / "one.ome.zarr", block=(1, 1, 1), **noisy)
    run(stack, tmp_path / "other.ome.zarr", block=block, scheduler=scheduler, **noisy)
    assert np.array_equal(whole(tmp_path / "one.ome.zarr"), whole(tmp_path / "other.ome.zarr"))


def test_samples_leave_their_deviation_beside_the_mean(stack: Image, tmp_path: Path) -> None:
    run(stack, tmp_path / "out.ome.zarr", model_options=(*QUICK, ("samples", 2)))
    deviation = whole(tmp_path / "out.ome.zarr" / "deviation")
    assert deviation.dtype == np.float32
    assert deviation.shape == (20, 40, 36)
    assert (deviation[:17:4] == 0).all()
    assert (deviation[1:16][np.arange(15) % 4 != 3] > 0).mean() > 0.9


def test_missing_planes_are_made_up(stack: Image, truth: NDArray[np.uint8], tmp_path: Path) -> None:
    result = run(stack, tmp_path / "out.ome.zarr", missing_planes=(2,))
    made = whole(tmp_path / "out.ome.zarr")
    assert np.array_equal(made[[0, 4, 12, 16]], truth[[0, 4, 12, 16]])
    assert not np.array_equal(made[8], truth[8])
    assert 8 in result.made_up


def test_the_fast_network_is_nearer_than_interpolation(stack: Image, truth: NDArray[np.uint8], tmp_path: Path) -> None:
    errors = {}
    for model in ("msdsr-fast", "linear"):
        own: dict[str, Any] = {} if model == "msdsr-fast" else {"scale": (4, 1, 1), "sampling": "point"}
        run(stack, tmp_path / f"{model}.ome.zarr", model=model, model_options=(), **own)
        made = whole(tmp_path / f"{model}.ome.zarr")[:17].astype(float)
        assert np.array_equal(made[::4], truth[::4])
        errors[model] = float(np.square(made - truth).mean())
    assert errors["msdsr-fast"] < errors["linear"]
