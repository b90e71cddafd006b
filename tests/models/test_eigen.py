"""Eigenimages: a basis that can be trusted, products of the same bits however they are cut, and nothing lost."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scalesr.errors import InputError, ModelError
from scalesr.models import Model, ModelSpec
from scalesr.models.baselines import Baseline, Interpolation
from scalesr.models.eigen import Eigen
from scalesr.models.eigen_basis import DETAIL_BITS, VECTOR_BITS, EigenBasis, mix, product
from scalesr.models.eigen_views import choose_views, from_views, most_views
from scalesr.models.network import Network
from scalesr.models.rrdb import RRDBNet
from scalesr.models.spectral_sums import SpectralSums

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

SCALE = (Fraction(4), Fraction(4))
UNIT = 2**VECTOR_BITS


def cube(bands: int, *pixels: int, rank: int = 4, noise: float = 0.02, seed: int = 0) -> NDArray[np.float32]:
    """Return a mixture of a few spectra with noise, normalised."""
    rng = np.random.default_rng(seed)
    mixture = rng.random((bands, rank)) @ rng.random((rank, int(np.prod(pixels)))) / rank
    return (mixture + noise * rng.standard_normal(mixture.shape)).reshape(bands, *pixels).astype(np.float32)


def sums_of(image: NDArray[Any]) -> SpectralSums:
    return SpectralSums(offset=np.zeros(len(image)), gain=np.ones(len(image))).add(image)


def basis_of(image: NDArray[Any], k: int) -> EigenBasis:
    return EigenBasis.fit(sums_of(image), k)


def interpolation(kernel: Baseline) -> Interpolation:
    return Interpolation(kernel, axes="yx", scale=SCALE)


def between(single: NDArray[np.float32], repeated: float) -> NDArray[np.float32]:
    """Return pixels that are enlarged with a share of repeated ones."""
    found: NDArray[np.float32] = (1 - repeated) * run(interpolation("cubic"), single)
    return found + repeated * run(interpolation("nearest"), single)


def network(channels: int = 1) -> Network:
    torch.manual_seed(0)
    spec = ModelSpec(
        name="small",
        axes="yx",
        scale=SCALE,
        channels=channels,
        out_channels=channels,
        receptive=(19, 19),
        activation_bytes=1000.0,
    )
    return Network(RRDBNet(channels, channels, features=4, growth=4), spec)


def run(model: Model, tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    origins = torch.zeros(len(tiles), len(model.spec.axes), dtype=torch.int64)
    found: NDArray[np.float32] = model(torch.from_numpy(tiles), origins).numpy()
    return found


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


# The basis


@pytest.mark.parametrize("k", [1, 3, 12])
def test_vectors_span_the_directions_of_most_variance_and_have_few_bits(k: int) -> None:
    image = cube(12, 30, 31)
    basis = basis_of(image, k)
    whole = basis.vectors * UNIT
    assert np.array_equal(whole, np.rint(whole))
    np.testing.assert_allclose(basis.vectors.T @ basis.vectors, np.eye(k), atol=12 / UNIT)
    values, vectors = np.linalg.eigh(np.cov(image.reshape(12, -1).astype(np.float64), bias=True))
    largest = vectors[:, ::-1][:, :k]
    np.testing.assert_allclose(basis.vectors @ basis.vectors.T, largest @ largest.T, atol=2e-3)
    total = np.sum(basis.explained * image.reshape(12, -1).var(axis=1)) / values.sum()
    assert total == pytest.approx(values[::-1][:k].sum() / values.sum(), abs=1e-5)
    variances = np.tensordot(basis.vectors.T, image, 1).reshape(k, -1).var(axis=1)
    assert (np.diff(variances) <= 1e-9).all()


def test_bands_that_are_alike_share_a_view() -> None:
    """Three kinds of bands that overlap in their eigenvectors are told apart, and a view is all bands of a kind."""
    rng = np.random.default_rng(6)
    kinds = np.repeat(np.arange(3), 5)
    image = rng.random((3, 40, 40))[kinds] + 0.01 * rng.standard_normal((15, 40, 40))
    strong = np.abs(basis_of(image, 3).views) > 0.4
    assert (strong.sum(axis=0) == 5).all()
    assert all(len(set(kinds[column])) == 1 for column in strong.T)
    assert {kinds[column][0] for column in strong.T} == {0, 1, 2}


def test_as_many_eigenimages_as_bands_are_seen_as_the_bands() -> None:
    basis = basis_of(cube(9, 20, 21, noise=0.1), 9)
    band = basis.views.argmax(axis=0)
    assert sorted(band) == list(range(9))
    np.testing.assert_allclose(basis.views, np.eye(9)[:, band], atol=1e-4)
    np.testing.assert_allclose(basis.vectors @ basis.back, np.eye(9)[:, band], atol=1e-4)


@given(k=st.integers(1, 5), bands=st.integers(5, 30), seed=st.integers(0, 20))
@settings(max_examples=25, deadline=None)
def test_eigenimages_are_sums_of_their_views(k: int, bands: int, seed: int) -> None:
    basis = basis_of(cube(bands, 12, 13, noise=0.2, seed=seed), k)
    assert 1 <= basis.seen <= most_views(bands=bands, k=k) == EigenBasis.blank(bands=bands, k=k).seen
    assert np.array_equal(basis.views * UNIT, np.rint(basis.views * UNIT))
    np.testing.assert_allclose(np.linalg.norm(basis.views, axis=0), 1, atol=1e-4)
    # Views lie in the space of the eigenimages, and make them up again.
    np.testing.assert_allclose(basis.vectors @ (basis.vectors.T @ basis.views), basis.views, atol=1e-4)
    np.testing.assert_allclose(basis.back @ basis.views.T, basis.vectors.T, atol=1e-3)


@given(seed=st.integers(0, 50), k=st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_views_turn_with_the_space(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    loadings, turn = rng.random((20, k)) - 0.2, np.linalg.qr(rng.standard_normal((k, k)))[0]
    views = choose_views(loadings, 8)
    np.testing.assert_allclose(choose_views(loadings @ turn, 8), views @ turn, atol=1e-9)
    assert len(views) <= 8
    np.testing.assert_allclose(np.linalg.norm(views, axis=1), 1)


def test_bands_that_differ_by_their_strength_are_one_view_and_their_negatives_another() -> None:
    loadings = np.outer([1, 0.5, 0.1, 2], [0.6, 0.8])
    np.testing.assert_allclose(choose_views(loadings, 4), [[0.6, 0.8]])
    np.testing.assert_allclose(choose_views(np.concatenate([loadings, -loadings]), 4), [[0.6, 0.8], [-0.6, -0.8]])


def test_what_no_view_holds_is_left_to_interpolation() -> None:
    back = from_views(np.array([[1, 0.0], [1, 1e-3], [1, -1e-3]]))
    np.testing.assert_allclose(back, np.array([[1 / 3] * 3, [0.0] * 3]), atol=1e-3)


def test_views_are_normalised_by_their_percentiles() -> None:
    image = cube(6, 60, 60)
    basis = basis_of(image, 3)
    images = np.tensordot(basis.views.T, image, 1).reshape(basis.seen, -1)
    normalised = (images - basis.offset[:, None]) / basis.gain[:, None]
    wanted = np.repeat([[0.0], [1.0]], basis.seen, axis=1)
    np.testing.assert_allclose(np.percentile(normalised, [0.1, 99.9], axis=1), wanted, atol=1e-3)


@given(seed=st.integers(0, 30), bands=st.integers(2, 8))
@settings(max_examples=25, deadline=None)
def test_signs_do_not_depend_on_the_order_of_pixels_or_the_sign_of_libraries(seed: int, bands: int) -> None:
    image = cube(bands, 9, 10, seed=seed)
    basis = basis_of(image, bands)
    totals = np.rint(basis.vectors * UNIT).sum(axis=0)
    assert (totals >= 0).all()
    for total, column in zip(totals, basis.vectors.T, strict=True):
        assert total > 0 or column[np.flatnonzero(column)[0]] > 0
    turned = sums_of(image[:, ::-1, 4:]).merge(sums_of(image[:, :, :4]))
    assert EigenBasis.fit(turned, bands).to_bytes() == basis.to_bytes()


def test_more_eigenimages_explain_more_and_all_explain_all() -> None:
    image = cube(8, 20, 20, noise=0.1)
    image[5] = 0.25
    shares = np.stack([basis_of(image, k).explained for k in range(1, 9)])
    assert (np.diff(shares, axis=0) > -1e-6).all()
    assert ((shares >= -1e-6) & (shares <= 1 + 1e-12)).all()
    assert (shares[:, 5] == 1).all()
    np.testing.assert_allclose(shares[-1], 1, atol=1e-9)
    left = image - np.tensordot(basis_of(image, 3).vectors @ basis_of(image, 3).vectors.T, image, 1)
    flat = left.reshape(8, -1).astype(np.float64)
    varied = np.arange(8) != 5
    expected = 1 - flat.var(axis=1)[varied] / image.reshape(8, -1).astype(np.float64).var(axis=1)[varied]
    # The sums round each value to 2^-12, here a thousandth of a deviation.
    np.testing.assert_allclose(shares[2][varied], expected, atol=1e-4)


def test_an_image_without_variance_has_a_basis_all_the_same() -> None:
    basis = basis_of(np.full((4, 5, 5), 0.5, np.float32), 2)
    assert (basis.gain == 2.0**-12).all()
    assert (basis.explained == 1).all()


def test_bytes_bring_the_basis_back() -> None:
    basis = basis_of(cube(7, 9, 9), 3)
    again = EigenBasis.from_bytes(basis.to_bytes())
    for name in ("vectors", "views", "back", "offset", "gain", "explained"):
        assert np.array_equal(getattr(again, name), getattr(basis, name))
    assert again.sha256 == basis.sha256 != basis_of(cube(7, 9, 9), 2).sha256
    for damaged in (b"", basis.to_bytes()[:-8], b"\0" * 100):
        with pytest.raises(ModelError, match="cannot be read"):
            EigenBasis.from_bytes(damaged)


def test_a_basis_that_is_none_is_refused() -> None:
    good = basis_of(cube(5, 9, 9), 2)
    wrong: list[tuple[str, NDArray[np.float64]]] = [
        ("offset", np.zeros(good.seen + 1)),
        ("explained", np.zeros(4)),
        ("vectors", good.vectors + 2.0**-30),
        ("vectors", np.ones((5, 2))),
        ("views", good.views + 2.0**-30),
        ("views", 2 * good.views),
        ("back", good.back[:, 1:]),
        ("back", np.full_like(good.back, np.inf)),
        ("gain", np.zeros(good.seen)),
        ("gain", np.full(good.seen, np.nan)),
    ]
    for name, values in wrong:
        with pytest.raises(ValueError):
            replace(good, **{name: values})


def test_numbers_of_eigenimages_that_cannot_be() -> None:
    for k in (0, 6):
        with pytest.raises(ModelError, match="5 bands") as caught:
            basis_of(cube(5, 4, 4), k)
        assert "eigen:5" in caught.value.remedy
    with pytest.raises(InputError):
        EigenBasis.fit(SpectralSums(offset=[0, 0], gain=[1, 1]), 1)


# Products


def exact(matrix: NDArray[np.float64], numbers: NDArray[np.float64], bits: int) -> list[list[Fraction]]:
    rounded = [[Fraction(round(Fraction(v) * 2**bits), 2**bits) for v in row] for row in numbers.tolist()]
    return [
        [sum((Fraction(a) * row[p] for a, row in zip(loadings, rounded, strict=True)), Fraction(0)) for p in range(n)]
        for loadings in matrix.tolist()
        for n in [len(rounded[0])]
    ]


@given(k=st.integers(1, 33), seed=st.integers(0, 50), power=st.integers(-8, 6))
@settings(max_examples=40, deadline=None)
def test_products_are_exact(k: int, seed: int, power: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.standard_normal((40, k)))[0]
    matrix = np.rint(vectors * UNIT)[:5] / UNIT
    numbers = rng.standard_normal((k, 3)) * 2.0**power
    found = product(torch.from_numpy(matrix), torch.from_numpy(numbers), bits=DETAIL_BITS).tolist()
    assert [[Fraction(v) for v in row] for row in found] == exact(matrix, numbers, DETAIL_BITS)


@pytest.mark.parametrize("k", [1, 2, 31, 1000, 2048])  # eigenimages mixed, or bands projected
def test_the_worst_numbers_are_summed_exactly(k: int) -> None:
    """All products of one sign and as large as they get below the split, against Python's integers."""
    part = 2.0 ** (35 - np.ceil(np.log2(k) / 2))
    flat = np.full((1, k), np.rint(UNIT / np.sqrt(k)) / UNIT)
    worst = np.full((k, 1), (part / 2 - 1) * 2.0**-DETAIL_BITS)
    found = product(torch.from_numpy(flat), torch.from_numpy(worst), bits=DETAIL_BITS).item()
    assert Fraction(found) == k * Fraction(flat[0, 0]) * Fraction(worst[0, 0])
    assert abs(found) * 2 ** (VECTOR_BITS + DETAIL_BITS) < 2**53


