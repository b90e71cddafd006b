"""Who takes part: how each tool is started, and what it cannot do, with the reason."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from benchmarks.race.cases import Case

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".peers"
Ability = Literal["larger than memory", "blends", "resumes", "halo is exact", "one result whatever the chunks"]
ABILITIES: tuple[Ability, ...] = (
    "larger than memory",
    "blends",
    "resumes",
    "halo is exact",
    "one result whatever the chunks",
)


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One way to run a network over an image."""

    name: str
    script: str
    """File of benchmarks/peers that runs in the tool's environment."""
    environment: str
    """Folder of .peers; empty for scalesr's own environment."""
    variant: str = ""
    """What the script is told."""
    extra: dict[str, Any] = field(default_factory=dict)
    """What only this tool is told."""
    cannot: dict[Ability, str] = field(default_factory=dict)
    """What it cannot do, and why; it can do the others."""
    border: Literal["cell", "halo"] = "cell"
    """Where its tiles meet: at multiples of the cell, or a halo further on."""
    same_size: bool = False
    """Whether networks must keep the size of the image."""
    local_only: bool = False
    """Whether it reads local folders only."""
    note: str = ""
    """What a reader should know of the way it is run."""

    @property
    def python(self) -> Path:
        """The interpreter that runs it."""
        return PEERS / self.environment / "bin" / "python" if self.environment else Path(sys.executable)

    @property
    def command(self) -> list[str]:
        """How it is started in the folder above this package; the file of the job follows."""
        return [str(self.python), "-m", f"benchmarks.{'peers' if self.environment else 'race'}.{self.script}"]

    def excuse(self, case: Case, *, store: str) -> str | None:
        """Return why it cannot run a case; None where it can."""
        if not self.python.is_file():
            return f"not installed: run benchmarks/peers/environment.sh {self.environment}"
        if self.same_size and case.network.scale != 1:
            return "runs only networks that keep the size of the image"
        if self.local_only and store != "disk":
            return "reads local folders only"
        return None


_IN_MEMORY: dict[Ability, str] = {
    "larger than memory": "image and result are whole in memory",
    "resumes": "a run that stops begins anew",
}
_STARTS_ANEW: dict[Ability, str] = {"resumes": "a run that stops begins anew"}
_CROPS: dict[Ability, str] = {"blends": "crops the halo"}
_CHUNKS: dict[Ability, str] = {
    "one result whatever the chunks": "tiles are the chunks; whether bits stay the same is up to kernels"
}
_MIXES: dict[Ability, str] = {"halo is exact": "the border of a tile takes part in the mean with its neighbour"}

_SAME = "the cells and the halo of the others"
TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            name="scalesr",
            script="ours",
            environment="",
            note="its own cells and halo; a pyramid; the first run of a network on a machine finds out what it needs",
        ),
        Tool(name="scalesr, same tiles", script="ours", environment="", variant="same", note=_SAME),
        Tool(
            name="scalesr, blended",
            script="ours",
            environment="",
            extra={"blend": 8},
            note="over 16 px, with its own cells and halo",
        ),
        Tool(name="scalesr, bf16", script="ours", environment="", extra={"precision": "bf16"}),
        Tool(
            name="torch loop",
            script="torch_loop",
            environment="arrays",
            variant="contiguous",
            cannot=_STARTS_ANEW | _CROPS,
            note="reads and writes tile by tile",
        ),
        Tool(
            name="torch loop, channels last",
            script="torch_loop",
            environment="arrays",
            variant="channels-last",
            cannot=_STARTS_ANEW | _CROPS,
            note="reads and writes tile by tile",
        ),
        Tool(
            name="MONAI, constant",
            script="monai_window",
            environment="arrays",
            variant="constant",
            cannot=_IN_MEMORY | _MIXES,
        ),
        Tool(
            name="MONAI, gaussian",
            script="monai_window",
            environment="arrays",
            variant="gaussian",
            cannot=_IN_MEMORY | _MIXES,
        ),
        Tool(
            name="MONAI, halo without weight",
            script="monai_window",
            environment="arrays",
            variant="core",
            cannot=_IN_MEMORY | _CROPS,
            note="roi_weight_map, on a padded image",
        ),
        Tool(
            name="dask map_overlap, threads",
            script="dask_overlap",
            environment="arrays",
            variant="threads",
            cannot=_STARTS_ANEW | _CROPS | _CHUNKS,
        ),
        Tool(
            name="dask map_overlap, processes",
            script="dask_overlap",
            environment="arrays",
            variant="processes",
            cannot=_STARTS_ANEW | _CROPS | _CHUNKS,
        ),
        Tool(
            name="cubed map_overlap",
            script="cubed_overlap",
            environment="arrays",
            cannot=_CROPS | _CHUNKS,
            note="within allowed_mem; a plan can be resumed, array by array",
        ),
        Tool(
            name="CAREamics",
            script="careamics_tiles",
            environment="careamics",
            cannot=_STARTS_ANEW | _CROPS,
            border="halo",
            same_size=True,
            local_only=True,
            note="another network in the place of its U-Net",
        ),
        Tool(
            name="bioimageio.core",
            script="bioimageio_blocks",
            environment="bioimageio",
            cannot=_IN_MEMORY | _CROPS,
        ),
    )
}


def chosen(names: list[str]) -> list[Tool]:
    """Return tools by name, by what their names begin with where none is called that, or ``all``.

    Raises
    ------
    SystemExit
        There is none of such a name.
    """
    found: list[Tool] = []
    for name in names:
        begun = [tool for tool in TOOLS.values() if name == "all" or tool.name.lower().startswith(name.lower())]
        some = [tool for tool in begun if tool.name.lower() == name.lower()] or begun
        if not some:
            raise SystemExit(f"No tool's name begins with '{name}'. There are: {'; '.join(TOOLS)}.")
        found += [tool for tool in some if tool not in found]
    return found
