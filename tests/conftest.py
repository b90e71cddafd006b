"""What all tests share."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import dask
import pytest
from browsing import browsing
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

# How long an example takes says nothing on a machine that is shared.
settings.register_profile("scalesr", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A commit passes or fails the same way each time that it is checked; new examples are looked for everywhere else.
settings.register_profile("ci", settings.get_profile("scalesr"), derandomize=True)
# Who is started in the background ignores Ctrl-C, and so would the commands that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# A report takes a second, which thousands of small runs would add up; its own tests ask for it.
os.environ.setdefault("SCALESR_REPORT", "none")
settings.load_profile("ci" if os.environ.get("CI") else "scalesr")


@pytest.fixture(scope="session")
def data() -> Path:
    """Real images, which are not part of the repository; their folder is named by SCALESR_DATA."""
    folder = Path(os.environ.get("SCALESR_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "SOURCES.md").is_file():
        pytest.skip(f"needs the real images, and {folder} has none: name their folder in SCALESR_DATA")
    return folder


@pytest.fixture
def page() -> Iterator[Page]:
    """Open an empty page of a real browser."""
    with browsing() as opened:
        yield opened


@pytest.fixture
def quick_refusal() -> Iterator[None]:
    """Wait five seconds for a scheduler that does not answer, and not Dask's thirty."""
    with dask.config.set({"distributed.comm.timeouts.connect": "5s"}):
        yield