def test_large_numbers_are_split_and_change_no_bit_of_their_neighbours() -> None:
    rng = np.random.default_rng(4)
    matrix = torch.from_numpy(basis_of(cube(20, 9, 9), 16).vectors)
    numbers = rng.standard_normal((16, 500))
    plain = product(matrix, torch.from_numpy(numbers), bits=DETAIL_BITS).numpy()
    numbers[:, 77] *= 2.0**20
    numbers[3, 200] = 2.0**31
    mixed = product(matrix, torch.from_numpy(numbers), bits=DETAIL_BITS).numpy()
    small = ~np.isin(np.arange(500), (77, 200))
    assert mixed[:, small].tobytes() == plain[:, small].tobytes()
    for place in (77, 200):
        alone = product(matrix, torch.from_numpy(numbers[:, place : place + 1].copy()), bits=DETAIL_BITS).numpy()
        assert mixed[:, place].tobytes() == alone.tobytes()
        wanted = [float(row[0]) for row in exact(matrix.numpy(), numbers[:, place : place + 1], DETAIL_BITS)]
        # The two parts are joined in one rounding, after the rounding of neither.
        np.testing.assert_allclose(alone[:, 0], wanted, rtol=2.0**-50, atol=2.0**-20)


def test_what_cannot_be_exact_is_refused() -> None:
    matrix = torch.from_numpy(basis_of(cube(4, 5, 5), 2).vectors)
    for bad in (2.0**60, np.inf, np.nan):
        with pytest.raises(ModelError, match="normalised scale") as caught:
            product(matrix, torch.full((2, 3), bad, dtype=torch.float64), bits=DETAIL_BITS)
        assert caught.value.remedy


