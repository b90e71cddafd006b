"""Runs with ``eigen:K``: K eigenimages through the network, nothing of the bands lost, the same bytes for any cut."""

from __future__ import annotations

import json
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commands import call, only_json
from engine.conftest import voxels
from engine.test_flux import means
from engine.test_masks import disc, grown, put_mask
from engine.test_measuring import told
from engine.test_same_bytes import content

import scalesr
from scalesr.engine import BlockDone, Options, RunStarted, empty_subject, prepare
from scalesr.engine.eigenimages import FILE, MOST_BYTES, _regions, read_strategy
from scalesr.errors import InputError, InterruptedRunError, LedgerError, PlanError
from scalesr.models import EigenBasis

if TYPE_CHECKING:
    from pathlib import Path

    from engine.conftest import MakeImage
    from numpy.typing import NDArray

    from scalesr.engine import Event
    from scalesr.images import Image

SMALL: dict[str, Any] = {"cell": 16, "halo": 8, "scheduler": "serial", "strategy": "eigen:3"}
BANDS = 7


def mixture(shape: tuple[int, int], *, bands: int = BANDS, noise: float = 0.02) -> NDArray[np.float32]:
    """Return a cube of three smooth structures with spectra of their own, and noise."""
    rng = np.random.default_rng(11)
    structures = np.stack([rng.normal(size=shape).cumsum(0).cumsum(1) / 60 for _ in range(3)])
    spectra = rng.random((bands, 3)) + 0.1
    pixels = np.tensordot(spectra, structures, 1) + noise * rng.normal(size=(bands, *shape))
    scale = 10 ** rng.uniform(-1, 3, bands)
    found: NDArray[np.float32] = ((pixels - pixels.min() + 0.1) * scale[:, None, None]).astype(np.float32)
    return found


@pytest.fixture
def cube(make_image: MakeImage) -> Image:
    """Return a spectral image of seven bands, 61 x 74 px."""
    return make_image(mixture((61, 74)), "cyx")


def run(image: Any, target: Path, **changes: Any) -> Any:
    """Run with small tiles."""
    return scalesr.run(image, target, **SMALL | changes)


@pytest.mark.parametrize("scale", [2, 3, "3/2"])
@pytest.mark.parametrize("strategy", ["eigen:1", "eigen:7"])
def test_cubic_on_eigenimages_is_cubic(cube: Image, tmp_path: Path, scale: Any, strategy: str) -> None:
    """A network that adds nothing to interpolation adds nothing, however few eigenimages there are."""
    found = voxels(run(cube, tmp_path / "a.zarr", model="cubic", scale=scale, strategy=strategy).image)
    wanted = voxels(run(cube, tmp_path / "b.zarr", model="cubic", scale=scale, strategy="single").image)
    assert found.shape == wanted.shape
    span = wanted.max(axis=(1, 2), keepdims=True) - wanted.min(axis=(1, 2), keepdims=True)
    assert (np.abs(found - wanted) / span).max() < 1e-5


def test_a_linear_network_on_all_eigenimages_is_that_network(cube: Image, tmp_path: Path) -> None:
    found = voxels(run(cube, tmp_path / "a.zarr", model="linear", scale=2, strategy="eigen:7").image)
    wanted = voxels(run(cube, tmp_path / "b.zarr", model="linear", scale=2, strategy="single").image)
    span = wanted.max(axis=(1, 2), keepdims=True) - wanted.min(axis=(1, 2), keepdims=True)
    assert (np.abs(found - wanted) / span).max() < 1e-3


def test_few_eigenimages_hold_a_mixture(cube: Image, tmp_path: Path) -> None:
    result = run(cube, tmp_path / "a.zarr", model="linear", scale=2)
    wanted = voxels(run(cube, tmp_path / "b.zarr", model="linear", scale=2, strategy="single").image)
    cubic = voxels(run(cube, tmp_path / "c.zarr", model="cubic", scale=2, strategy="single").image)
    assert result.explained is not None
    assert min(result.explained) > 0.9
    ours = np.abs(voxels(result.image) - wanted).mean(axis=(1, 2))
    theirs = np.abs(cubic - wanted).mean(axis=(1, 2))
    assert (ours < theirs).all()


