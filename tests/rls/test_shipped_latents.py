"""The generators of the package are small, say how they are searched, and their cards describe these very files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from scalesr.models import available, checkpoint, load, resolve
from scalesr.models.catalogue import weights_of
from scalesr.phantoms import screen_cells
from scalesr.rls import checkpoints
from scalesr.rls.baselines import cubic
from scalesr.rls.degradation import Degradation
from scalesr.rls.objective import Objective
from scalesr.rls.search import SearchSettings, search

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ("rls-nuclei", "rls-phantoms")
MOST_BYTES = 16e6


def test_they_are_small_and_can_be_named() -> None:
    assert sum(weights_of(name).stat().st_size for name in NAMES) <= MOST_BYTES
    assert set(NAMES) <= {name for name, _ in available()}


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_of_this_file(name: str) -> None:
    path = weights_of(name)
    assert checkpoint.fingerprint(path) in (path.parent / "rls.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "channels"), [("rls-nuclei", None), ("rls-phantoms", 2)])
def test_a_run_takes_the_search_of_the_file(name: str, channels: int | None) -> None:
    pair = checkpoints.load(name)
    assert pair.prior is not None
    assert pair.search != SearchSettings()
    axes = "nyx" if channels is None else "ncyx"
    model = load(resolve(name, image_channels=channels, image_axes=axes, options={"steps": 2, "group": 2}))
    low = torch.rand(1, channels or 1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    found = model(low, torch.zeros(1, 3, dtype=torch.int64))
    wanted = SearchSettings(**{**vars(pair.search), "steps": 2, "group": 2})
    alone = search(pair.generator, pair.prior, low[0].movedim(1, 0), Degradation(factor=16), wanted)
    torch.testing.assert_close(found[0].movedim(1, 0), alone.images, atol=1e-6, rtol=0)


def test_cells_of_phantoms_are_nearer_to_the_truth_than_by_cubic() -> None:
    pair = checkpoints.load("rls-phantoms")
    truth = torch.from_numpy(screen_cells(4, condition="treated", seed=90).images)
    degradation = Degradation(factor=16)
    low = degradation(truth)
    settings = SearchSettings(**{**vars(pair.search), "steps": 40, "group": 4})
    found = search(pair.generator, pair.prior, low, degradation, settings)
    errors = [(images - truth).square().mean() for images in (found.images, cubic(low, 16))]
    assert errors[0] < 0.8 * errors[1]
    assert not found.flagged.any()


def test_what_a_file_says_of_the_search_is_kept(tmp_path: Path) -> None:
    pair = checkpoints.load("rls-nuclei")
    wished = SearchSettings(objective=Objective(data=3.0, cross=0.25), steps=7, space="w")
    checkpoints.save(tmp_path / "x.safetensors", pair.generator, title="one", search=wished)
    assert checkpoints.load(tmp_path / "x.safetensors").search == wished
    checkpoints.save(tmp_path / "y.safetensors", pair.generator, title="one")
    assert checkpoints.load(tmp_path / "y.safetensors").search == SearchSettings()