@given(data=st.data(), k=st.integers(1, 20), height=st.integers(1, 40), width=st.integers(1, 70))
@settings(max_examples=60, deadline=None)
def test_mixing_gives_the_same_bits_for_any_cut(data: st.DataObject, k: int, height: int, width: int) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    basis = basis_of(cube(24, 9, 9, noise=0.2), k)
    details = (rng.standard_normal((k, height, width)) * rng.choice([1, 2.0**12], (1, height, width))).astype(
        data.draw(st.sampled_from([np.float32, np.float64]))
    )
    whole = mix(details, basis, bands=range(24))
    assert whole.shape == (24, height, width)
    y, x = (slice(*sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2)))) for n in (height, width))
    bands = range(*sorted(data.draw(st.tuples(st.integers(0, 23), st.integers(1, 24)))))
    part = mix(details[:, y, x], basis, bands=bands) if details[:, y, x].size and bands else None
    if part is not None:
        assert part.tobytes() == whole[bands.start : bands.stop, y, x].tobytes()


def test_mixing_gives_the_same_bits_for_any_number_of_threads(threads: int) -> None:
    rng = np.random.default_rng(5)
    basis = basis_of(cube(100, 12, 12, noise=0.2), 32)
    details = rng.standard_normal((32, 70, 333)).astype(np.float32)
    found = mix(details, basis, bands=range(100))
    pixels = np.stack([mix(details[:, :1, n], basis, bands=range(100))[:, 0] for n in range(0, 333, 37)], axis=1)
    assert found[:, 0, ::37].tobytes() == pixels.tobytes()
    np.testing.assert_allclose(found, np.tensordot(basis.vectors, details.astype(np.float64), 1), atol=1e-6)
    assert threads == torch.get_num_threads()


