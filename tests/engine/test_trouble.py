"""What bad input and bad luck get: a clear error, nothing lost, never a half image that looks whole."""

from __future__ import annotations

import errno
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from engine.conftest import voxels

import scalesr
from scalesr.engine import BatchReduced, BlockRetried, Options, verify
from scalesr.errors import (
    FailedBlocksError,
    InputError,
    LedgerError,
    ModelError,
    OutputError,
    PlanError,
    ScalesrError,
    StorageError,
)
from scalesr.images import ImageWriter, open_image
from scalesr.models import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.conftest import MakeImage
    from numpy.typing import NDArray

    from scalesr.engine import Event

SMALL: dict[str, Any] = {"model": "identity", "cell": 16, "halo": 2, "block": 1, "scheduler": "serial"}


def test_nan_stops_and_says_where(make_image: MakeImage, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    pixels[33, 17] = np.nan
    with pytest.raises(InputError, match="y=33, x=17") as caught:
        scalesr.run(make_image(pixels), tmp_path / "out.zarr", **SMALL)
    assert "--on-nan fill" in caught.value.remedy


@pytest.mark.parametrize("blend", [0, 2])
def test_nan_can_be_filled_and_comes_back(make_image: MakeImage, tmp_path: Path, blend: int) -> None:
    pixels = np.random.default_rng(0).random((40, 50)).astype(np.float32)
    pixels[33, 17], pixels[0, 0], pixels[16, 16] = np.nan, np.inf, -np.inf
    image = make_image(pixels)
    result = scalesr.run(image, tmp_path / "out.zarr", on_nan="fill", **SMALL | {"halo": 4, "blend": blend})
    out = voxels(result.image)
    assert result.not_finite == 3
    np.testing.assert_array_equal(np.isnan(out), ~np.isfinite(pixels))
    np.testing.assert_allclose(out[np.isfinite(pixels)], pixels[np.isfinite(pixels)], atol=1e-6)
    lazily = scalesr.lazy(image, on_nan="fill", **SMALL | {"halo": 4, "blend": blend}).compute(scheduler="sync")
    np.testing.assert_array_equal(lazily, out)


def test_an_image_of_nothing_but_nan_does_not_hang(make_image: MakeImage, tmp_path: Path) -> None:
    image = make_image(np.full((20, 20), np.nan, np.float32))
    result = scalesr.run(image, tmp_path / "out.zarr", on_nan="fill", **SMALL)
    assert np.isnan(voxels(result.image)).all()


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_constant_images(make_image: MakeImage, tmp_path: Path, value: int) -> None:
    image = make_image(np.full((40, 50), value, np.uint16))
    result = scalesr.run(image, tmp_path / "out.zarr", normalise="percentile", **SMALL)
    assert (voxels(result.image) == value).all()


def test_a_hot_pixel_in_a_dark_image_survives(make_image: MakeImage, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(100, 104, (90, 90), dtype=np.uint16)
    pixels[44, 44] = 65000
    result = scalesr.run(make_image(pixels), tmp_path / "out.zarr", normalise="percentile", **SMALL)
    np.testing.assert_array_equal(voxels(result.image), pixels)


def corrupt(image: scalesr.Image) -> None:
    """Flip bytes in the middle of the first stored shard."""
    from pathlib import Path  # noqa: PLC0415 only here at run time

    shard = sorted(path for path in Path(image.url, "0").rglob("*") if path.is_file() and path.name != "zarr.json")[0]
    content = bytearray(shard.read_bytes())
    content[40:60] = bytes(20)
    shard.write_bytes(bytes(content))


def test_a_corrupt_chunk_is_named(make_image: MakeImage, speckle: NDArray[Any], tmp_path: Path) -> None:
    image = make_image(speckle)
    corrupt(image)
    with pytest.raises(StorageError, match="0/0"):
        scalesr.run(image, tmp_path / "out.zarr", **SMALL)


def test_a_corrupt_chunk_can_be_filled(make_image: MakeImage, speckle: NDArray[Any], tmp_path: Path) -> None:
    image = make_image(speckle)
    corrupt(image)
    result = scalesr.run(image, tmp_path / "out.zarr", on_bad_block="fill", **SMALL)
    assert len(result.bad_chunks) == 1
    out = voxels(result.image)
    assert (out[:32, :32] == 0).all()
    np.testing.assert_array_equal(out[32:, 32:], speckle[32:, 32:])


def test_a_full_disk_stops_and_the_run_goes_on_later(
    make_image: MakeImage, speckle: NDArray[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image(speckle)
    written: list[int] = []
    real = ImageWriter.write

    def full(self: ImageWriter, level: int, region: Any, data: Any) -> None:
        written.append(level)
        if len(written) > 20:
            raise OutputError("No space is left.", remedy="Free some, then --resume.") from OSError(
                errno.ENOSPC, "full"
            )
        real(self, level, region, data)

    monkeypatch.setattr(ImageWriter, "write", full)
    with pytest.raises(OutputError, match="space"):
        scalesr.run(image, tmp_path / "out.zarr", **SMALL)
    monkeypatch.undo()
    with pytest.raises(ScalesrError, match="did not finish"):
        open_image(tmp_path / "out.zarr")
    result = scalesr.run(image, tmp_path / "out.zarr", **SMALL, mode="resume")
    assert 0 < result.blocks < result.plan.blocks
    np.testing.assert_array_equal(voxels(result.image), speckle)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that is a file system of its own, of 128 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", place], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("only the superuser may mount a file system")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.parametrize("scheduler", ["serial", pytest.param("threads", marks=pytest.mark.slow)])
def test_a_disk_that_is_really_full_and_then_freed(
    make_image: MakeImage, tmp_path: Path, small_disk: Path, scheduler: str
) -> None:
    image = make_image(np.random.default_rng(3).integers(0, 60000, (220, 240), dtype=np.uint16))
    (small_disk / "ballast").write_bytes(bytes(2**15))
    options = {**SMALL, "scheduler": scheduler, "cell": 32, "blend": 2, "halo": 4}
    wanted = scalesr.run(image, tmp_path / "wanted" / "out.zarr", **options)
    target = small_disk / "out.zarr"
    with pytest.raises(OutputError, match="the disk is full"):
        scalesr.run(image, target, **options)
    with pytest.raises(ScalesrError, match="did not finish"):
        open_image(target)
    # No half-written shard is taken for a whole one.
    assert not verify(target, scheduler="serial").counts
    (small_disk / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    result = scalesr.run(image, target, mode="resume", **options)
    assert 0 < result.blocks < result.plan.blocks
    for path in (tmp_path / "wanted" / "out.zarr" / "0").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (target / "0" / path.relative_to(tmp_path / "wanted/out.zarr/0")).read_bytes()
    np.testing.assert_array_equal(voxels(result.image), voxels(wanted.image))


class Flaky:
    """Fails now and then, as storage does."""

    def __init__(self, failures: int) -> None:
        self.left = failures

    def __call__(self) -> None:
        if self.left:
            self.left -= 1
            raise ConnectionResetError("the store hung up")


@pytest.mark.parametrize("failures", [2, 99])
def test_a_block_that_fails_is_tried_three_times(
    make_image: MakeImage, speckle: NDArray[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    flaky, real = Flaky(failures), scalesr.Image.read

    def read(self: scalesr.Image, *arguments: Any, **options: Any) -> Any:
        flaky()
        return real(self, *arguments, **options)

    image = make_image(speckle)
    monkeypatch.setattr(scalesr.Image, "read", read)
    events: list[Event] = []
    if failures > 3:
        # All blocks fail in the same way, which `test_poisoned.py` has more of.
        with pytest.raises(FailedBlocksError, match="ConnectionResetError: the store hung up"):
            scalesr.run(image, tmp_path / "out.zarr", callbacks=[events.append], **SMALL)
    else:
        result = scalesr.run(image, tmp_path / "out.zarr", callbacks=[events.append], **SMALL)
        np.testing.assert_array_equal(voxels(result.image), speckle)
    retried = [event for event in events if isinstance(event, BlockRetried)]
    assert [event.attempt for event in retried][:2] == [2, 3]
    assert "hung up" in retried[0].error


def test_out_of_memory_halves_the_batch(
    make_image: MakeImage, speckle: NDArray[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scalesr.engine.inference._reduced", {})

    def greedy_load(*arguments: Any, **options: Any) -> Any:
        model = load(*arguments, **options)

        def greedy(tiles: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:
            if len(tiles) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return model(tiles, origins)

        greedy.spec = model.spec  # type: ignore[attr-defined] # a function that looks like a model
        return greedy

    monkeypatch.setattr("scalesr.engine.inference.load", greedy_load)
    events: list[Event] = []
    result = scalesr.run(
        make_image(speckle), tmp_path / "out.zarr", callbacks=[events.append], batch=8, **SMALL | {"block": 4}
    )
    np.testing.assert_array_equal(voxels(result.image), speckle)
    assert [event.batch for event in events if isinstance(event, BatchReduced)] == [2]


def test_more_memory_than_allowed_is_refused_before_anything_is_written(
    make_image: MakeImage, speckle: NDArray[Any], tmp_path: Path
) -> None:
    with pytest.raises(PlanError, match="are allowed"):
        scalesr.run(make_image(speckle), tmp_path / "out.zarr", memory=10**6, **SMALL)
    assert not (tmp_path / "out.zarr").exists()


def test_a_ledger_of_another_run_is_refused(make_image: MakeImage, speckle: NDArray[Any], tmp_path: Path) -> None:
    image = make_image(speckle)
    scalesr.run(image, tmp_path / "out.zarr", **SMALL)
    with pytest.raises(LedgerError, match=r"halo was 2 and is now 4"):
        scalesr.run(image, tmp_path / "out.zarr", **SMALL | {"halo": 4, "mode": "resume"})
    manifest = tmp_path / "out.zarr" / "scalesr" / "manifest.json"
    values = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(values | {"format": 99}))
    with pytest.raises(LedgerError, match="format 99"):
        scalesr.run(image, tmp_path / "out.zarr", **SMALL | {"mode": "resume"})
    manifest.write_text("{")
    with pytest.raises(LedgerError, match="damaged"):
        scalesr.run(image, tmp_path / "out.zarr", **SMALL | {"mode": "resume"})


def test_a_finished_run_can_be_resumed_for_nothing(
    make_image: MakeImage, speckle: NDArray[Any], tmp_path: Path
) -> None:
    image = make_image(speckle)
    scalesr.run(image, tmp_path / "out.zarr", **SMALL)
    assert scalesr.run(image, tmp_path / "out.zarr", **SMALL | {"mode": "resume"}).blocks == 0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"model": "nothing-such"}, ModelError, "nothing-such"),
        ({"axes": "zyx"}, ModelError, "zyx"),
        ({"level": 3}, InputError, "level 3"),
        ({"cell": (16, 16, 16)}, PlanError, "cell"),
        ({"block": 0}, PlanError, "block"),
        ({"block": 3, "shard": 2}, PlanError, "shard"),
        ({"blend": 5}, PlanError, None),
        ({"blend": 9, "halo": 9}, PlanError, "blend|Blending"),
        ({"out_dtype": "complex64"}, PlanError, "complex64"),
        ({"device": "tpu"}, PlanError, "tpu"),
        ({"workers": -1, "scheduler": "threads"}, PlanError, "workers"),
        ({"scheduler": "nowhere://x"}, PlanError, "nowhere"),
        ({"scheduler": "tcp://127.0.0.1:1"}, PlanError, "No Dask scheduler"),
        ({"precision": "fp16"}, PlanError, "fp16"),
    ],
)
@pytest.mark.usefixtures("quick_refusal")
def test_options_that_cannot_work(
    make_image: MakeImage, speckle: NDArray[Any], tmp_path: Path, options: dict[str, Any], error: Any, words: str | None
) -> None:
    image = make_image(speckle)
    if words is None:
        # A blend wider than the halo raises the halo.
        result = scalesr.run(image, tmp_path / "out.zarr", **SMALL | options)
        assert result.plan.lattice.axes[0].halo == 5
        return
    with pytest.raises(error, match=words) as caught:
        scalesr.run(image, tmp_path / "out.zarr", **SMALL | options)
    assert caught.value.remedy
    assert not (tmp_path / "out.zarr").exists()


def test_an_output_that_exists_is_kept(make_image: MakeImage, speckle: NDArray[Any], tmp_path: Path) -> None:
    image = make_image(speckle)
    (tmp_path / "out.zarr").mkdir()
    (tmp_path / "out.zarr" / "thesis.txt").write_text("mine")
    for mode in ("create", "overwrite", "resume"):
        with pytest.raises(OutputError):
            scalesr.run(image, tmp_path / "out.zarr", mode=mode, **SMALL)
    assert (tmp_path / "out.zarr" / "thesis.txt").read_text() == "mine"
    with pytest.raises(OutputError, match="same image"):
        scalesr.run(image, image.url, mode="overwrite", **SMALL)
    np.testing.assert_array_equal(voxels(image), speckle)


def test_no_permission_to_write(
    make_image: MakeImage, speckle: NDArray[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write everywhere, so the answer of the operating system is what is replaced.
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(OutputError, match="cannot be written"):
        scalesr.run(make_image(speckle), tmp_path / "new" / "out.zarr", **SMALL)


def test_a_run_killed_before_it_wrote_its_manifest_can_be_resumed(
    make_image: MakeImage, speckle: NDArray[Any], tmp_path: Path
) -> None:
    image = make_image(speckle)
    target = tmp_path / "out.zarr"
    options = Options(model="identity", scale=1, cell=32, scheduler="serial")
    wanted = voxels(scalesr.run(image, tmp_path / "wanted.zarr", options=options).image)
    scalesr.run(image, target, options=options)
    shutil.rmtree(target / "scalesr")
    facts = json.loads((target / "zarr.json").read_text())
    facts["attributes"] = {"scalesr": {"state": "running"}}
    (target / "zarr.json").write_text(json.dumps(facts))
    result = scalesr.run(image, target, options=options, mode="resume")
    assert result.blocks == result.plan.blocks
    assert np.array_equal(voxels(result.image), wanted)
