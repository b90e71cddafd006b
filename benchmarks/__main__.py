"""Run every benchmark of this folder, one after the other: `python -m benchmarks` or `make benchmark`.

They take hours at full size on two cores; `--quick` runs each at a size that takes minutes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile

FULL = (
    ("speed", "--size", "8192"),
    ("memory", "identity", "1", "8", "32"),
    ("memory", "edsr", "0.1", "1"),
    ("window", "20000", "100000"),
    ("simulation", "--workers", "100", "1000", "--blocks", "10000", "--block-seconds", "30"),
    ("simulation", "--memory", "--workers", "4", "--blocks", "100000", "--block-seconds", "0"),
    ("measuring", "speed", "--gigabytes", "4"),
    ("measuring", "kernels", "--size", "8192"),
    ("measuring", "memory", "1", "16"),
    ("importing", "200", "1000"),
    ("eigen",),
    ("objects", "1", "4", "16"),
    ("plates",),
    ("latent_search", "compare", "--objects", "phantoms", "--factor", "16", "32"),
    ("workers",),
    ("soak", "--minutes", "60"),
    ("overhead",),
    ("floors",),
    ("ratios",),
    ("latent_speed",),
)
REAL = (
    ("restoring",),
    ("volumes", "compare"),
    ("volumes", "paired"),
    ("volume_ablation",),
    ("volume_seams",),
    ("latent_search", "compare", "--objects", "nuclei", "--factor", "16", "32"),
    ("few_steps",),
)
"""Those that need the real images."""
QUICK = (
    ("speed", "--size", "1024"),
    ("memory", "identity", "0.2", "0.5"),
    ("memory", "edsr", "0.01", "0.03"),
    ("window", "1000", "2000"),
    ("simulation", "--workers", "2", "--blocks", "12", "--block-seconds", "0.5"),
    ("measuring", "speed", "--gigabytes", "0.05", "--repeats", "1"),
    ("measuring", "kernels", "--size", "1024", "--repeats", "1"),
    ("measuring", "memory", "0.02", "0.05"),
    ("importing", "5"),
    ("eigen", "--bands", "40", "--edge", "16", "--k", "4"),
    ("objects", "0.02", "--objects", "1000"),
    ("plates", "--wells", "4", "--fields", "2", "--loop", "2"),
    ("workers", "--size", "1024", "--repeats", "1"),
    ("overhead", "--blocks", "1", "--block-seconds", "0.05", "--repeats", "1"),
    ("floors", "--cases", "bands"),
    ("latent_speed", "--steps", "4", "--repeats", "1", "--one", "1", "--many", "8"),
    (
        "device",
        "--network",
        "unet3d",
        "--device",
        "cpu",
        "--size",
        "64",
        "--features",
        "4",
        "--cell",
        "32",
        "--block",
        "1",
        "--seconds",
        "0.5",
        "--precision",
        "fp32",
        "bf16",
    ),
)


def main() -> None:
    """Run them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peer-path", help="folder that `pip install --no-deps --target FOLDER monai` filled")
    arguments = parser.parse_args()
    chosen = QUICK if arguments.quick else FULL
    if "SCALESR_DATA" in os.environ and not arguments.quick:
        chosen = (*chosen, *REAL)
    elif not arguments.quick:
        names = ", ".join(dict.fromkeys(name for name, *_ in REAL))
        print(f"Of {names} what needs the real images is left out: SCALESR_DATA names their folder", flush=True)
    for name, *rest in chosen:
        peer = ["--peer-path", arguments.peer_path] if name == "speed" and arguments.peer_path else []
        print(f"\n{name} {' '.join(rest)}", flush=True)
        # Figures of the quick sizes are not for keeping.
        kept = {"BENCHMARK_RESULTS": tempfile.gettempdir()} if arguments.quick else {}
        command = [sys.executable, "-m", f"benchmarks.{name}", *rest, *peer]
        subprocess.run(command, check=True, env=os.environ | kept)


if __name__ == "__main__":
    main()