def test_nothing_is_mixed_to_zero_without_a_sign() -> None:
    basis = basis_of(cube(6, 9, 9), 3)
    found = mix(-np.zeros((3, 4, 4)), basis, bands=range(6))
    assert not found.any()
    assert not np.signbit(found).any()


# The model


def test_the_spec_says_all_bands_in_and_details_out() -> None:
    inner = network()
    model = Eigen(inner, basis_of(cube(9, 8, 8), 2))
    assert isinstance(model, Model)
    spec = model.spec
    assert (spec.channels, spec.out_channels, spec.scale, spec.axes) == (9, 2, SCALE, "yx")
    assert spec.receptive == (19, 19)
    assert Eigen(interpolation("nearest"), basis_of(cube(9, 8, 8), 2)).spec.receptive == (2, 2)
    assert spec.activation_bytes >= inner.spec.activation_bytes + 4 * (9 + 2 * 16)
    assert spec.weight_bytes >= inner.spec.weight_bytes + 8 * 9 * 2
    found = run(model, cube(9, 12, 10)[None])
    assert found.shape == (1, 2, 48, 40)
    assert found.dtype == np.float32


def test_cubic_has_no_details() -> None:
    image = cube(7, 12, 11)
    assert not run(Eigen(interpolation("cubic"), basis_of(image, 7)), image[None]).any()


