"""A network that fails, or dawdles, at chosen tiles, as often as a file beside it says; here and in other processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

CODE = """
import os, time
from fractions import Fraction
from pathlib import Path
from scalesr.models import ModelSpec

HERE = Path(__file__).parent

class Fragile:
    spec = ModelSpec(name="fragile", axes="yx", scale=(Fraction(1), Fraction(1)), channels=1, out_channels=1,
                     receptive=(0, 0), activation_bytes=8.0, values="any")

    def to(self, *, device, precision):
        return self

    def __call__(self, tiles, origins):
        time.sleep(float(os.environ.get("TILE_SECONDS", "0")))
        for place in {tuple(origin) for origin in origins.tolist()}:
            mark = HERE / "fail-{}-{}".format(*place)
            if not mark.exists():
                continue
            how, left = mark.read_text().split()
            if int(left):
                mark.write_text(f"{how} {int(left) - 1}")
                if how == "die":
                    os._exit(9)
                if how == "sleep":
                    time.sleep(3)
                    continue
                raise ValueError(f"no luck with the tile at {place}")
        return tiles.clone()

def fragile():
    return Fragile()
"""
CELL, HALO, BLEND = 16, 4, 2
TILES: dict[str, Any] = {"cell": CELL, "halo": HALO, "block": 1, "normalise": (0.0, 4000.0)}


class Fragile:
    """The network as a module of its own in a folder.

    Parameters
    ----------
    folder
        Where the module and the marks lie.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        name = f"fragile_{abs(hash(folder))}"
        (folder / f"{name}.py").write_text(CODE)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
        self.model = f"{name}:fragile"
        """What a run is told."""

    def fail(self, *cell: int, times: int, blend: int, how: Literal["raise", "die", "sleep"] = "raise") -> None:
        """Let a tile, by the place of its cell, fail so many times, kill its process, or take three seconds."""
        y, x = (CELL * i - blend - HALO for i in cell)
        (self._folder / f"fail-{y}-{x}").write_text(f"{how} {times}")
