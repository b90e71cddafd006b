"""The tile model: the paper's sampling is that of diffusers, and tiles do not depend on how they are cut or batched."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import ndimage

from scalesr.errors import ModelError, ScalesrError
from scalesr.models import Model, Tailored, checkpoint
from scalesr.models.noise import normal, stream
from scalesr.msdsr.calibration import Calibration, store
from scalesr.msdsr.change import change
from scalesr.msdsr.model import SliceDiffusion, build
from scalesr.msdsr.network import Denoiser, save_denoiser
from scalesr.msdsr.psf import AxialPSF
from scalesr.msdsr.sampling import Sampling
from scalesr.msdsr.settings import NetworkSettings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TINY = NetworkSettings(widths=(8, 16), attention=(False, False), tile=16)
PAPER = replace(TINY, channels=2, conditioning="rows", prediction="epsilon", span="unit")
QUICK = Sampling(steps=3, group=8)


def denoiser(settings: NetworkSettings = TINY) -> Denoiser:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Denoiser(settings)


def model(
    sampling: Sampling = QUICK, *, settings: NetworkSettings = TINY, scale: str = "4", **more: Any
) -> SliceDiffusion:
    return SliceDiffusion(denoiser(settings), scale=Fraction(scale), sampling=sampling, **more)


def planes(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def at(*origins: tuple[int, int, int]) -> torch.Tensor:
    return torch.tensor(origins, dtype=torch.int64)


def test_the_network_of_the_paper_has_its_size() -> None:
    with torch.device("meta"):
        network = Denoiser(NetworkSettings.paper())
    assert sum(parameter.numel() for parameter in network.parameters()) == 274_056_163


def test_the_model_keeps_the_contract() -> None:
    made = model()
    assert isinstance(made, Model)
    assert isinstance(made, Tailored)
    spec = made.spec
    assert spec.scale == (Fraction(4), Fraction(1), Fraction(1))
    assert (spec.tile, spec.halo, spec.blend) == ((4, 16, 16), (1, 4, 4), (1, 4, 4))
    assert (spec.sampling, spec.verbatim, spec.holes) == (("point", "area", "area"), "planes", "inpainted")
    assert (spec.randomness, spec.deviation, spec.receptive) == ("seeded", "none", None)
    assert spec.activation_bytes > 1000
    assert model(replace(QUICK, samples=2)).spec.deviation == "returned"
    for other in (Sampling.paper(), replace(QUICK, psf="box:1"), replace(QUICK, blur="gaussian")):
        assert model(other).spec.verbatim == "none"
    fractional = model(scale="5/2").spec
    assert (fractional.tile, fractional.halo, fractional.blend) == ((6, 16, 16), (2, 4, 4), (2, 4, 4))


def by_diffusers(network: Denoiser, tiles: torch.Tensor, origin: tuple[int, int, int], *, seed: int) -> torch.Tensor:
    """The released sampling as it would be written with diffusers: each slice alone, then the mean."""
    share = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * np.pi / 2) ** 2
    scheduler: Any = diffusers.DDIMScheduler(  # type: ignore[no-untyped-call]
        trained_betas=np.minimum(1 - share[1:] / share[:-1], 0.999),
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    scheduler.set_timesteps(200)
    _, channels, count, height, width = tiles.shape
    rows = 4 * count
    first, top, left = 4 * origin[0], origin[1], origin[2]

    def noise(draw: int, orientation: int, place: int) -> torch.Tensor:
        along = torch.arange(width if orientation == 0 else height)
        y, x = (
            (torch.tensor(top + place), left + along) if orientation == 0 else (top + along, torch.tensor(left + place))
        )
        streams = [stream(draw=draw, sample=0, channel=c, orientation=orientation) for c in range(channels)]
        columns = normal(
            first=torch.tensor(first), rows=rows, y=y, x=x, streams=torch.tensor(streams)[:, None], seed=seed
        )
        return columns.transpose(-1, -2)[None]

    def restored(clean: torch.Tensor, orientation: int, place: int) -> torch.Tensor:
        image = noise(0, orientation, place)
        for number, timestep in enumerate(scheduler.timesteps.tolist(), 1):
            image[:, :, ::4] = clean
            predicted = network.unet(image, timestep).sample
            image = scheduler.step(
                predicted, timestep, image, eta=1.0, variance_noise=noise(number, orientation, place)
            ).prev_sample
        return image[0]

    xz = torch.stack([restored(tiles[:, :, :, y], 0, y) for y in range(height)], dim=2)
    yz = torch.stack([restored(tiles[..., x], 1, x) for x in range(width)], dim=3)
    return (xz + yz) / 2


@torch.inference_mode()
def test_the_papers_sampling_is_that_of_diffusers() -> None:
    network = denoiser(PAPER)
    tiles, origin = planes(1, 2, 2, 2, 2), (-1, 5, -3)
    wanted = by_diffusers(network, tiles, origin, seed=9)
    found = model(Sampling.paper(seed=9, group=4), settings=PAPER)(tiles, at(origin))[0]
    # What an untrained network makes is larger than an image.
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))
    measured = (found[:, ::4] - tiles[0]).abs()
    assert 0 < measured.max() < 0.05, "measured planes come back with a little noise"


@pytest.mark.parametrize(
    "sampling",
    [
        QUICK,
        replace(QUICK, fuse="end", correlation=3),
        replace(QUICK, blur="gaussian", fuse="end"),
        replace(QUICK, blur="gaussian"),
        replace(QUICK, psf="gaussian:0.8"),
        replace(QUICK, samples=2, start=0.5),
        Sampling.paper(steps=3, group=8),
    ],
    ids=lambda sampling: sampling.key,
)
def test_margins_change_no_bit_of_the_rest(sampling: Sampling) -> None:
    tiles, origins = planes(2, 1, 3, 16, 14), at((3, 40, 7), (-2, 0, 1))
    whole = model(sampling)
    wanted = whole(tiles, origins)
    for y, x in ((4, 4), (2, 4), (6, 5), (0, 1)):
        found = whole.tailored((1, y, x))(tiles, origins)
        assert found.shape == wanted.shape
        assert found.isfinite().all()
        assert torch.equal(found[..., 4:8, y : 16 - y, x : 14 - x], wanted[..., 4:8, y : 16 - y, x : 14 - x])


def test_margins_save_passes() -> None:
    made = model(replace(QUICK, samples=2, group=4))
    whole, inner = made.cost((4, 16, 16), (0, 0, 0)), made.cost((4, 16, 16), (1, 4, 4))
    assert (whole.passes, inner.passes) == (32 * 3 * 2, 16 * 3 * 2)
    assert whole.flops == 2 * inner.flops > 1e6
    assert made.cost((4, 16, 16), (1, 6, 6)) == inner, "what is fused is drawn in any case"
    assert model(replace(QUICK, fuse="end", group=4)).cost((4, 16, 16), (1, 6, 6)).passes == 8 * 3


def test_the_batch_of_tiles_changes_no_bit() -> None:
    tiles, origins = planes(3, 1, 3, 12, 12), at((0, 0, 0), (4, 8, 8), (-2, 16, -8))
    made = model(replace(QUICK, group=16))
    together = made(tiles, origins)
    for k in range(3):
        assert torch.equal(made(tiles[k : k + 1], origins[k : k + 1]), together[k : k + 1])
    assert torch.equal(made(tiles.flip(0), origins.flip(0)).flip(0), together)


def test_measured_planes_come_back_bit_for_bit() -> None:
    tiles = planes(1, 1, 4, 8, 8)
    assert torch.equal(model()(tiles, at((0, 0, 0)))[:, :, ::4], tiles)
    fractional = model(scale="5/2")(tiles, at((2, 0, 0)))
    assert fractional.shape[2] == 10
    assert torch.equal(fractional[:, :, [0, 3, 5, 8]], tiles)


def test_holes_are_made_up() -> None:
    tiles = planes(1, 1, 4, 8, 8)
    tiles[:, :, 1] = torch.nan
    tiles[:, :, 2, 3, 5] = torch.nan
    tiles[..., 0] = torch.nan
    found = model(replace(QUICK, samples=2))(tiles, at((0, 0, 0)))
    mean, deviation = found[:, :1], found[:, 1:]
    assert found.isfinite().all()
    there = tiles.isfinite()
    assert torch.equal(mean[:, :, ::4][there], tiles[there])
    assert (deviation[:, :, ::4][there] == 0).all()
    assert (deviation[:, :, ::4][~there] > 0).all()


def test_a_tile_without_any_plane_is_made_up() -> None:
    assert model()(torch.full((1, 1, 2, 8, 8), torch.nan), at((0, 0, 0))).isfinite().all()


def test_mean_and_deviation_are_those_of_the_samples() -> None:
    tiles, origins = planes(1, 1, 2, 8, 8), at((0, 0, 0))
    made = model(replace(QUICK, samples=4))
    sampler, placed = made._sampler(tiles, origins, made._sampling)
    with torch.inference_mode():
        drawn = torch.stack([sampler.draw(made._groups, sample=k) for k in range(4)]).double()
    found = made(tiles, origins)
    assert torch.equal(found[:, :1], model()(tiles, origins)) is False
    torch.testing.assert_close(found[:, :1].double(), drawn.mean(0), rtol=0, atol=1e-6)
    torch.testing.assert_close(found[:, 1:].double(), drawn.std(0), rtol=1e-5, atol=1e-6)
    # As much as the planes change, and twice the spread.
    calibration = Calibration(
        changes=(0.0, 1.0),
        spreads=((1e-9, 9.0), (1e-9, 9.0)),
        deviations=((0.0, 18.0), (1.0, 19.0)),
        before=(0, 0),
        after=(0, 0),
        voxels=0,
    )
    calibrated = model(replace(QUICK, samples=4), calibration=calibration)(tiles, origins)
    wanted = torch.where(found[:, 1:] > 0, 2 * found[:, 1:] + change(placed), 0)
    torch.testing.assert_close(calibrated[:, 1:], wanted)
    assert (found[:, 1:] > 0)[placed.known == 0].float().mean() > 0.9
    assert torch.equal(calibrated[:, :1], found[:, :1])


def test_seeds_and_places_make_other_volumes() -> None:
    tiles = planes(1, 1, 2, 8, 8)
    first = model()(tiles, at((0, 0, 0)))
    assert torch.equal(first, model()(tiles, at((0, 0, 0))))
    assert not torch.equal(first, model()(tiles, at((0, 0, 1))))
    assert not torch.equal(first, model(replace(QUICK, seed=1))(tiles, at((0, 0, 0))))


@pytest.mark.parametrize("psf", ["gaussian:0.9", "box:1"])
@pytest.mark.parametrize("settings", [TINY, PAPER], ids=["velocity", "noise"])
def test_what_planes_see_of_the_outcome_is_what_was_measured(psf: str, settings: NetworkSettings) -> None:
    tiles = planes(1, settings.channels, 5, 8, 8)
    found = model(replace(QUICK, psf=psf), settings=settings)(tiles, at((0, 0, 0)))
    seen = torch.einsum(
        "pr,ncryx->ncpyx", torch.from_numpy(AxialPSF.read(psf).matrix(5, scale=Fraction(4))).float(), found
    )
    torch.testing.assert_close(seen, tiles, rtol=0, atol=1e-5)


def test_a_narrow_psf_is_a_point() -> None:
    tiles = planes(1, 1, 3, 8, 8)
    narrow = model(replace(QUICK, psf="box:0.25", steps=1))(tiles, at((0, 0, 0)))
    point = model(replace(QUICK, steps=1))(tiles, at((0, 0, 0)))
    torch.testing.assert_close(narrow, point, rtol=0, atol=1e-5)


def test_the_blur_is_that_of_the_paper() -> None:
    tiles, origins = planes(1, 1, 2, 8, 8), at((0, 0, 0))
    sharp = model(replace(QUICK, returned="sampled", bounds="none"))(tiles, origins)
    smooth = model(replace(QUICK, blur="gaussian", bounds="none"))(tiles, origins)
    square = np.arange(-1, 2) ** 2
    kernel = np.exp(-2.0 * (square[:, None, None] + square[:, None] + square))
    wanted = ndimage.convolve(sharp[0, 0].double().numpy(), kernel / kernel.sum(), mode="reflect")
    np.testing.assert_allclose(smooth[0, 0], wanted, atol=1e-5)


def test_another_precision_is_near() -> None:
    tiles, origins = planes(1, 1, 2, 8, 8), at((0, 0, 0))
    made = model()
    short = made.to(device="cpu", precision="bf16")
    apart = (short(tiles, origins) - made(tiles, origins)).abs()
    assert 0 < apart.max() < 0.2
    assert torch.equal(made(tiles, origins), model()(tiles, origins)), "the model itself stays as it is"
    with pytest.raises(ModelError, match="fp16"):
        made.to(device="cpu", precision="fp16")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_denoiser(denoiser(), path, title="tiny")
    return path


def built(
    path: Path, *, scale: tuple[Fraction, ...] | None, channels: int | None = None, **options: Any
) -> SliceDiffusion:
    read = checkpoint.read(path, sha256=checkpoint.fingerprint(path), trust="safe")
    return build(read, scale=scale, image_channels=channels, options=options)


def upright(scale: str) -> tuple[Fraction, ...]:
    return Fraction(scale), Fraction(1), Fraction(1)


def test_a_file_becomes_a_model(weights: Path) -> None:
    tiles, origins = planes(1, 1, 2, 8, 8), at((0, 0, 0))
    made = built(weights, scale=upright("4"), steps=3, group=8)
    assert made.spec.name == "tiny"
    assert torch.equal(made(tiles, origins), model()(tiles, origins))


def test_a_calibration_is_applied_unless_told_otherwise(weights: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    path.write_bytes(weights.read_bytes())
    calibration = Calibration(
        changes=(0.0,),
        spreads=((0.0, 9.0),),
        deviations=((0.0, 27.0),),
        before=(0.2, 0.3),
        after=(0.68, 0.95),
        voxels=1000,
    )
    store(path, calibration, sampling=replace(QUICK, samples=2), scale=Fraction(4))
    tiles, origins = planes(1, 1, 2, 8, 8), at((0, 0, 0))
    options: Mapping[str, Any] = {"steps": 3, "group": 8, "samples": 2}
    raw = built(path, scale=upright("4"), deviation="raw", **options)(tiles, origins)
    calibrated = built(path, scale=upright("4"), **options)(tiles, origins)
    torch.testing.assert_close(calibrated[:, 1], 3 * raw[:, 1])
    other = built(path, scale=upright("3"), **options)(tiles, origins)
    assert torch.equal(other, built(path, scale=upright("3"), deviation="raw", **options)(tiles, origins))


@pytest.mark.parametrize(
    ("scale", "options", "problem"),
    [
        (None, {}, "no scale"),
        ((Fraction(4),) * 3, {}, "4 x 4 x 4"),
        (upright("1"), {}, "distance of 1 pixels"),
        (upright("1/2"), {}, "distance of 0.5 pixels"),
        (upright("4"), {"deviation": "none"}, "deviation"),
        (upright("4"), {"stepps": 4}, "stepps"),
        (upright("4"), {"steps": 0}, "steps"),
        (upright("4"), {"psf": "gaussian:3"}, "3 distances"),
    ],
)
def test_what_cannot_be_built_is_refused(
    weights: Path, scale: tuple[Fraction, ...] | None, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ScalesrError, match=problem) as caught:
        built(weights, scale=scale, **options)
    assert caught.value.remedy


def test_too_few_channels_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "two.safetensors"
    save_denoiser(denoiser(PAPER), path, title="two channels")
    with pytest.raises(ModelError, match="2 channels together, and the image has 1"):
        built(path, scale=upright("4"))
    assert built(path, scale=upright("4"), channels=2).spec.channels == 2


def test_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(1)}, path, metadata={"architecture": "other"})
    with pytest.raises(ModelError, match="no diffusion network"):
        built(path, scale=upright("4"))


def test_tiles_that_begin_between_rows_are_refused() -> None:
    with pytest.raises(ModelError, match="begins at plane 1"):
        model(scale="5/2")(planes(1, 1, 2, 8, 8), at((1, 0, 0)))
