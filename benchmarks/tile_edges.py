"""How large tiles should be: useful pixels a second of a network, by the edge of its tiles.

usage: python -m benchmarks.tile_edges [--case edsr-2d|rrdb-2d|unet-3d] [--repeats 2]

The network is that of the race, as a run has it, one inference on each core side by side. A pixel is useful where it is
no context. The defaults in `scalesr.tiling.choose` come from here.
"""

from __future__ import annotations

import argparse
import tempfile
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import torch

from benchmarks.common import save, usable_cores
from benchmarks.peers import networks
from benchmarks.race.cases import CASES
from scalesr.models import ModelSpec
from scalesr.models.network import Network

if TYPE_CHECKING:
    from benchmarks.race.cases import Case
    from scalesr.models import Precision

EDGES = {2: (168, 256, 328, 424, 552, 680), 3: (96, 128, 160, 192)}
"""Edges that are tried, by the number of axes."""
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


def main() -> None:
    """Try all edges in both number formats."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=("edsr-2d", "rrdb-2d", "unet-3d"), default="edsr-2d")
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    case = CASES[arguments.case]
    ndim, halo = len(case.axes), case.network.halo
    found: dict[str, list[dict[str, float]]] = {}
    for precision in PRECISIONS:
        model = _model(case, precision)
        for edge in EDGES[ndim]:
            rate = _rate(model, edge, ndim, repeats=arguments.repeats)
            useful = rate * ((edge - 2 * halo) / edge) ** ndim
            found.setdefault(precision, []).append({"tile": edge, "pixels a second": rate, "useful": useful})
            print(f"{case.name} {precision} tile {edge}: {useful / 1e6:.3f} M useful pixels a second", flush=True)
    save(f"tile-edges-{case.name}", {"case": case.name, "halo": halo, "repeats": arguments.repeats, "rates": found})


def _model(case: Case, precision: Precision) -> Network:
    spec = ModelSpec(
        name=case.network.name,
        axes=case.axes,
        scale=(Fraction(case.network.scale),) * len(case.axes),
        channels=1,
        out_channels=1,
        multiple=4,
        receptive=None,
        precisions=PRECISIONS,
        activation_bytes=0.0,
    )
    with tempfile.TemporaryDirectory() as place:
        module = networks.load(str(case.network.write(Path(place))))
    return Network(module, spec, precision=precision)


def _rate(model: Network, edge: int, ndim: int, *, repeats: int) -> float:
    """Return the pixels a second of the fastest round, in which each core runs one tile; the first round warms up."""
    cores = usable_cores()
    tiles, origins = torch.rand((1, 1, *[edge] * ndim)), torch.zeros(1, ndim, dtype=torch.int64)

    def one(_: int) -> None:
        torch.set_num_threads(1)
        model(tiles, origins)

    seconds = []
    with ThreadPoolExecutor(cores) as pool:
        for _ in range(repeats + 1):
            began = perf_counter()
            list(pool.map(one, range(cores)))
            seconds.append(perf_counter() - began)
    return float(cores * edge**ndim / min(seconds[1:]))


if __name__ == "__main__":
    main()
