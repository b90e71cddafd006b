"""What the tests of training share: one thread, and no pictures unless they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from scalesr.learning import curves

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _no_picture(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture takes a second."""
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr(curves, "find_spec", lambda _: None)


@pytest.fixture
def pictures() -> None:
    """Ask for them."""
