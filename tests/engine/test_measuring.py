"""Measuring images in storage: every pixel once, in its right place, whatever the chunks and the workers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import scalesr
from scalesr.engine.gathering import stretches
from scalesr.engine.pairing import match_images
from scalesr.errors import InputError, OutputError, PlanError, StorageError
from scalesr.images import Axis, create_image, open_image, pyramid_layout
from scalesr.metrics import MAKERS, Count, ExactSum, Measure, Rows, Settings, State

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from scalesr.images import Image
    from scalesr.metrics import Frame, Patch

KINDS: dict[str, Any] = {"t": "time", "c": "channel"}
CONTEXT = 6


def store(
    path: Path,
    pixels: NDArray[Any],
    axes: str = "yx",
    *,
    chunks: tuple[int, ...] | None = None,
    pixel: float = 0.5,
    origin: float = 0.0,
) -> Image:
    """Write an array as an OME-Zarr image."""
    chunks = chunks or tuple(1 if a in "tc" else min(32, n) for a, n in zip(axes, pixels.shape, strict=True))
    layout = pyramid_layout(
        axes=tuple(Axis(a, KINDS.get(a, "space"), "micrometer" if a in "zyx" else None) for a in axes),
        shape=pixels.shape,
        dtype=pixels.dtype.name,
        scale=tuple(pixel if a in "zyx" else 1.0 for a in axes),
        translation=tuple(origin if a in "zyx" else 0.0 for a in axes),
        chunks=chunks,
        shards=chunks,
        smallest=10**6,
    )
    writer = create_image(path, layout, mode="overwrite")
    writer.array(0)[...] = pixels
    writer.publish()
    return open_image(path)


@dataclass(frozen=True)
class Probe:
    """Adds up what it is shown, weighted by where it lies, so that nothing can be missed, doubled or misplaced."""

    width: int = CONTEXT

    @property
    def context(self) -> tuple[int, ...]:
        return (self.width, self.width)

    def update(self, state: State, patch: Patch) -> State:
        own = patch.output[patch.own].astype(float)
        weights = np.add.outer(*(np.arange(s, s + n) for s, n in zip(patch.start, patch.cell, strict=True)))
        other = own if patch.reference is None else patch.reference[patch.own]
        # What lies above must be the image's own pixels.
        ends = [min(s + n + self.width, size) for s, n, size in zip(patch.start, patch.cell, patch.shape, strict=True)]
        assert patch.output.shape[1:] == tuple(e - s for e, s in zip(ends, patch.start, strict=True))
        coarse = 0.0 if patch.measured is None else float(patch.measured.astype(float).sum())
        figures = np.stack(
            [own.sum(), (own * weights).sum(), (own * other).sum(), patch.output.sum(dtype=float), coarse]
        )
        state.add("sums", ExactSum(figures.shape).add(figures))
        state.add("pixels", Count(own.size - (0 if patch.missing is None else int(patch.missing[patch.own].sum()))))
        return state.add("rows", Rows({patch.start: own.mean()}))


@dataclass(frozen=True)
class ProbeMetric:
    """Tells what the probe saw; draws the pixels themselves as a map."""

    name: str = "probe"
    statistic: Probe = Probe()
    grid: str = "output"

    def finalize(self, state: State, frame: Frame) -> Sequence[Measure]:
        n = int(state.counts("pixels"))
        figures = [("sum", state.sums("sums", (5,))[0]), ("placed", state.sums("sums", (5,))[1])]
        figures += [("product", state.sums("sums", (5,))[2]), ("coarse", state.sums("sums", (5,))[4])]
        figures.append(("cells", float(len(state.rows("rows")))))
        return [Measure(metric="probe", kind=kind, value=float(value), n=n) for kind, value in figures]

    def pixels(self, patch: Patch, state: State, frame: Frame) -> NDArray[Any]:
        return patch.output[patch.own].astype(np.float32)


@pytest.fixture(autouse=True)
def probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MAKERS, "probe", lambda frame, settings: ProbeMetric())


def told(measures: Sequence[Measure]) -> dict[tuple[str, str, str | None, str], Any]:
    return {(m.metric, m.kind, m.band, m.where): (m.value, m.n, tuple(m.left_out.items()), m.note) for m in measures}


def test_every_pixel_is_seen_once_and_in_its_place(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 60000, (2, 3, 1100, 700), dtype=np.uint16)
    other = rng.integers(0, 60000, pixels.shape, dtype=np.uint16)
    output = store(tmp_path / "a.zarr", pixels, "tcyx", chunks=(1, 1, 200, 128))
    reference = store(tmp_path / "b.zarr", other, "tcyx", chunks=(1, 3, 333, 700))
    found = told(scalesr.measure(output, reference=reference, metrics=["probe"], scheduler="serial", by="t").measures)
    weights = np.add.outer(np.arange(1100), np.arange(700)).astype(float)
    exact = pixels.astype(float)
    assert found["probe", "sum", None, ""][:2] == (exact.sum(), pixels.size)
    assert found["probe", "placed", None, ""][0] == (exact * weights).sum()
    assert found["probe", "product", None, ""][0] == (exact * other).sum()
    assert found["probe", "cells", None, ""][0] == 2 * 3 * 2
    assert found["probe", "sum", None, "t=1"][:2] == (exact[1].sum(), pixels[1].size)


METRICS = ["mae", "psnr", "pearson", "ssim", "frc"]


def test_the_same_bits_for_any_chunks_and_workers(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.normal(100, 30, (1300, 900)).astype(np.float32)
    other = (pixels + rng.normal(0, 5, pixels.shape)).astype(np.float32)
    pixels[700:705, 300] = np.nan
    settings = Settings(data_range=300.0)
    results = []
    for n, chunks in enumerate([(128, 900), (77, 190), (512, 512)]):
        output = store(tmp_path / f"a{n}.zarr", pixels, chunks=chunks)
        reference = store(tmp_path / f"b{n}.zarr", other, chunks=chunks[::-1])
        for scheduler, workers in [("serial", 1), ("threads", 1), ("threads", 3), ("processes", 2)][
            : 4 if n == 1 else 2
        ]:
            found = scalesr.measure(
                output, reference=reference, metrics=METRICS, settings=settings, scheduler=scheduler, workers=workers
            )
            results.append(told(found.measures))
    assert all(result == results[0] for result in results)
    assert all(value[0] is not None for key, value in results[0].items() if key[0] != "frc")


def test_stretches_hold_every_cell_once(tmp_path: Path) -> None:
    image = store(tmp_path / "a.zarr", np.zeros((2, 40, 300, 200), np.uint8), "tzyx")
    for slots in (1, 2, 7):
        subjects = match_images(
            image, reference=None, measured=None, mask=None, axes=None, settings=Settings(), position="check"
        )
        seen = [
            (stretch.plane, *cell)
            for stretch in stretches(subjects, slots=slots)
            for cell in np.ndindex(*(len(cells) for cells in stretch.cells))
        ]
        assert len(seen) == 2 * 1 * 3 * 2


def test_what_the_output_was_made_from(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    small = rng.integers(0, 255, (300, 290), dtype=np.uint8)
    output = store(tmp_path / "a.zarr", np.kron(small, np.ones((4, 4), np.uint8)), pixel=0.5)
    measured = store(tmp_path / "b.zarr", small, pixel=2.0, origin=0.75)
    found = told(scalesr.measure(output, measured=measured, metrics=["probe"], scheduler="serial").measures)
    # The context of a cell lies under pixels of the next one, so the sum is larger than that of the image.
    assert found["probe", "coarse", None, ""][0] > float(small.sum())
    subjects = match_images(
        output, reference=None, measured=measured, mask=None, axes=None, settings=Settings(), position="check"
    )
    assert subjects.frame.ratio == (Fraction(4), Fraction(4))


def test_overlap_after_a_shift_by_whole_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    whole = rng.integers(0, 255, (90, 80), dtype=np.uint8)
    output = store(tmp_path / "a.zarr", whole[:80], pixel=0.5, origin=0.0)
    reference = store(tmp_path / "b.zarr", whole[10:, 10:], pixel=0.5, origin=5.0)
    found = scalesr.measure(output, reference=reference, metrics=["probe"], scheduler="serial")
    assert found.frame.shape == (70, 70)
    assert found.measures[2].value == (whole[10:80, 10:].astype(float) ** 2).sum()
    assert any("10 pixels (5 micrometer)" in note for note in found.notes)


@pytest.mark.parametrize(
    ("pixel", "origin", "words"),
    [
        (0.4, 0.0, "Along y a pixel of .* is 0.5 micrometer and one of the reference .* is 0.4 micrometer"),
        (0.5, 0.25, r"lies 0.25 micrometer \(0.5 pixels\) further on"),
        (0.5, 900.0, "do not overlap: they lie 900 micrometer apart"),
    ],
)
def test_images_that_do_not_fit_are_refused_in_physical_units(
    tmp_path: Path, pixel: float, origin: float, words: str
) -> None:
    output = store(tmp_path / "a.zarr", np.ones((64, 64), np.uint8))
    reference = store(tmp_path / "b.zarr", np.ones((64, 64), np.uint8), pixel=pixel, origin=origin)
    with pytest.raises(InputError, match=words):
        scalesr.measure(output, reference=reference, metrics=["mae"])


def test_positions_can_be_ignored(tmp_path: Path) -> None:
    output = store(tmp_path / "a.zarr", np.ones((64, 64), np.uint8))
    reference = store(tmp_path / "b.zarr", np.ones((64, 64), np.uint8), origin=0.2)
    found = scalesr.measure(output, reference=reference, metrics=["mae"], position="ignore", scheduler="serial")
    assert found.measures[0].value == 0
    assert any("ignored" in note for note in found.notes)


def test_other_axes_and_measurements_that_do_not_fit(tmp_path: Path) -> None:
    output = store(tmp_path / "a.zarr", np.ones((3, 64, 64), np.uint8), "cyx")
    with pytest.raises(InputError, match="no axis 'c'"):
        scalesr.measure(output, reference=store(tmp_path / "b.zarr", np.ones((64, 64), np.uint8)), metrics=["mae"])
    other = store(tmp_path / "c.zarr", np.ones((2, 64, 64), np.uint8), "cyx")
    with pytest.raises(InputError, match=r"has 3 entries in .* and 2 in the reference"):
        scalesr.measure(output, reference=other, metrics=["mae"])
    other = store(tmp_path / "d.zarr", np.ones((3, 20, 16), np.uint8), "cyx", pixel=2.0, origin=0.75)
    with pytest.raises(InputError, match="not cover the same ground"):
        scalesr.measure(output, measured=other, metrics=["probe"])
    other = store(tmp_path / "e.zarr", np.ones((3, 16, 16), np.uint8), "cyx", pixel=2.0)
    with pytest.raises(InputError, match=r"outer edges .* lie .* apart"):
        scalesr.measure(output, measured=other, metrics=["probe"])
    with pytest.raises(InputError, match="no planes along 'z'"):
        scalesr.measure(output, metrics=["probe"], by="z")
    with pytest.raises(InputError, match="no metric named 'sharpness'"):
        scalesr.measure(output, metrics=["sharpness"])
    with pytest.raises(InputError, match="nothing to compare"):
        scalesr.measure(output)
    with pytest.raises(PlanError, match="are allowed"):
        scalesr.measure(output, metrics=["probe"], memory=1000)


def test_masked_pixels_do_not_count(tmp_path: Path) -> None:
    output = store(tmp_path / "a.zarr", np.ones((64, 70), np.uint8))
    inside = np.zeros((64, 70), np.uint8)
    inside[10:20, 5:65] = 3
    mask = store(tmp_path / "m.zarr", inside)
    found = scalesr.measure(output, mask=mask, metrics=["probe"], scheduler="serial")
    assert found.measures[0].n == 600


def test_a_map_lies_over_the_image(tmp_path: Path) -> None:
    pixels = np.random.default_rng(4).integers(0, 255, (3, 2, 600, 530), dtype=np.uint8)
    output = store(tmp_path / "a.zarr", pixels, "tcyx")
    found = scalesr.measure(output, metrics=["probe"], maps=tmp_path / "maps", scheduler="threads", workers=2)
    drawn = open_image(found.maps["probe"])
    assert np.array_equal(np.asarray(drawn.array(0)[...]), pixels)
    assert drawn.levels[0].translation == output.levels[0].translation
    assert drawn.pixel_sizes == output.pixel_sizes
    with pytest.raises(OutputError, match="already exists"):
        scalesr.measure(output, metrics=["probe"], maps=tmp_path / "maps")


def test_a_chunk_that_cannot_be_decoded(tmp_path: Path) -> None:
    output = store(tmp_path / "a.zarr", np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    victim = next((tmp_path / "a.zarr" / "0" / "c").rglob("1"))
    victim = victim if victim.is_file() else next(path for path in victim.rglob("*") if path.is_file())
    victim.write_bytes(b"rubbish")
    with pytest.raises(StorageError, match="cannot be read"):
        scalesr.measure(output, metrics=["probe"], scheduler="serial")
    found = scalesr.measure(output, metrics=["probe"], scheduler="serial", on_bad_block="fill")
    assert len(found.bad_chunks) == 1


EVERY = [name for name in MAKERS if name not in ("fsc", "slice_fid", "slice_fid_released", "frc_split")]


def test_blocks_without_a_number_and_constant_images_give_counts_and_no_silent_figure(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    pixels = rng.normal(50, 9, (2, 640, 600)).astype(np.float32)
    holed = pixels.copy()
    holed[:, 512:, :512] = np.nan
    settings = Settings(data_range=100.0, seam_period=(64, 64), ergas_ratio=4.0)
    small = pixels.reshape(2, 160, 4, 150, 4).mean((2, 4))

    def figures(output: NDArray[Any], other: NDArray[Any], measured: NDArray[Any]) -> Sequence[Measure]:
        one = store(tmp_path / "a.zarr", output, "cyx")
        two = store(tmp_path / "b.zarr", other, "cyx")
        three = store(tmp_path / "c.zarr", measured, "cyx", pixel=2.0, origin=0.75)
        return scalesr.measure(
            one, reference=two, measured=three, metrics=EVERY, settings=settings, scheduler="serial"
        ).measures

    for found in figures(holed, pixels, small):
        assert found.value is None or not np.isnan(found.value), found
        assert found.value is not None or found.note, found
        assert found.left_out or found.kind in ("baseline: cubic", "reference", "control: noise"), found
    for found in figures(np.full_like(pixels, np.nan), pixels, small):
        expected = found.kind in ("baseline: cubic", "reference", "control: noise")
        assert found.value is None or expected, found
        assert found.note, found
    flat = np.full_like(pixels, 7)
    for found in figures(flat, flat, np.full_like(small, 7)):
        assert found.value is None or not np.isnan(found.value), found
        assert found.value is not None or found.note, found


def test_floats_need_a_data_range(tmp_path: Path) -> None:
    output = store(tmp_path / "a.zarr", np.ones((64, 64), np.float32))
    with pytest.raises(InputError, match="--data-range"):
        scalesr.measure(output, reference=output, metrics=["psnr"])
