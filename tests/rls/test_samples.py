from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from scalesr.errors import PlanError
from scalesr.rls.degradation import Degradation
from scalesr.rls.generator import unit
from scalesr.rls.objective import Objective
from scalesr.rls.samples import Samples, VariationalSettings, restarts, variational
from scalesr.rls.search import SearchSettings

if TYPE_CHECKING:
    from scalesr.rls.generator import StyleGAN2
    from scalesr.rls.prior import Prior

COARSE = Degradation(factor=4)
SHORT = SearchSettings(steps=10, group=4)


def measured(generator: StyleGAN2, count: int) -> torch.Tensor:
    z = torch.randn(count, generator.settings.latent, generator=torch.Generator().manual_seed(9))
    return COARSE(unit(generator(z)))


def test_restarts_differ_and_do_not_depend_on_the_batch(generator: StyleGAN2, prior: Prior) -> None:
    low = measured(generator, 6)
    found = restarts(generator, prior, low, COARSE, SHORT, samples=3)
    assert found.images.shape == (3, 6, 2, 16, 16)
    assert found.mean.shape == found.deviation.shape == (6, 2, 16, 16)
    assert float(found.deviation.amax(dim=(1, 2, 3)).min()) > 0
    part = restarts(generator, prior, low[4:], COARSE, SHORT, samples=3, ids=torch.tensor([4, 5]))
    assert torch.equal(part.images, found.images[:, 4:])
    assert "Not calibrated" in found.statement
    assert float(restarts(generator, prior, low[:1], COARSE, SHORT, samples=1).deviation.max()) == 0


def test_a_distribution_of_latents_is_fitted(generator: StyleGAN2, prior: Prior) -> None:
    low = measured(generator, 6)
    found = variational(generator, prior, low, COARSE, SHORT, samples=3)
    assert found.images.shape == (3, 6, 2, 16, 16)
    assert found.latents.shape == (3, 6, 6, 32)
    part = variational(generator, prior, low[5:], COARSE, SHORT, samples=3, ids=torch.tensor([5]))
    assert torch.equal(part.images, found.images[:, 5:])
    assert "Not calibrated" in found.statement
    with pytest.raises(PlanError, match="temperature"):
        variational(generator, prior, low, COARSE, SearchSettings(objective=Objective.data_alone()))


def test_entropy_widens_the_distribution(generator: StyleGAN2, prior: Prior) -> None:
    low = measured(generator, 4)
    settings = SearchSettings(steps=60, group=4)
    wide, narrow = (
        variational(
            generator, prior, low, COARSE, settings, fit=VariationalSettings(temperature=heat, draws=2), samples=6
        )
        for heat in (1e-2, 1e-6)
    )
    assert float(wide.deviation.mean()) > 1.2 * float(narrow.deviation.mean())


def test_deviations_are_compared_with_truths() -> None:
    random = torch.Generator().manual_seed(0)
    images = 0.1 * torch.randn(200, 4, 1, 32, 32, generator=random)
    samples = Samples(
        images=images, latents=torch.zeros(200, 4, 1, 1), flagged=torch.zeros(200, 4).bool(), way="restarts"
    )
    truth = 0.2 * torch.randn(4, 1, 32, 32, generator=random)
    found = samples.against(truth)
    assert found.factor == pytest.approx(2, rel=0.05)
    assert found.within[1.0] == pytest.approx(0.383, abs=0.02)
    assert found.expected[1.0] == pytest.approx(0.6827, abs=1e-4)
    assert found.pixels == 4 * 1024


def test_counts_that_cannot_be_are_refused(generator: StyleGAN2, prior: Prior) -> None:
    for wrong in (0, 500):
        with pytest.raises(PlanError, match="samples"):
            restarts(generator, prior, measured(generator, 1), COARSE, SHORT, samples=wrong)
        with pytest.raises(PlanError, match="samples"):
            variational(generator, prior, measured(generator, 1), COARSE, SHORT, samples=wrong)
