"""A store behind a proxy, the undisturbed run, and the table of what became of each fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pytest
from engine.dask_processes import Processes, dask_processes
from faults.ground import Ground, lacking, prepared

from scalesr.engine import lookout

if TYPE_CHECKING:
    from collections.abc import Iterator

_OUTCOMES: list[str] = []


class Tell(Protocol):
    """Notes one line for the table."""

    def __call__(self, case: str, outcome: str) -> None: ...


@pytest.fixture
def tell() -> Tell:
    """Return what notes a line for the table at the end."""
    return lambda case, outcome: _OUTCOMES.append(f"{case:<58} {outcome}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table."""
    if _OUTCOMES:
        terminalreporter.section("faults")
        terminalreporter.write_line("\n".join(_OUTCOMES))


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """Start a store and a proxy before it, put an input there, and run it undisturbed on a disk."""
    if lacking():
        pytest.skip(f"needs {lacking()}")
    with prepared(tmp_path_factory.mktemp("faults")) as found, pytest.MonkeyPatch.context() as patch:
        patch.setattr(lookout, "TICK", 1.0)
        yield found


@pytest.fixture(scope="module")
def cluster(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    """Start a scheduler and two workers, who know the store of the ground from their environment."""
    with dask_processes((), (), logs=tmp_path_factory.mktemp("logs")) as running:
        assert ground.source
        yield running
