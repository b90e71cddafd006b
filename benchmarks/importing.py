"""Importing processed imzML: peak memory of the whole process, and speed beside a plain loop over all spectra.

usage: python -m benchmarks.importing 50 200              sizes in MB of spectra
       python -m benchmarks.importing 200 --points 4000 --bands 100
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from pyimzml.ImzMLParser import ImzMLParser

from benchmarks.common import save
from scalesr.images import import_image

BYTES = 12  # m/z in 64 bits, intensity in 32

HEAD = """<?xml version="1.0"?><mzML xmlns="http://psi.hupo.org/ms/mzml"><fileDescription><fileContent>
<cvParam accession="IMS:1000031" name="processed"/><cvParam accession="MS:1000127" name="centroid spectrum"/>
<cvParam accession="IMS:1000080" name="universally unique identifier" value="{uuid}"/>
</fileContent></fileDescription><referenceableParamGroupList count="2">
<referenceableParamGroup id="mzArray"><cvParam accession="MS:1000514" name="m/z array"/>
<cvParam accession="MS:1000523" name="64-bit float"/></referenceableParamGroup>
<referenceableParamGroup id="intensityArray"><cvParam accession="MS:1000515" name="intensity array"/>
<cvParam accession="MS:1000521" name="32-bit float"/></referenceableParamGroup></referenceableParamGroupList>
<scanSettingsList><scanSettings id="s"><cvParam accession="IMS:1000046" name="pixel size (x)" value="50"
unitAccession="UO:0000017"/></scanSettings></scanSettingsList><instrumentConfigurationList/><run><spectrumList>
"""
SPECTRUM = """<spectrum><scanList><scan><cvParam accession="IMS:1000050" name="position x" value="{x}"/>
<cvParam accession="IMS:1000051" name="position y" value="{y}"/></scan></scanList><binaryDataArrayList>
<binaryDataArray><referenceableParamGroupRef ref="mzArray"/>
<cvParam accession="IMS:1000103" name="external array length" value="{points}"/>
<cvParam accession="IMS:1000102" name="external offset" value="{mz}"/></binaryDataArray>
<binaryDataArray><referenceableParamGroupRef ref="intensityArray"/>
<cvParam accession="IMS:1000103" name="external array length" value="{points}"/>
<cvParam accession="IMS:1000102" name="external offset" value="{intensity}"/></binaryDataArray>
</binaryDataArrayList></spectrum>
"""


def make_spectra(path: Path, *, megabytes: float, points: int) -> int:
    """Write a square of spectra whose m/z jitter by a few ppm around the same places; return their number."""
    rng = np.random.default_rng(0)
    centres = np.sort(rng.uniform(200, 2000, points))
    edge = ceil(sqrt(megabytes * 1e6 / (points * BYTES)))
    identity = uuid.UUID(int=1)
    with path.open("w") as xml, path.with_suffix(".ibd").open("wb") as ibd:
        xml.write(HEAD.format(uuid=identity))
        at = ibd.write(identity.bytes)
        for y in range(1, edge + 1):
            for x in range(1, edge + 1):
                mz = np.sort(centres * (1 + rng.normal(0, 2e-6, points))).astype("<f8").tobytes()
                intensities = rng.exponential(100, points).astype("<f4").tobytes()
                xml.write(SPECTRUM.format(x=x, y=y, points=points, mz=at, intensity=at + len(mz)))
                at += ibd.write(mz) + ibd.write(intensities)
        xml.write("</spectrumList></run></mzML>")
    return edge * edge


def read_plainly(path: str) -> None:
    """Parse the file and read every spectrum, as a script of three lines does."""
    parser = ImzMLParser(path)
    with parser:
        for number in range(len(parser.coordinates)):
            parser.getspectrum(number)


def measure(task: str, path: str, target: str, *, bands: int) -> dict[str, float]:
    """Run it here; return seconds, and the peak resident memory of this process.

    A file of four spectra goes first, so that what Python takes to import packages is not measured.
    """
    first = Path(target).with_name("first.imzML")
    make_spectra(first, megabytes=4 * 10 * BYTES / 1e6, points=10)
    read_plainly(str(first))
    import_image(first, target)
    shutil.rmtree(target)
    began = time.perf_counter()
    if task == "loop":
        read_plainly(path)
    elif task == "list":
        import_image(path, target, peaks=np.linspace(210, 1990, bands).tolist())
    else:
        import_image(path, target)
    seconds = time.perf_counter() - began
    status = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0] if Path("/proc").is_dir() else "0"
    peak = int(status) * 1024 or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": seconds, "peak": peak}


def main() -> None:
    """Run each size and each task in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("megabytes", type=float, nargs="*")
    parser.add_argument("--points", type=int, default=1000, help="points of a spectrum")
    parser.add_argument("--bands", type=int, default=100, help="m/z of the list")
    parser.add_argument("--here", nargs=3, metavar=("TASK", "SOURCE", "TARGET"))
    arguments = parser.parse_args()
    if arguments.here:
        print("RESULT", json.dumps(measure(*arguments.here, bands=arguments.bands)))
        return
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        folder = Path(place)
        for size in arguments.megabytes:
            spectra = make_spectra(folder / "in.imzML", megabytes=size, points=arguments.points)
            run: dict[str, Any] = {"megabytes": spectra * arguments.points * BYTES / 1e6, "spectra": spectra}
            for task in ("loop", "list", "mean spectrum"):
                command = [sys.executable, "-m", "benchmarks.importing", "--bands", str(arguments.bands)]
                command += ["--here", task, str(folder / "in.imzML"), str(folder / "out.zarr")]
                text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                run[task] = json.loads(text.split("RESULT")[1])
                shutil.rmtree(folder / "out.zarr", ignore_errors=True)
            run["speed of the list over the loop"] = run["loop"]["seconds"] / run["list"]["seconds"]
            runs.append(run)
            print(run, flush=True)
    save("importing", {"points": arguments.points, "bands": arguments.bands, "runs": runs})


if __name__ == "__main__":
    main()
