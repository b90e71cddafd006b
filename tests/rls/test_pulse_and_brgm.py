from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from scalesr.rls.brgm import BrgmSettings, brgm, cosines
from scalesr.rls.degradation import Degradation
from scalesr.rls.descent import descend
from scalesr.rls.generator import unit
from scalesr.rls.maps import starts
from scalesr.rls.pulse import PulseSettings, geodesic_cross, pulse, steep_moments

if TYPE_CHECKING:
    import pytest

    from scalesr.rls.generator import StyleGAN2

COARSE = Degradation(factor=4)


def measured(generator: StyleGAN2, count: int) -> torch.Tensor:
    z = torch.randn(count, generator.settings.latent, generator=torch.Generator().manual_seed(9))
    return COARSE(unit(generator(z)))


def test_rows_stay_on_their_spheres(generator: StyleGAN2, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = PulseSettings(steps=6, draws=2000, group=2, least=0.0)
    seen: list[tuple[torch.Tensor, ...]] = []
    true = descend

    def told(start: list[torch.Tensor], *args: object, **kwargs: object) -> object:
        found = true(start, *args, **kwargs)  # type: ignore[arg-type]
        seen.append((start[0], found.variables[0], start[1], found.variables[1]))
        return found

    monkeypatch.setitem(pulse.__globals__, "descend", told)
    pulse(generator, measured(generator, 2), COARSE, settings)
    before, after, map_before, map_after = seen[0]
    assert not torch.equal(before, after)
    assert not torch.equal(map_before, map_after)
    torch.testing.assert_close(after.norm(dim=2), before.norm(dim=2))
    torch.testing.assert_close(map_after.flatten(1).norm(dim=1), map_before.flatten(1).norm(dim=1))
    rows = [starts(torch.arange(2), latent=32, sample=row, seed=0, device=torch.device("cpu")) for row in range(6)]
    assert torch.equal(before, torch.stack(rows, dim=1))


def test_the_geodesic_cross_is_that_of_angles() -> None:
    x = torch.randn(2, 4, 16, dtype=torch.float64)
    unit_rows = functional.normalize(x, dim=2)
    # For rows of one length the formula's angle is that between them.
    angle = torch.arccos((unit_rows @ unit_rows.transpose(1, 2)).clamp(-1, 1))
    wanted = (16 * angle.square()).mean(dim=(1, 2)) / 8
    torch.testing.assert_close(geodesic_cross(unit_rows), wanted, atol=1e-3, rtol=1e-3)


def test_normal_rows_become_latents_and_back(generator: StyleGAN2) -> None:
    mean, std = steep_moments(generator, count=4000, seed=0)
    w = generator.mapping(torch.randn(5, 32))
    v = (functional.leaky_relu(w, 5.0) - mean) / std
    torch.testing.assert_close(functional.leaky_relu(v * std + mean, 0.2), w, atol=1e-5, rtol=1e-4)


def test_pulse_comes_nearer_and_flags_what_is_not_met(generator: StyleGAN2) -> None:
    low = measured(generator, 4)
    one, many = (
        pulse(generator, low, COARSE, PulseSettings(steps=steps, draws=2000, group=4, least=1e-4)) for steps in (1, 60)
    )
    assert (many.losses < one.losses).all()
    assert torch.equal(many.flagged, many.terms["data"] > 100 * 1e-4 * (1 + 1e-6))
    loose = pulse(generator, low, COARSE, PulseSettings(steps=1, draws=2000, group=4, least=10.0))
    assert not loose.flagged.any()
    part = pulse(
        generator, low[2:3], COARSE, PulseSettings(steps=60, draws=2000, group=4, least=1e-4), ids=torch.tensor([2])
    )
    assert torch.equal(part.images[0], many.images[2])


def test_brgm_s_terms_are_those_of_its_formula(generator: StyleGAN2) -> None:
    low = measured(generator, 2)
    found = brgm(generator, low, COARSE, BrgmSettings(steps=1, draws=2000, group=2))
    seen = COARSE(found.images)
    wanted = 1e-3 * ((seen - low) * 255).square().mean(dim=(1, 2, 3))
    torch.testing.assert_close(found.terms["data"], wanted, rtol=1e-4, atol=1e-6)
    assert float(found.terms["prior"].max()) < 1e-8
    assert float(found.terms["cosine"].abs().max()) < 1e-3


def test_cosines_of_all_pairs_count() -> None:
    w = torch.randn(3, 4, 6, dtype=torch.float64)
    for n in range(3):
        wanted = sum(1 - functional.cosine_similarity(w[n, i], w[n, j], dim=0) for i in range(4) for j in range(4))
        torch.testing.assert_close(cosines(w)[n], torch.as_tensor(wanted))


def test_brgm_comes_nearer_and_takes_features(generator: StyleGAN2) -> None:
    low = measured(generator, 3)
    settings = BrgmSettings(steps=40, draws=2000, group=4)
    asked: list[torch.Size] = []

    def features(seen: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        asked.append(seen.shape)
        return 1e-6 * (seen - wanted).square().mean(dim=(1, 2, 3))

    plain, told = brgm(generator, low, COARSE, settings), brgm(generator, low, COARSE, settings, perceptual=features)
    first = brgm(generator, low, COARSE, BrgmSettings(steps=1, draws=2000, group=4))
    assert (plain.losses < first.losses).all()
    assert set(told.terms) - set(plain.terms) == {"perceptual"}
    assert asked[0] == (4, 2, 4, 4)
    assert math.isfinite(float(plain.misfits.mean()))
    part = brgm(generator, low[1:2], COARSE, settings, ids=torch.tensor([1]))
    assert torch.equal(part.images[0], plain.images[1])
