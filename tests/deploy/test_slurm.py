"""SLURM: its options, the job script with a stand-in for srun, and both on a real node where SLURM is installed."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from commands import SLOW_MODEL, call, program, speckle, write_image
from deploy.slurm_node import lacking, slurm
from engine.recorded_clusters import SIGNATURES, install

from scalesr.engine.executors import Cluster, DaskExecutor
from scalesr.engine.executors.kinds import start_cluster
from scalesr.images import Files, open_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "slurm"
SCRIPTS = sorted([*ROOT.glob("deploy/**/*.sh"), *ROOT.glob("deploy/**/*.sbatch")])
TOLD = ["--model", "linear", "--scale", "2", "--cell", "32", "--block", "1", "--quiet"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Start SLURM, where it is installed."""
    if lacking():
        pytest.skip(f"needs {', '.join(lacking())}: apt install slurmctld slurmd slurm-client munge")
    with slurm(tmp_path_factory.mktemp("slurm")) as environment:
        yield environment


@pytest.mark.parametrize("script", SCRIPTS, ids=[path.name for path in SCRIPTS])
def test_scripts_are_bash(script: Path) -> None:
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.access(script, os.X_OK)


@pytest.mark.parametrize("name", ["options.yaml", "gpu-options.yaml"])
def test_slurms_class_knows_all_options(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = yaml.safe_load((FOLDER / name).read_text())
    assert options.keys() <= SIGNATURES["dask_jobqueue.SLURMCluster"]
    calls = install(monkeypatch, "dask_jobqueue.SLURMCluster")
    start_cluster(Cluster(where="slurm", options=options), device="cuda").close()
    assert dict(calls)["start"] | options == dict(calls)["start"]


def same_as_here(source: str, target: Path, tmp_path: Path, *, told: Sequence[str] = TOLD) -> None:
    """Compare an output with that of one process."""
    assert call("run", source, tmp_path / "here.zarr", *told, "--scheduler", "serial").exit_code == 0
    there, here = (np.asarray(open_image(place).array(0)[...]) for place in (target, tmp_path / "here.zarr"))
    np.testing.assert_array_equal(there, here)


@pytest.mark.slow
def test_the_job_script_with_a_stand_in_for_srun(tmp_path: Path) -> None:
    """Everything but SLURM is real: certificates, scheduler, a worker and the run over TLS, and nothing is left."""
    image = write_image(tmp_path / "in.zarr", speckle(64, 70))
    programs = tmp_path / "bin"
    programs.mkdir()
    python = sys.executable
    for name, body in {
        "srun": 'while [[ $1 == --* ]]; do shift; done\nexec "$@"',
        "dask": f'exec {python} -m dask "$@"',
        "scalesr": f'exec {shlex.join(program())} "$@"',
        "python3": f'exec {python} "$@"',
    }.items():
        (programs / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (programs / name).chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "SLURM_SUBMIT_DIR": str(ROOT),
        "SLURM_JOB_ID": "7",
        "SLURM_NTASKS": "1",
        "SLURM_CPUS_PER_TASK": "1",
        "SCALESR_STATE": str(tmp_path),
        "SCALESR_INTERFACE": "lo",
    }
    done = subprocess.run(
        [str(FOLDER / "run.sbatch"), image.url, str(tmp_path / "out.zarr"), *TOLD],
        env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "tls://" in done.stderr
    same_as_here(image.url, tmp_path / "out.zarr", tmp_path)
    assert not (tmp_path / ".scalesr-job-7").exists()


@pytest.mark.parametrize("script", ["run.sbatch", "array.sbatch"])
def test_the_job_scripts_say_how_they_are_called(script: str) -> None:
    done = subprocess.run([str(FOLDER / script), "only-one"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: sbatch")


@pytest.mark.slow
def test_slurm_runs_the_job_script(node: dict[str, str], tmp_path: Path) -> None:
    image = write_image(tmp_path / "in.zarr", speckle(64, 70))
    environment = {
        **node,
        "PATH": f"{Path(sys.executable).parent}:{node['PATH']}",
        "SCALESR_HOME": str(ROOT),
        "SCALESR_STATE": str(tmp_path),
        "SCALESR_INTERFACE": "lo",
    }
    size = ["--ntasks=1", "--cpus-per-task=1", "--mem-per-cpu=2G", "--wait", f"--output={tmp_path / 'job.log'}"]
    done = subprocess.run(
        ["sbatch", *size, str(FOLDER / "run.sbatch"), image.url, str(tmp_path / "out.zarr"), *TOLD],
        env=environment, capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, (tmp_path / "job.log").read_text()
    same_as_here(image.url, tmp_path / "out.zarr", tmp_path)


SLOWLY = ["--model", "slowly:slow", "--cell", "16", "--halo", "4", "--blend", "4", "--block", "1", "--quiet"]


def array_of(node: dict[str, str], tmp_path: Path, *, tasks: str, lease: str) -> tuple[list[str], dict[str, str]]:
    """Return what submits an array that works slowly at an image, and in which environment."""
    source = write_image(tmp_path / "in.zarr", speckle(96, 96)).url
    (tmp_path / "slowly.py").write_text(SLOW_MODEL)
    environment = {
        **node,
        "PATH": f"{Path(sys.executable).parent}:{node['PATH']}",
        "PYTHONPATH": str(tmp_path),
        "TILE_SECONDS": "0.5",
        "SCALESR_LEASE": lease,
    }
    size = [f"--array={tasks}", "--cpus-per-task=1", "--mem-per-cpu=2G", "--wait", f"--output={tmp_path}/%a.log"]
    told = [*SLOWLY, "--scheduler", "serial"]
    return ["sbatch", *size, str(FOLDER / "array.sbatch"), source, str(tmp_path / "out.zarr"), *told], environment


def await_blocks(ledger: Files, count: int, *, holders: int) -> None:
    """Wait until so many blocks are done, and so many processes at work."""
    for _ in range(3000):
        if len(ledger.list("blocks/")) >= count and len(ledger.list("claims/holders/")) == holders:
            return
        time.sleep(0.1)
    raise TimeoutError(f"{count} blocks are not done by {holders}")


@pytest.mark.slow
def test_slurm_runs_an_array_of_which_a_task_is_killed(
    node: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tasks share a run; one is killed -9, the other makes what it held. Submitted again, nothing is left to do."""
    submit, environment = array_of(node, tmp_path, tasks="1-2", lease="4")
    ledger = Files(str(tmp_path / "out.zarr" / "scalesr"))
    waiting = subprocess.Popen(submit, env=environment, stdout=subprocess.DEVNULL)
    await_blocks(ledger, 6, holders=2)
    victim = json.loads(ledger.get(ledger.list("claims/holders/")[0]) or b"")
    os.kill(victim["pid"], signal.SIGKILL)
    # One of both failed, and so does the array as a whole.
    assert waiting.wait(timeout=300) != 0
    logs = [(tmp_path / f"{task}.log").read_text() for task in (1, 2)]
    assert sum("Killed" in log for log in logs) == 1, logs
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("TILE_SECONDS", "0")
    same_as_here(str(tmp_path / "in.zarr"), tmp_path / "out.zarr", tmp_path, told=SLOWLY)
    assert not ledger.list("claims/")
    assert subprocess.run(submit, env=environment, check=False, timeout=200).returncode == 0


@pytest.mark.slow
def test_slurm_tells_a_task_of_an_array_to_leave(node: dict[str, str], tmp_path: Path) -> None:
    """As when it is pre-empted: it ends its block within the grace, and gives back the rest at once."""
    submit, environment = array_of(node, tmp_path, tasks="1", lease="600")
    ledger = Files(str(tmp_path / "out.zarr" / "scalesr"))
    waiting = subprocess.Popen(submit, env=environment, stdout=subprocess.DEVNULL)
    await_blocks(ledger, 3, holders=1)
    found = subprocess.run(["squeue", "-h", "-o", "%A"], env=environment, capture_output=True, text=True, check=True)
    subprocess.run(["scancel", "--batch", "--signal=TERM", found.stdout.split()[0]], env=environment, check=True)
    assert waiting.wait(timeout=120) != 0
    assert "Told to leave" in (tmp_path / "1.log").read_text()
    assert 3 <= len(ledger.list("blocks/")) < 36
    # Nobody waits for ten minutes until the lease of the first is over.
    environment["TILE_SECONDS"] = "0"
    assert subprocess.run(submit, env=environment, check=False, timeout=100).returncode == 0
    assert len(ledger.list("blocks/")) == 36


@pytest.mark.slow
def test_slurm_runs_workers_as_jobs(node: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dask_jobqueue")
    pytest.importorskip("cryptography")
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, node[name])
    options: dict[str, Any] = {"cores": 1, "memory": "1GB", "interface": "lo", "log_directory": str(tmp_path)}
    cluster = Cluster(where="slurm", options=options | {"shared_temp_directory": str(tmp_path)}, wait=120)
    executor = DaskExecutor.connect(cluster, device="cpu")
    try:
        job = executor.result(executor.submit(os.getenv, "SLURM_JOB_ID", name="read-1"))
        assert job.isdigit()
        # Whoever has no certificate of this very cluster stays outside.
        client: Any = executor._client
        assert client.scheduler.address.startswith("tls://")
    finally:
        executor.close(how="finished")
    for _ in range(60):
        left = subprocess.run(["squeue", "-h"], env=node, capture_output=True, text=True, check=True).stdout
        if not left:
            break
        time.sleep(0.5)
    assert not left
