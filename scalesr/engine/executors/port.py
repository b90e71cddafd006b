"""What the engine needs of whoever runs its tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from distributed import WorkerPlugin

    from scalesr.images.stores import Traffic

Handle = Any
"""Stands for a task's result; may be given to other tasks as an argument."""


class Inspection(Protocol):
    """Looks at workers, and refuses them by raising; its plugin is set up on each worker that comes later."""

    def __call__(self, on_each: Callable[..., Mapping[str, Any]], /) -> WorkerPlugin:
        """Look at the workers through `on_each`.

        It calls a function with arguments on all of them at the same time, and with the worker as ``dask_worker``, and
        returns what came back, or what was raised, by their addresses.
        """


class Executor(Protocol):
    """Runs tasks; their results may stay where they were made. Tasks are idempotent and may run more than once."""

    @property
    def description(self) -> str:
        """Who runs the tasks, in words."""

    @property
    def slots(self) -> int:
        """Inferences that run at the same time."""

    def submit(
        self,
        function: Callable[..., Any],
        *args: Any,
        name: str,
        needs: Literal["core", "device"] = "core",
        after: Sequence[Handle] = (),
    ) -> Handle:
        """Start a task once its arguments, and the tasks of `after`, are there.

        Parameters
        ----------
        function
            Called with `args`, whose handles are replaced by results, followed by the results of `after`.
        name
            Unique among the tasks in flight.
        needs
            What it occupies: a core, or the device that the model runs on.
        """

    def wait(self, handles: Iterable[Handle], *, seconds: float | None = None) -> list[Handle]:
        """Wait until at least one task ended, in whatever way, and return those that did.

        None may be among them where `seconds` are given, and over.
        """

    def result(self, handle: Handle) -> Any:
        """Return the result of a task that ended, or raise what it raised; `LostTaskError` where it was lost."""

    def missing(self) -> str | None:
        """Return what keeps all tasks waiting, in words, such as that there are no workers; `None` if nothing does."""

    def traffic(self) -> Mapping[str, Traffic]:
        """Return what each process at work, other than this one, has exchanged with stores since it began."""

    def inspect(self, inspection: Inspection) -> None:
        """Have the workers on other machines looked at: once, before they are given any task.

        Nothing happens where there are none, or where an inspection was passed before.
        """

    def close(self, *, how: Literal["finished", "stopped"]) -> None:
        """Let go of everything; `stopped` does not wait for tasks that run."""
