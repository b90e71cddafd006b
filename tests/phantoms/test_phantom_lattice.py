"""The hash is random enough, the noise smooth, and the objects are found from wherever one looks."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from scalesr.phantoms.lattice import Sites, noise, step, uniform


def test_hashed_numbers_are_uniform_and_independent() -> None:
    numbers = uniform(0, 0, *np.ix_(np.arange(-200, 200), np.arange(300)))
    assert 0.0 <= numbers.min() < numbers.max() < 1.0
    share, _ = np.histogram(numbers, bins=16, range=(0, 1))
    assert np.abs(share / numbers.size * 16 - 1).max() < 0.03
    assert abs(np.corrcoef(numbers[:, 1:].ravel(), numbers[:, :-1].ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(numbers[1:].ravel(), numbers[:-1].ravel())[0, 1]) < 0.01


def test_seeds_streams_and_positions_are_told_apart() -> None:
    line = np.arange(1000)
    many = [uniform(seed, stream, line) for seed in (0, 1, -1, 2**62) for stream in (0, 1, 2)]
    many += [uniform(0, 0, line, np.zeros(1, np.int64)), uniform(0, 0, np.zeros(1, np.int64), line)]
    alike = np.corrcoef(many) - np.eye(len(many))
    assert np.abs(alike).max() < 0.15


def test_hashed_numbers_stay_what_they_are() -> None:
    """Published phantoms are made from seeds, so the numbers behind them are a promise."""
    np.testing.assert_allclose(
        uniform(7, 3, np.array([0, 1, -5])),
        [0.6097876641997814, 0.06361408929232959, 0.8980641146641306],
        rtol=0,
        atol=0,
    )


def test_noise_is_smooth_and_fills_its_range() -> None:
    field = noise(((0, 400), (0, 400)), spacing=20.0, seed=1, stream=0)
    assert field.min() < 0.1
    assert field.max() > 0.9
    assert abs(field.mean() - 0.5) < 0.05
    assert max(np.abs(np.diff(field, axis=axis)).max() for axis in (0, 1)) < 0.15


def test_step_rises_from_0_to_1() -> None:
    values = step(np.linspace(-0.5, 1.5, 101))
    assert values[0] == 0.0
    assert values[-1] == 1.0
    assert (np.diff(values) >= 0).all()


def test_walls_lie_halfway_between_points() -> None:
    sites, region = Sites(3, 0, 10.0, jitter=0.4), ((0, 60), (0, 60))
    index = list(sites.near(region, reach=20.0).T)
    points = np.stack(sites.centre(index), -1)
    grid = np.stack(np.meshgrid(np.arange(60.0), np.arange(60.0), indexing="ij"), -1)
    near, which = cKDTree(points).query(grid, k=2)
    apart = np.linalg.norm(points[which[..., 0]] - points[which[..., 1]], axis=-1)
    halfway = (near[..., 1] ** 2 - near[..., 0] ** 2) / (2 * apart)
    wall = sites.wall_distance(region)
    assert (wall <= halfway + 1e-9).all()  # the second nearest point is one of those that make walls
    np.testing.assert_allclose(wall[halfway < 0.5], halfway[halfway < 0.5], atol=0.3)


def test_points_within_reach_are_all_found() -> None:
    sites = Sites(0, 0, 7.0)
    everywhere = sites.near(((-50, 150), (-50, 150)), reach=0.0)
    points = np.stack(sites.centre(list(everywhere.T)), -1)
    found = {tuple(index) for index in sites.near(((20, 31), (40, 44)), reach=9.0).tolist()}
    low, high = np.array([20, 40]) - 9.0, np.array([30, 43]) + 9.0
    inside = ((points >= low) & (points <= high)).all(-1)
    assert {tuple(index) for index in everywhere[inside].tolist()} <= found