@pytest.mark.parametrize("flux", ["free", "conserved"])
@pytest.mark.parametrize("blend", [0, 5])
def test_the_same_bytes_for_any_block_and_executor(
    cube: Image, edsr: Path, tmp_path: Path, blend: int, flux: str
) -> None:
    wanted: dict[str, Any] = {"model": str(edsr), "blend": blend, "flux": flux}
    ways: list[dict[str, Any]] = [{"block": 1}, {"block": 20}, {"block": 3, "scheduler": "threads", "workers": 3}]
    outs = [voxels(run(cube, tmp_path / f"{k}.zarr", **wanted, **way).image) for k, way in enumerate(ways)]
    assert outs[0].tobytes() == outs[1].tobytes() == outs[2].tobytes()
    assert outs[0].shape == (BANDS, 122, 148)


def test_processes_read_the_basis_from_the_ledger(cube: Image, edsr: Path, tmp_path: Path) -> None:
    run(cube, tmp_path / "out.zarr", model=str(edsr), block=2)
    expected = content(tmp_path / "out.zarr")
    again: dict[str, Any] = {"block": 2, "scheduler": "processes", "workers": 2, "mode": "overwrite"}
    run(cube, tmp_path / "out.zarr", model=str(edsr), **again)
    assert content(tmp_path / "out.zarr") == expected


