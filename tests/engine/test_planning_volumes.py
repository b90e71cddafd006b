"""Planning for volumes whose planes lie far apart: scales, points, recommended sizes, missing planes, and the cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalesr.engine import Options, empty_subject, prepare, subject_of
from scalesr.engine.cost import costed, rate_of
from scalesr.engine.planes import anisotropy
from scalesr.engine.planning import Subject, make_plan
from scalesr.engine.preparing import layout_of
from scalesr.errors import InputError, ModelError, PlanError
from scalesr.images import Axis, create_image, open_image, pyramid_layout
from scalesr.models import Cost, Model, ModelSpec, row_of
from scalesr.tiling import AxisLattice, Plan, describe

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from scalesr.images import Image

ONE = Fraction(1)
FILLING = ModelSpec(
    name="filling",
    axes="zyx",
    scale=(Fraction(4), ONE, ONE),
    channels=1,
    out_channels=1,
    receptive=None,
    activation_bytes=8.0,
    tile=(16, 64, 80),
    halo=(2, 8, 10),
    blend=(1, 4, 5),
    sampling=("point", "area", "area"),
    verbatim="planes",
    holes="inpainted",
)
CUBIC = Options(model="cubic", axes="zyx", scale=(2, 1, 1))


def volume(*shape: int, sizes: tuple[float, ...] = (2.0, 0.5, 0.5), unit: str | None = "micrometer") -> Subject:
    subject = empty_subject(shape, "zyx", "uint16")
    return replace(subject, axes=tuple(Axis(name, "space", unit) for name in "zyx"), pixel_sizes=sizes, name="stack")


def stored(path: Path, *shape: int, sizes: tuple[float, ...], facts: dict[str, Any] | None = None) -> Image:
    axes = tuple(Axis(name, "space", "micrometer") for name in "zyx")
    layout = pyramid_layout(
        axes=axes, shape=shape, dtype="uint16", scale=sizes, translation=(7.0, 1.0, 2.0), smallest=16
    )
    writer = create_image(path, layout)
    for level, planned in enumerate(layout.levels):
        writer.array(level)[...] = np.ones(planned.shape, "uint16")
    writer.publish(facts=facts)
    return open_image(path)


@pytest.mark.parametrize(
    ("sizes", "ratio"),
    [((2, 0.5, 0.5), Fraction(4)), ((1.2, 0.325, 0.325), Fraction(48, 13)), ((3, 2, 2.01), Fraction(3, 2))],
)
def test_isotropic_is_the_ratio_of_the_voxel_sizes(sizes: tuple[float, ...], ratio: Fraction) -> None:
    found = anisotropy(volume(8, 32, 32, sizes=sizes))
    assert found.ratio == ratio
    assert found.exact == pytest.approx(sizes[0] / sizes[1])
    prepared = prepare(volume(8, 32, 32, sizes=sizes), Options(model="linear", scale="isotropic", sampling="point"))
    assert prepared.spec.scale == (ratio, ONE, ONE)
    assert prepared.anisotropy == found


@given(st.floats(1.1, 40))
def test_the_ratio_is_as_near_as_sixteenths_are(exact: float) -> None:
    found = anisotropy(volume(8, 32, 32, sizes=(exact, 1.0, 1.0)))
    assert found.ratio.denominator <= 16
    assert found.deviation == pytest.approx(float(found.ratio) / exact - 1)
    assert abs(float(found.ratio) - exact) <= 1 / 32 + 1e-9


def test_units_are_lengths() -> None:
    subject = replace(
        volume(8, 32, 32, sizes=(900.0, 0.3, 0.3)),
        axes=(Axis("z", "space", "nanometer"), Axis("y", "space", "micrometer"), Axis("x", "space", "micrometer")),
    )
    assert anisotropy(subject).ratio == 3


@pytest.mark.parametrize(
    ("subject", "problem", "remedy"),
    [
        (volume(8, 9, 9, sizes=(1.0, 1.0, 1.0), unit=None), "does not say how large its voxels are", "--pixel-size"),
        (volume(8, 9, 9, sizes=(2.0, 0.5, 0.6)), "0.5 along y, 0.6 along x", "--scale 4,1,1"),
        (volume(8, 9, 9, sizes=(0.5, 0.5, 0.5)), "no farther apart than the pixels", "--pixel-size"),
        (volume(8, 9, 9, sizes=(0.51, 0.5, 0.5)), "nothing to fill", "--scale"),
        (empty_subject((9, 9), "yx", "uint8"), "needs z, y and x", "--axes"),
    ],
)
def test_no_ratio_can_be_had(subject: Subject, problem: str, remedy: str) -> None:
    with pytest.raises(InputError, match=problem) as caught:
        prepare(subject, Options(model="linear", scale="isotropic"))
    assert remedy in caught.value.remedy


def test_points_keep_the_first_plane_where_it_is(tmp_path: Path) -> None:
    image = stored(tmp_path / "in.zarr", 10, 40, 40, sizes=(2.0, 0.5, 0.5))
    options = Options(model="linear", scale="isotropic", sampling="point")
    prepared = prepare(subject_of(image), options)
    assert prepared.plan.sampling == ("point", "area", "area")
    layout = layout_of(image, prepared.plan, level=0, name="out")
    assert layout.levels[0].scale == (0.5, 0.5, 0.5)
    assert layout.levels[0].translation == (7.0, 1.0, 2.0)
    areas = prepare(subject_of(image), replace(options, sampling="area"))
    assert layout_of(image, areas.plan, level=0, name="out").levels[0].translation == (6.25, 1.0, 2.0)
    # A pixel of the next level is the mean of two rows, and lies between them.
    large = prepare(replace(volume(80, 600, 600), pixel_sizes=(2.0, 0.5, 0.5)), options).plan
    assert large.levels[1].halved == (1, 1, 1)
    pyramid = layout_of(image, replace(prepared.plan, levels=large.levels), level=0, name="out")
    assert pyramid.levels[1].translation == (7.25, 1.25, 2.25)


@given(size=st.integers(1, 60), scale=st.fractions(1, 5, max_denominator=16))
def test_every_plane_has_its_row(size: int, scale: Fraction) -> None:
    """Also at scales below 3/2, where the last plane may lie beyond the extent of the planes."""
    axis = AxisLattice(name="z", size=size, scale=scale, cell=scale.denominator, sampling="point")
    rows = [row_of(plane, scale) for plane in range(size)]
    assert len(set(rows)) == size
    assert int(size * scale) <= axis.out_size <= int(size * scale) + 1
    assert rows[-1] < axis.out_size
    assert axis.owned(axis.blocks - 1)[1] == axis.out_size


def test_a_plan_with_points_survives_json() -> None:
    plan = make_plan(volume(40, 200, 200), FILLING, Options(missing_planes=(3, 5)))
    assert Plan.from_json(plan.to_json()) == plan
    assert plan.verbatim == "planes"
    assert plan.missing_planes == (3, 5)
    # A plan that was stored before there was any of this.
    old = plan.to_json()
    for name in ("verbatim", "missing_planes", "tile_passes", "tile_flops"):
        del old[name]
    for axis in old["lattice"]:
        del axis["sampling"]
    found = Plan.from_json(old)
    assert (found.verbatim, found.missing_planes, found.sampling) == ("none", (), ("area",) * 3)


def test_sizes_are_those_that_the_model_recommends() -> None:
    axes = make_plan(volume(100, 600, 600), FILLING, Options()).lattice.axes
    assert [(axis.ramp, axis.halo) for axis in axes] == [(1, 3), (4, 12), (5, 15)]
    # The tile recommended, rounded to cells of at least twice the halo.
    assert [axis.tile for axis in axes] == [16, 56, 94]
    cropped = make_plan(volume(100, 600, 600), FILLING, Options(blend=0)).lattice.axes
    assert [(axis.ramp, axis.halo) for axis in cropped] == [(0, 2), (0, 8), (0, 10)]
    given_ = make_plan(volume(100, 600, 600), FILLING, Options(blend=(0, 2, 2), halo=(1, 6, 6))).lattice.axes
    assert [(axis.ramp, axis.halo) for axis in given_] == [(0, 1), (2, 6), (2, 6)]
    small = make_plan(volume(100, 600, 600), FILLING, Options(cell=(4, 6, 6))).lattice.axes
    assert [axis.ramp for axis in small] == [1, 3, 3]


def test_one_tile_fades_to_nobody() -> None:
    axes = make_plan(volume(9, 600, 40), FILLING, Options()).lattice.axes
    assert [axis.ramp for axis in axes] == [0, 4, 0]
    assert [axis.cells for axis in axes] == [1, axes[1].cells, 1]
    # With the halo that fading needs, one cell is as large as the image.
    spec = replace(FILLING, tile=16, halo=(2, 8, 8), blend=(1, 4, 4))
    axis = make_plan(volume(9, 24, 600), spec, Options()).lattice.axes[1]
    assert (axis.cell, axis.halo, axis.ramp, axis.cells) == (24, 8, 0, 1)


def test_models_that_recommend_nothing_crop() -> None:
    plan = make_plan(volume(100, 600, 600), replace(FILLING, tile=None, halo=None, blend=None), Options())
    assert [(axis.ramp, axis.halo) for axis in plan.lattice.axes] == [(0, 16)] * 3


def test_ramps_are_whole_units_and_halos_hold_them() -> None:
    """A ramp is rounded up to whole output pixels; the context beyond it stays what the model needs."""
    spec = replace(FILLING, scale=(Fraction(48, 13), ONE, ONE), receptive=(3, 8, 8), blend=None)
    axis = make_plan(volume(200, 64, 64), spec, Options(blend=(2, 0, 0))).lattice.axes[0]
    assert (axis.ramp, axis.halo) == (13, 26)


@pytest.mark.parametrize(
    ("subject", "spec", "options", "error", "problem"),
    [
        (volume(1, 64, 64), FILLING, Options(), InputError, "single plane along z"),
        (volume(9, 64, 64), replace(FILLING, scale=(ONE,) * 3), Options(), InputError, "nothing to fill"),
        (volume(9, 64, 64), FILLING, Options(flux="conserved"), PlanError, "their flux is no mean"),
        (volume(9, 64, 64), FILLING, Options(missing_planes=(9,)), PlanError, "has planes 0 to 8"),
        (volume(9, 64, 64), FILLING, Options(missing_planes=tuple(range(9))), InputError, "All planes"),
        (volume(9, 64, 64), replace(FILLING, holes="filled"), Options(missing_planes=(2, 4)), PlanError, r"\(2, 4\)"),
        (volume(9, 64, 64), replace(FILLING, channels=2), Options(), ModelError, "takes 2 channels"),
        (empty_subject((9, 9), "yx", "uint8"), FILLING, Options(), InputError, "needs z"),
    ],
)
def test_what_cannot_be_filled_is_refused(
    subject: Subject, spec: ModelSpec, options: Options, error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem) as caught:
        make_plan(subject, spec, options)
    assert getattr(caught.value, "remedy", "")


def test_missing_planes_are_those_of_the_attributes(tmp_path: Path) -> None:
    sizes = (0.5, 0.5, 0.5)
    image = stored(tmp_path / "in.zarr", 40, 40, 40, sizes=sizes, facts={"missing_planes": [5, 6, 17]})
    subject = subject_of(image)
    assert subject.missing_planes == (5, 6, 17)
    assert subject_of(image, level=1).missing_planes == (2, 3, 8)
    assert make_plan(subject, FILLING, Options()).missing_planes == (5, 6, 17)
    assert make_plan(subject, FILLING, Options(missing_planes="none")).missing_planes == ()
    assert make_plan(subject, FILLING, Options(missing_planes=(4, 1, 4))).missing_planes == (1, 4)
    with pytest.raises(PlanError, match=r"5, 6, 17.*'cubic' cannot make them up.*--missing-planes none"):
        prepare(subject, CUBIC)
    assert prepare(subject, replace(CUBIC, missing_planes="none")).plan.missing_planes == ()


@dataclass(frozen=True)
class Counting:
    """A model that counts one pass for each plane that it is asked for, and one operation for each of its pixels."""

    spec: ModelSpec
    margins: tuple[int, ...] = (0, 0, 0)

    def to(self, *, device: str, precision: str) -> Counting:
        return self

    def tailored(self, margins: tuple[int, ...]) -> Counting:
        return replace(self, margins=margins)

    def cost(self, tile: tuple[int, ...], margins: tuple[int, ...]) -> Cost:
        asked = tile[0] - 2 * margins[0]
        return Cost(passes=asked, flops=float(asked * tile[1] * tile[2]))

    def __call__(self, tiles: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:
        return tiles.repeat_interleave(4, dim=2)


def counting() -> Model:
    """Return the model, as ``package.module:function`` names it."""
    return Counting(FILLING)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_cost_is_that_of_all_tiles(batch: int) -> None:
    plan = make_plan(volume(100, 600, 300), FILLING, Options(batch=batch))
    counted = costed(plan, counting())
    axes = plan.lattice.axes
    asked = axes[0].cell + 2 * axes[0].ramp
    assert counted.tile_passes == asked
    # By brute force: each block runs whole batches.
    tiles = 0
    for block in range(plan.blocks):
        inside = prod(len(cells) for cells in plan.lattice.cells(plan.lattice.index(block)))
        tiles += -(-inside // batch) * batch
    assert counted.passes == tiles * asked
    assert counted.flops == tiles * asked * axes[1].tile * axes[2].tile
    if batch == 1:
        assert tiles == plan.tiles
    assert any(name == "work" and "passes of the network" in text for name, text in describe(counted))
    assert not any(name == "work" for name, _ in describe(plan))


def test_the_rate_is_given_measured_or_assumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = Options(model=f"{__name__}:counting", device="cpu", calibrate="once", workers=1)
    prepared = prepare(volume(20, 90, 90), options)
    assert prepared.rate is not None
    assert prepared.rate.origin == "measured"
    assert prepared.rate.flops > 0
    # Its cell is what the author recommends: only the speed was measured.
    assert prepared.plan == prepare(volume(20, 90, 90), replace(options, calibrate="never")).plan
    assert prepare(volume(20, 90, 90), options).rate == prepared.rate
    assert rate_of(prepared.rate, tflops=None) == prepared.rate
    assert rate_of(prepared.rate, tflops=2.5).flops == 2.5e12
    assert rate_of(None, tflops=None).origin == "assumed"
