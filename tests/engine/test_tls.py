"""A cluster that speaks TLS: whoever has a certificate of its authority works there, and nobody else."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import pytest
from engine.conftest import voxels
from engine.dask_processes import certificates, dask_processes

import scalesr
from scalesr.engine.executors import Certificates, Cluster, DaskExecutor
from scalesr.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.conftest import MakeImage
    from numpy.typing import NDArray

TILES: dict[str, Any] = {"model": "linear", "scale": 2, "cell": 32, "block": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the certificates of a cluster, as deploy/ ships them."""
    found: Path = tmp_path_factory.mktemp("tls") / "own"
    certificates(found)
    return found


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """Start a scheduler and a worker that speak TLS and nothing else."""
    with dask_processes((), secure=folder) as cluster:
        yield cluster.address


def test_with_a_certificate_the_same_voxels_come_out(
    make_image: MakeImage, speckle: NDArray[np.uint16], tmp_path: Path, address: str, folder: Path
) -> None:
    image = make_image(speckle[:64, :70])
    here = scalesr.run(image, tmp_path / "here.zarr", scheduler="serial", **TILES)
    cluster = Cluster(where=address, workers=(1, 1), certificates=certificates(folder))
    there = scalesr.run(image, tmp_path / "there.zarr", scheduler=cluster, **TILES)
    np.testing.assert_array_equal(voxels(there.image), voxels(here.image))


def test_dasks_own_configuration_names_certificates_as_well(address: str, folder: Path) -> None:
    shown = certificates(folder)
    settings = {"ca-file": shown.authority, "client.cert": shown.certificate, "client.key": shown.key}
    with dask.config.set({f"distributed.comm.tls.{name}": value for name, value in settings.items()}):
        executor = DaskExecutor.connect(Cluster(where=address), device="cpu")
    assert executor.description == f"1 worker at {address}"
    executor.close(how="finished")


@pytest.mark.usefixtures("quick_refusal")
def test_without_a_certificate_nobody_gets_in(address: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"lets in nobody without a certificate.*Give --tls-ca"):
        DaskExecutor.connect(Cluster(where=address), device="cpu")
    # Who believes the scheduler, and shows a certificate that somebody else signed.
    foreign = replace(certificates(tmp_path / "foreign"), authority=str(folder / "ca.pem"))
    with pytest.raises(PlanError, match=r"does not let this client in.*the authority of the cluster signed"):
        DaskExecutor.connect(Cluster(where=address, certificates=foreign), device="cpu")
    with pytest.raises(PlanError, match=re.escape("tls://host:8786 where it speaks TLS")):
        DaskExecutor.connect(Cluster(where=address.replace("tls", "tcp")), device="cpu")


@pytest.mark.usefixtures("quick_refusal")
def test_a_scheduler_of_another_authority_is_not_believed(address: str, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="TLS certificate does not match"):
        DaskExecutor.connect(Cluster(where=address, certificates=certificates(tmp_path / "foreign")), device="cpu")


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    shown = {name: str(tmp_path / "ca.pem") for name in ("authority", "certificate", "key")}
    with pytest.raises(PlanError, match="no certificates with their key"):
        Certificates(**shown).security()
    with pytest.raises(PlanError, match=r"no file .*lost\.pem"):
        Certificates(**shown | {"key": str(tmp_path / "lost.pem")}).security()


def test_keys_are_for_their_owner_alone(folder: Path) -> None:
    keys = sorted(folder.glob("*-key.pem"))
    assert [key.name for key in keys] == ["ca-key.pem", "client-key.pem", "scheduler-key.pem", "worker-key.pem"]
    assert all(key.stat().st_mode & 0o077 == 0 for key in keys)
    before = [key.read_bytes() for key in keys]
    certificates(folder)
    assert [key.read_bytes() for key in keys] == before
