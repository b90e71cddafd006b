"""Work that does not keep a window waiting."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def aside(work: Callable[[], T], then: Callable[[T], None]) -> None:
    """Do some work in a thread of napari, and something with its result in that of the window; at once without napari.

    napari shows what goes wrong in its thread as a notification.

    Parameters
    ----------
    work
        What takes time; it must not touch the window.
    then
        What becomes of the result.
    """
    if find_spec("napari") is None:
        then(work())
        return
    threading = import_module("napari.qt.threading")
    threading.create_worker(work, _connect={"returned": then})
