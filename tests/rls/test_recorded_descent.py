"""Steps are Adam's, and as many are done whether they are played back or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from scalesr.models.recording import WARM, Repeated
from scalesr.rls.descent import descend, linear1cycledrop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

GOALS = torch.tensor([[1.0, -2.0], [30.0, 0.1], [-5.0, 5.0]], dtype=torch.float64)


class Tape:
    """Records like a CUDA graph: work is not done while it is recorded, and is done by every replay."""

    def __init__(self) -> None:
        self.warmed, self.recorded, self.replayed = 0, 0, 0

    def warm(self, work: Callable[[], None]) -> None:
        self.warmed += 1
        work()

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self.recorded += 1

        def replay() -> None:
            self.replayed += 1
            work()

        return replay


def energy(values: Sequence[torch.Tensor], step: int) -> dict[str, torch.Tensor]:
    return {
        "square": (values[0] - GOALS).square().sum(dim=1),
        "wave": torch.sin(3 * values[0]).sum(dim=1),
    }


def test_work_is_done_once_for_each_call() -> None:
    done: list[int] = []
    tape = Tape()
    repeated = Repeated(lambda: done.append(0), device=torch.device("cpu"), recorder=tape)
    for _ in range(WARM + 5):
        repeated()
    assert (len(done), tape.warmed, tape.recorded, tape.replayed) == (WARM + 5, WARM, 1, 5)
    plain = Repeated(lambda: done.append(0), device=torch.device("cpu"))
    plain()
    assert len(done) == WARM + 6


@pytest.mark.parametrize("turn", [0, 12, 39])
def test_steps_that_are_played_back_come_to_the_same_place(turn: int) -> None:
    tape, given = Tape(), torch.zeros(3, 2, dtype=torch.float64)
    plain = descend([given], energy, steps=40, rates=[0.5], turn=turn)
    played = descend([given], energy, steps=40, rates=[0.5], turn=turn, energies="alike", recorder=tape)
    assert torch.equal(plain.variables[0], played.variables[0])
    assert torch.equal(plain.steps, played.steps)
    assert tape.warmed + tape.replayed == 39
    assert tape.recorded == (2 if turn == 12 else 1)


def test_steps_are_those_of_adam() -> None:
    value = torch.zeros(3, 2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.Adam([value])
    lowest, best = torch.full((3,), torch.inf, dtype=torch.float64), value.detach().clone()
    for step in range(50):
        losses = sum(energy([value], step).values())
        assert isinstance(losses, torch.Tensor)
        better = losses.detach() < lowest
        lowest, best = torch.where(better, losses.detach(), lowest), torch.where(better[:, None], value.detach(), best)
        optimiser.param_groups[0]["lr"] = 0.5 * linear1cycledrop(step, 50)
        optimiser.zero_grad()
        losses.sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    found = descend([torch.zeros(3, 2, dtype=torch.float64)], energy, steps=50, rates=[0.5])
    torch.testing.assert_close(found.variables[0], best, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.losses, lowest, rtol=0, atol=1e-12)


def test_what_was_met_before_the_turn_is_forgotten_where_something_is_met_after_it() -> None:
    course = torch.tensor([[1.0, 5.0, 7.0, 6.0], [1.0, 5.0, torch.nan, torch.nan]])

    def told(values: Sequence[torch.Tensor], step: int) -> dict[str, torch.Tensor]:
        return {"told": course[:, step] + 0 * values[0].sum(dim=1)}

    found = descend([torch.zeros(2, 1)], told, steps=4, rates=[0.1], turn=2)
    assert found.steps[0] == 3
    assert found.losses.tolist() == [6.0, torch.inf]
