"""One executor for several images at the same time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from scalesr.engine.executors.port import Executor, Handle, Inspection
    from scalesr.images.stores import Traffic


@dataclass(frozen=True)
class SharedExecutor:
    """What one image sees of an executor that runs the tasks of others beside it: its tasks have names of their own."""

    whole: Executor
    """Who runs the tasks."""
    image: str
    """What tells the tasks of this image from those of others."""

    @property
    def description(self) -> str:
        """Who runs the tasks, in words."""
        return self.whole.description

    @property
    def slots(self) -> int:
        """Inferences that run at the same time, of all images together."""
        return self.whole.slots

    def submit(
        self,
        function: Callable[..., Any],
        *args: Any,
        name: str,
        needs: Literal["core", "device"] = "core",
        after: Sequence[Handle] = (),
    ) -> Handle:
        """Submit a task, named after the image too."""
        return self.whole.submit(function, *args, name=f"{name}-{self.image}", needs=needs, after=after)

    def wait(self, handles: Iterable[Handle], *, seconds: float | None = None) -> list[Handle]:
        """Wait for the first of these tasks to end."""
        return self.whole.wait(handles, seconds=seconds)

    def result(self, handle: Handle) -> Any:
        """Return the result of a task that ended."""
        return self.whole.result(handle)

    def missing(self) -> str | None:
        """Return what keeps all tasks waiting, of all images together."""
        return self.whole.missing()

    def traffic(self) -> Mapping[str, Traffic]:
        """Return what each process has exchanged with stores, for all images together."""
        return self.whole.traffic()

    def inspect(self, inspection: Inspection) -> None:
        """Have the workers looked at, for all images together."""
        self.whole.inspect(inspection)

    def close(self, *, how: Literal["finished", "stopped"]) -> None:
        """Nothing: who shares the executor closes it."""