def test_any_number_of_bands_at_a_time(
    cube: Image, edsr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = voxels(run(cube, tmp_path / "a.zarr", model=str(edsr), flux="conserved").image)
    monkeypatch.setattr("scalesr.tiling.plan.BANDS_TOGETHER", 2)
    monkeypatch.setattr("scalesr.tiling.choose.BLOCK_BYTES", 2**13)
    monkeypatch.setattr("scalesr.engine.eigenimages.PIECE_VALUES", 100)
    parts = run(cube, tmp_path / "b.zarr", model=str(edsr), flux="conserved")
    assert parts.plan.bands_together == 2
    assert parts.plan.levels[0].shard[0] == 2
    assert voxels(parts.image).tobytes() == whole.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_it_conserves_flux_respects_masks_and_says_what_is_missing(
    make_image: MakeImage, edsr: Path, tmp_path: Path, dtype: str
) -> None:
    pixels = (mixture((61, 74)) * 3).astype(dtype)
    pixels[2, 20:25, 15:22] = 0
    inside = disc((61, 74))
    pixels[:, ~inside] = 60000
    if dtype == "float32":
        pixels[4, 30, 25] = np.nan
    image = make_image(pixels, "cyx")
    put_mask(image, inside)
    result = run(image, tmp_path / "out.zarr", model=str(edsr), flux="conserved", on_nan="fill")
    out = voxels(result.image)
    assert result.masked == BANDS * np.count_nonzero(~inside)
    assert result.spectra.missing == np.count_nonzero(~inside) + (dtype == "float32")
    assert result.spectra.summed + result.spectra.missing + result.spectra.beyond == inside.size
    there = np.broadcast_to(inside, pixels.shape) & np.isfinite(pixels)
    if dtype == "float32":
        np.testing.assert_array_equal(np.isnan(out), ~np.repeat(np.repeat(there, 2, 1), 2, 2))
        assert result.not_finite == 1
        found = means(np.nan_to_num(out), (1, 2, 2))[there]
        assert np.abs(found - pixels[there]).max() <= 1e-6 * np.nanmax(pixels[there])
        assert (out[2, 40:50, 30:44] == 0).all()
    else:
        assert (out[:, ~grown(inside)] == 0).all()
        assert np.abs(means(out, (1, 2, 2))[there] - pixels[there]).max() <= 0.5


def test_the_rest_is_the_same_whatever_the_network_where_the_flux_is_conserved(cube: Image, tmp_path: Path) -> None:
    """With all eigenimages a network that repeats pixels gives repeated pixels: the share of the rest cancels."""
    changes: dict[str, Any] = {"model": "nearest", "scale": 2, "flux": "conserved", "strategy": "eigen:7"}
    found = voxels(run(cube, tmp_path / "a.zarr", **changes).image)
    wanted = np.repeat(np.repeat(voxels(cube), 2, axis=1), 2, axis=2)
    assert (np.abs(found - wanted).max(axis=(1, 2)) < 1e-3 * np.ptp(wanted, axis=(1, 2))).all()


def test_other_orders_of_axes(make_image: MakeImage, edsr: Path, tmp_path: Path) -> None:
    pixels = mixture((40, 52))
    plain = voxels(run(make_image(pixels, "cyx"), tmp_path / "a.zarr", model=str(edsr)).image)
    turned = make_image(np.swapaxes(pixels, 1, 2), "cxy", name="turned.zarr")
    found = voxels(run(turned, tmp_path / "b.zarr", model=str(edsr)).image)
    np.testing.assert_array_equal(np.swapaxes(found, 1, 2), plain)
    times = make_image(np.stack([pixels, pixels]), "tcyx", name="times.zarr")
    found = voxels(run(times, tmp_path / "c.zarr", model=str(edsr)).image)
    np.testing.assert_array_equal(found[0], found[1])
    # The same spectra twice have the same basis, but for percentiles between two of twice as many pixels.
    assert (np.abs(found[0] - plain).max(axis=(1, 2)) < 1e-3 * np.ptp(pixels, axis=(1, 2))).all()


def test_one_band_is_its_own_eigenimage(make_image: MakeImage, tmp_path: Path) -> None:
    image = make_image(mixture((40, 52))[:1], "cyx")
    changes: dict[str, Any] = {"model": "linear", "scale": 2}
    found = voxels(run(image, tmp_path / "a.zarr", **changes, strategy="eigen:1").image)
    wanted = voxels(run(image, tmp_path / "b.zarr", **changes, strategy="single").image)
    assert np.abs(found - wanted).max() < 1e-4 * np.ptp(wanted)


def test_the_batch_is_eigenimages(cube: Image, edsr: Path, tmp_path: Path) -> None:
    one = run(cube, tmp_path / "a.zarr", model=str(edsr), batch=1)
    two = run(cube, tmp_path / "b.zarr", model=str(edsr), batch=2)
    assert two.plan.batch == 2
    assert np.abs(voxels(one.image) - voxels(two.image)).max() < 1e-4 * np.ptp(voxels(one.image))


def test_volumes(make_image: MakeImage, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).random((4, 6, 20, 22)).astype(np.float32)
    image = make_image(pixels, "czyx")
    changes: dict[str, Any] = {"model": "linear", "axes": "zyx", "scale": 2, "cell": 8}
    found = voxels(run(image, tmp_path / "a.zarr", **changes | {"strategy": "eigen:4"}).image)
    wanted = voxels(run(image, tmp_path / "b.zarr", **changes | {"strategy": "single"}).image)
    assert np.abs(found - wanted).max() < 1e-3


def test_a_stopped_run_goes_on_with_its_own_basis(
    cube: Image, edsr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = voxels(run(cube, tmp_path / "whole.zarr", model=str(edsr), blend=4).image)

    def stop(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError):
        run(cube, tmp_path / "out.zarr", model=str(edsr), blend=4, block=2, callbacks=[stop])
    basis = EigenBasis.from_bytes((tmp_path / "out.zarr" / "scalesr" / FILE).read_bytes())
    with monkeypatch.context() as patched:
        # Nothing is summed again.
        patched.setattr("scalesr.engine.settling.fit_basis", None)
        resumed = run(cube, tmp_path / "out.zarr", model=str(edsr), blend=4, block=2, mode="resume")
    assert resumed.explained == tuple(basis.explained.tolist())
    assert resumed.spectra.summed == 61 * 74
    assert resumed.blocks == resumed.plan.blocks - 2
    assert voxels(resumed.image).tobytes() == expected.tobytes()
    with pytest.raises(LedgerError, match="components"):
        run(cube, tmp_path / "out.zarr", model=str(edsr), blend=4, block=2, mode="resume", strategy="eigen:2")
    path = tmp_path / "out.zarr" / "scalesr" / FILE
    other = replace(basis, offset=basis.offset + 1)
    path.write_bytes(other.to_bytes())
    with pytest.raises(LedgerError, match="eigenimages"):
        run(cube, tmp_path / "out.zarr", model=str(edsr), blend=4, block=2, mode="resume")


def test_measured_on_the_way_as_afterwards(cube: Image, edsr: Path, tmp_path: Path) -> None:
    plain = run(cube, tmp_path / "a.zarr", model=str(edsr)).image
    result = run(cube, tmp_path / "b.zarr", model=str(edsr), metrics=("sam", "consistency"), reference=plain.url)
    np.testing.assert_array_equal(voxels(result.image), voxels(plain))
    assert result.measurement is not None
    after = scalesr.measure(result.image, reference=plain, measured=cube, metrics=("sam", "consistency"))
    found = told(result.measurement.measures)
    for key, (value, *rest) in told(after.measures).items():
        assert found[key][0] == (None if value is None else pytest.approx(value, rel=1e-9))
        assert list(found[key][1:]) == rest


def test_what_the_manifest_and_the_summary_say(cube: Image, edsr: Path, tmp_path: Path) -> None:
    arguments = ["--model", str(edsr), "--cell", "16", "--halo", "8", "--strategy", "eigen:3", "--scheduler", "serial"]
    document = only_json(call("run", cube.url, str(tmp_path / "out.zarr"), "--json", *arguments))
    assert len(document["explained"]) == BANDS
    manifest = json.loads((tmp_path / "out.zarr" / "scalesr" / "manifest.json").read_text())
    assert manifest["provenance"]["explained"] == document["explained"]
    assert manifest["identity"]["plan"]["components"] == [0, 3]
    shown = call("run", cube.url, str(tmp_path / "two.zarr"), *arguments).stdout
    assert "3 hold" in shown
    assert "eigenimages" in call("plan", cube.url, *arguments[:-2]).stdout


def test_what_cannot_work(cube: Image, make_image: MakeImage, edsr: Path, tmp_path: Path) -> None:
    plane = make_image(mixture((40, 50))[0], name="plane.zarr")
    for image, changes, error, words in (
        (cube, {"strategy": "eigen:8"}, PlanError, "7 bands"),
        (cube, {"strategy": "eigen:0"}, PlanError, "no strategy"),
        (cube, {"strategy": "eigen"}, PlanError, "no strategy"),
        (cube, {"normalise": "none"}, PlanError, "each band"),
        (cube, {"model": "cubic", "scale": "1/2"}, PlanError, "shrinks"),
        (plane, {}, PlanError, "no bands"),
    ):
        with pytest.raises(error, match=words) as caught:
            run(image, tmp_path / "out.zarr", **{"model": str(edsr), **changes})
        assert caught.value.remedy
        assert not (tmp_path / "out.zarr").exists()
    with pytest.raises(PlanError, match="pass over the whole image"):
        scalesr.lazy(cube, model=str(edsr), **SMALL)
    assert call("run", cube.url, str(tmp_path / "x.zarr"), "--strategy", "eigen:many").exit_code == 2


@pytest.mark.parametrize("bands", [200, 1000, 2000])
def test_a_thousand_bands_fit_into_a_laptop(edsr: Path, bands: int) -> None:
    subject = empty_subject((bands, 2000, 2000), "cyx", "float32")
    options = Options(model=str(edsr), strategy="eigen:32", workers=2)
    prepared = prepare(subject, options)
    plan = prepared.plan
    assert plan.components == (0, 32)
    assert type(plan).from_json(plan.to_json()) == plan
    assert plan.lattice.out_shape == (bands, 4000, 4000)
    assert plan.summed.out_shape == (32, 4000, 4000)
    assert prepared.demand.host_bytes < 8e9, prepared.demand.host
    # Memory does not grow with what is not held at once.
    assert prepare(empty_subject((bands, 20000, 20000), "cyx", "float32"), options).demand.host_bytes < 8e9


def test_the_projection_counts_it(cube: Image, tmp_path: Path) -> None:
    seen: list[RunStarted] = []

    def note(event: Event) -> None:
        if isinstance(event, RunStarted):
            seen.append(event)

    run(cube, tmp_path / "a.zarr", model="cubic", scale=2, callbacks=[note])
    assert "bands and their pixels" in {term.name for term in seen[0].demand.host}


def test_spectra_that_cannot_be_summed(make_image: MakeImage, edsr: Path, tmp_path: Path) -> None:
    pixels = mixture((40, 50))
    pixels[3] = np.nan
    with pytest.raises(InputError, match="No spectrum"):
        run(make_image(pixels, "cyx"), tmp_path / "out.zarr", model=str(edsr), on_nan="fill")


def test_spectra_are_summed_in_parts_that_fit() -> None:
    for shape, chunks in (((1000, 2000, 2000), (1, 512, 512)), ((10, 300, 300), (1, 64, 64)), ((3, 7, 1, 5), (1,) * 4)):
        regions = list(_regions(shape, chunks, channel=0))
        seen = np.zeros(shape[1:], np.uint8)
        for region in regions:
            seen[region[1:]] += 1
            assert 4 * prod(part.stop - part.start for part in region) <= MOST_BYTES
            assert region[0] == slice(0, shape[0])
        assert (seen == 1).all()


def test_strategies_are_texts() -> None:
    assert read_strategy("eigen:32") == ("single", 32)
    assert read_strategy("triples") == ("triples", None)