@pytest.mark.parametrize("kernel", ["nearest", "linear"])
def test_all_eigenimages_and_a_linear_network_give_the_network_on_each_band(kernel: Baseline) -> None:
    image = cube(10, 16, 18, noise=0.1)
    basis = basis_of(image, 10)
    details = run(Eigen(interpolation(kernel), basis), image[None])[0]
    cubic = run(interpolation("cubic"), image[:, None])[:, 0]
    single = run(interpolation(kernel), image[:, None])[:, 0]
    assert np.abs(single - cubic).max() > 0.05
    np.testing.assert_allclose(cubic + mix(details, basis, bands=range(10)), single, atol=1e-4)


def test_a_few_eigenimages_lose_no_more_than_the_details_of_the_rest() -> None:
    """Of bands that are sums of two images, two eigenimages and a linear network lose nothing but the noise."""
    image = cube(30, 20, 20, rank=2, noise=1e-3)
    basis = basis_of(image, 2)
    details = run(Eigen(interpolation("nearest"), basis), image[None])[0]
    cubic = run(interpolation("cubic"), image[:, None])[:, 0]
    single = run(interpolation("nearest"), image[:, None])[:, 0]
    left = cubic + mix(details, basis, bands=range(30)) - single
    assert np.sqrt(np.mean(left**2)) < 1.2e-3 < 0.1 * np.sqrt(np.mean((cubic - single) ** 2))


@pytest.mark.parametrize("repeated", [0.0, 0.25])
def test_details_are_those_of_the_network_on_normalised_views(repeated: float) -> None:
    image = cube(6, 14, 15)
    basis, inner = basis_of(image, 2), network()
    images = np.tensordot(basis.views.T, image.astype(np.float64), 1)
    images = (images - basis.offset[:, None, None]) / basis.gain[:, None, None]
    single = images.astype(np.float32)[:, None]
    views = (run(inner, single) - between(single, repeated))[:, 0] * basis.gain[:, None, None]
    expected = np.tensordot(basis.back, views, 1)
    assert np.abs(expected).max() > 0.01
    np.testing.assert_allclose(run(Eigen(inner, basis, repeated=repeated), image[None])[0], expected, atol=1e-5)


