"""Passes that are played back give the bits of those that are not; noise does not ask where rows begin twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from scalesr.models.noise import lane_of, normal
from scalesr.models.recording import WARM
from scalesr.msdsr.groups import Groups
from scalesr.msdsr.network import Denoiser
from scalesr.msdsr.settings import NetworkSettings

if TYPE_CHECKING:
    from collections.abc import Callable

TINY = NetworkSettings(widths=(8, 16), attention=(False, False), tile=16)


class Tape:
    """Records like a CUDA graph: work is not done while it is recorded, and is done by every replay."""

    def __init__(self) -> None:
        self.recorded, self.replayed = 0, 0

    def warm(self, work: Callable[[], None]) -> None:
        work()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self.recorded += 1

        def replay() -> None:
            self.replayed += 1
            work()

        return replay


def test_passes_that_are_played_back_give_the_same_bits() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        groups = Groups(Denoiser(TINY), group=3, device=torch.device("cpu"), precision="fp32")
    random = torch.Generator().manual_seed(2)
    tape = Tape()
    passes = 0
    for count, edge, timestep in ((7, 16, 900), (4, 16, 30), (2, 32, 5), (8, 16, 4), (3, 32, 900)):
        noisy, between = (torch.randn(count, 1, edge, edge, generator=random) for _ in range(2))
        known = (torch.rand(count, 1, edge, edge, generator=random) < 0.3).float()
        groups.recorder = None
        plain = groups(noisy, timestep, known, between)
        groups.recorder = tape
        with torch.inference_mode():
            played = groups(noisy, timestep, known, between)
        assert torch.equal(played, plain)
        passes += -(-count // 3)
    # Eight groups of one size, of which three are done before, and two of the other.
    assert tape.recorded == 1
    assert tape.replayed == passes - 2 - WARM == 5


@pytest.mark.parametrize("firsts", [[0, 0], [5, 9], [-3, 1], [2, 3]])
def test_noise_is_the_same_where_it_is_told_at_which_row_columns_begin(firsts: list[int]) -> None:
    first = torch.tensor(firsts)
    given = {"first": first, "rows": 6, "y": torch.arange(2), "x": torch.arange(2), "streams": torch.tensor(3)}
    asked = normal(**given, seed=1)  # type: ignore[arg-type]
    assert torch.equal(normal(**given, seed=1, lane=lane_of(first)), asked)  # type: ignore[arg-type]
    assert torch.equal(normal(**given, seed=1, lane="unlike"), asked)  # type: ignore[arg-type]
    assert lane_of(first) == ("unlike" if firsts == [2, 3] else firsts[0] % 4)
