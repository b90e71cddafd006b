"""What all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says nothing on a machine that is shared.
settings.register_profile("scalesr", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# A commit passes or fails the same way each time that it is checked; new examples are looked for everywhere else.
settings.register_profile("ci", settings.get_profile("scalesr"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "scalesr")


@pytest.fixture(scope="session")
def data() -> Path:
    """Real images, which are not part of the repository; their folder is named by SCALESR_DATA."""
    folder = Path(os.environ.get("SCALESR_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / "SOURCES.md").is_file():
        pytest.skip(f"needs the real images, and {folder} has none: name their folder in SCALESR_DATA")
    return folder
