"""What happens in a run, in words for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from scalesr.engine import (
    BatchReduced,
    BlockGivenUp,
    BlockLost,
    BlockRetried,
    BlockSlow,
    ClusterAway,
    ClusterBack,
    FieldTold,
    RunStarted,
    Trouble,
)

if TYPE_CHECKING:
    from scalesr.engine import Event

Style = Literal["dim", "yellow", "red"]
"""How much it matters: to know, to note, to act on."""


class Tidings:
    """Puts the events that a person shall know into words, each once."""

    def __init__(self) -> None:
        self._away = False

    def of(self, event: Event) -> list[tuple[Style, str]]:
        """Return what there is to say of an event: mostly nothing."""
        match event:
            case RunStarted(plan=plan, demand=demand, executor=executor, done=done):
                device = "the GPU" if demand.device else "the CPU"
                earlier = f"; {done:,} of {plan.blocks:,} blocks were done before" if done else ""
                return [("dim", f"{plan.blocks:,} blocks, {executor}, on {device}{earlier}")]
            case FieldTold(field=field, event=Trouble() as trouble):
                return self._trouble(trouble, of=f"{field}: ")
            case Trouble():
                return self._trouble(event)
            case _:
                return []

    def _trouble(self, trouble: Trouble, *, of: str = "") -> list[tuple[Style, str]]:
        style: Style = "yellow"
        match trouble:
            case BlockRetried(block=block, attempt=attempt, error=error):
                words = f"{of}Block {block} failed ({error}); this is attempt {attempt}."
            case BlockLost(block=block, error=error):
                words = f"{of}Block {block} was lost ({error}) and is computed again."
            case BlockGivenUp(block=block, error=error):
                style, words = "red", f"{of}Block {block} is left out ({error}); the others go on."
            case BlockSlow(block=block, seconds=seconds, usual=usual):
                words = (
                    f"{of}Block {block} has taken {seconds:.0f} s so far; others take {usual:.0f} s. If its worker "
                    "hangs, end that worker: another one gets the block."
                )
            case BatchReduced(batch=batch):
                words = f"{of}The device ran out of memory; batches now have {batch} tiles."
            case ClusterAway(problem=problem, patience=patience) if not self._away:
                # Of a plate, each field that is at work says so.
                self._away = True
                words = f"{problem[:1].upper() + problem[1:]}; waiting for up to {patience:.0f} s."
            case ClusterBack(seconds=seconds) if self._away:
                self._away = False
                words = f"It is back after {seconds:.0f} s; the run goes on."
            case _:
                return []
        return [(style, words)]
