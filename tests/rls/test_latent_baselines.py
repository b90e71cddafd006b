from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from scalesr.errors import ModelError
from scalesr.rls.baselines import METHODS, cubic, solve
from scalesr.rls.checkpoints import Pair
from scalesr.rls.degradation import Degradation
from scalesr.rls.generator import unit
from scalesr.rls.search import SearchSettings

if TYPE_CHECKING:
    from scalesr.rls.generator import StyleGAN2
    from scalesr.rls.prior import Prior

COARSE = Degradation(factor=4)
TERMS = {
    "rls": {"data", "density", "ring", "cross"},
    "without": {"data"},
    "without-p_w": {"data", "cross"},
    "without-p_cross": {"data", "density", "ring"},
}


@pytest.mark.parametrize("method", sorted(TERMS))
def test_the_ablation_leaves_terms_out(generator: StyleGAN2, prior: Prior, method: str) -> None:
    pair = Pair(generator=generator, prior=prior, metadata={})
    low = COARSE(unit(generator(torch.randn(2, 32))))
    found = solve(method, pair, low, COARSE, settings=SearchSettings(steps=2, group=2))  # type: ignore[arg-type]
    assert set(found.terms) == TERMS[method]
    assert found.images.shape == (2, 2, 16, 16)


def test_other_methods_are_called_by_name(generator: StyleGAN2, prior: Prior, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(generator=generator, prior=prior, metadata={})
    called: list[tuple[str, object]] = []
    for name in ("pulse", "brgm"):
        monkeypatch.setattr(
            f"scalesr.rls.baselines.{name}", lambda *given, name=name, **_: called.append((name, given[3]))
        )
    for method in ("pulse", "brgm"):
        solve(method, pair, torch.zeros(1, 2, 4, 4), COARSE, settings=SearchSettings(group=3, seed=7))
    assert [name for name, _ in called] == ["pulse", "brgm"]
    assert all(own.group == 3 and own.seed == 7 for _, own in called)  # type: ignore[attr-defined]
    assert set(METHODS) == {*TERMS, "pulse", "brgm"}
    with pytest.raises(ModelError, match="no method"):
        solve("ours", pair, torch.zeros(1, 2, 4, 4), COARSE)  # type: ignore[arg-type]


def test_cubic_keeps_constants_and_grows(generator: StyleGAN2) -> None:
    found = cubic(torch.full((3, 2, 4, 4), 0.3), 4)
    assert found.shape == (3, 2, 16, 16)
    assert torch.equal(found, torch.full_like(found, 0.3))
