"""One task after the other in this process: for debugging, and as the yardstick of all other executors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from scalesr.engine.inference import STOP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from scalesr.engine.executors.port import Inspection
    from scalesr.images.stores import Traffic


@dataclass(eq=False)
class Outcome:
    """What a task came to."""

    value: Any = None
    error: Exception | None = None


class SerialExecutor:
    """Runs each task when it is submitted."""

    description = "one task after the other in this process"
    slots = 1

    def __init__(self) -> None:
        # A run in threads of this process that was stopped leaves it set.
        STOP.clear()

    def submit(
        self,
        function: Callable[..., Any],
        *args: Any,
        name: str,  # noqa: ARG002 only a scheduler needs names
        needs: Literal["core", "device"] = "core",  # noqa: ARG002 one task at a time occupies everything
        after: Sequence[Outcome] = (),
    ) -> Outcome:
        """Run the task now."""
        given = [*args, *after]
        for argument in given:
            if isinstance(argument, Outcome) and argument.error is not None:
                return Outcome(error=argument.error)
        try:
            return Outcome(value=function(*(a.value if isinstance(a, Outcome) else a for a in given)))
        except Exception as error:  # noqa: BLE001 the caller decides, as with any executor
            return Outcome(error=error)

    def wait(self, handles: Iterable[Outcome], *, seconds: float | None = None) -> list[Outcome]:  # noqa: ARG002
        """Return all tasks: they have ended."""
        return list(handles)

    def result(self, handle: Outcome) -> Any:
        """Return or raise what came of a task."""
        if handle.error is not None:
            raise handle.error
        return handle.value

    def missing(self) -> str | None:
        """Return `None`: this process is there."""
        return None

    def traffic(self) -> Mapping[str, Traffic]:
        """Return nothing: there is no other process."""
        return {}

    def inspect(self, inspection: Inspection) -> None:
        """Look at nobody: there is no other machine."""

    def close(self, *, how: Literal["finished", "stopped"]) -> None:
        """Nothing to let go of."""