@pytest.mark.parametrize("repeated", [0.0, 0.25])
def test_all_eigenimages_are_the_network_on_each_band(repeated: float) -> None:
    """Of a network that is not linear too, since all views are then bands, but for the percentiles of a sample."""
    image, inner = cube(8, 16, 18, noise=0.1), network()
    low, high = np.percentile(image.reshape(8, -1), [0.1, 99.9], axis=1).astype(np.float32)[:, :, None, None]
    bands = (image - low) / (high - low)
    basis = basis_of(bands, 8)
    details = mix(run(Eigen(inner, basis, repeated=repeated), bands[None])[0], basis, bands=range(8))
    found = between(bands[:, None], repeated)[:, 0] + details
    np.testing.assert_allclose(found, run(inner, bands[:, None])[:, 0], atol=5e-3)


@pytest.mark.parametrize("group", [1, 2, 3])
def test_a_tile_has_the_same_bits_whatever_else_is_in_the_batch(group: int, threads: int) -> None:
    image = cube(5, 12, 13)
    others = np.stack([cube(5, 12, 13, seed=seed) for seed in range(3)])
    model = Eigen(network(), basis_of(image, 3), group=group)
    first = run(model, np.stack([image, *others[:2]]))[0]
    last = run(model, np.stack([others[2], others[0], image]))[2]
    assert first.tobytes() == last.tobytes()
    assert threads == torch.get_num_threads()


def test_the_layout_of_tiles_does_not_show() -> None:
    tiles = torch.from_numpy(np.stack([cube(5, 12, 13), cube(5, 12, 13, seed=1)]))
    model = Eigen(network(), basis_of(tiles[0].numpy(), 3))
    origins = torch.zeros(2, 2, dtype=torch.int64)
    there = model(tiles.contiguous(memory_format=torch.channels_last), origins)
    assert torch.equal(there, model(tiles, origins))


def test_volumes_work_too() -> None:
    scale = (Fraction(2), Fraction(1), Fraction(3))
    image = cube(4, 6, 7, 8)
    basis = basis_of(image, 4)
    details = run(Eigen(Interpolation("linear", axes="zyx", scale=scale), basis), image[None])[0]
    assert details.shape == (4, 12, 7, 24)
    cubic = run(Interpolation("cubic", axes="zyx", scale=scale), image[:, None])[:, 0]
    linear = run(Interpolation("linear", axes="zyx", scale=scale), image[:, None])[:, 0]
    np.testing.assert_allclose(cubic + mix(details, basis, bands=range(4)), linear, atol=1e-4)


def test_moving_keeps_it_the_same() -> None:
    image = cube(5, 10, 10)
    model = Eigen(network(), basis_of(image, 2), group=2)
    moved = model.to(device="cpu", precision="fp32")
    assert moved.spec == model.spec
    assert np.array_equal(run(moved, image[None]), run(model, image[None]))


def test_networks_of_several_channels_and_impossible_values_are_refused() -> None:
    image = cube(5, 10, 10)
    with pytest.raises(ModelError, match="one by one"):
        Eigen(network(3), basis_of(image, 2))
    image[2, 3, 3] = np.nan
    model = Eigen(interpolation("nearest"), basis_of(cube(5, 10, 10), 2))
    with pytest.raises(ModelError, match="normalised scale"):
        run(model, image[None])


def test_parameters_of_the_network_are_not_touched() -> None:
    inner = network()
    before = [parameter.clone() for parameter in inner._plain.parameters()]
    run(Eigen(inner, basis_of(cube(5, 10, 10), 2)), cube(5, 10, 10)[None])
    assert all(torch.equal(a, b) for a, b in zip(before, inner._plain.parameters(), strict=True))
