"""`scalesr verify` and `scalesr repair` on a cluster that speaks TLS: with certificates there, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from commands import call, only_json, speckle, write_image
from engine.dask_processes import certificates, dask_processes

if TYPE_CHECKING:
    from pathlib import Path

CUBIC = ("--model", "cubic", "--scale", "2", "--cell", "32", "--block", "1", "--scheduler", "serial")


@pytest.mark.slow
def test_an_output_is_verified_and_mended_on_a_cluster_that_speaks_tls(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(96, 96))
    out = tmp_path / "out.zarr"
    assert call("run", tmp_path / "in.zarr", out, *CUBIC).exit_code == 0
    before = {path: path.read_bytes() for path in (out / "0").rglob("*") if path.is_file()}
    shown = certificates(tmp_path / "own")
    files = ("--tls-ca", shown.authority, "--tls-cert", shown.certificate, "--tls-key", shown.key)
    with dask_processes((), secure=tmp_path / "own") as cluster:
        there = ("--scheduler", cluster.address, "--workers", "1")
        (out / "0" / "c" / "1" / "1").unlink()
        found = call("verify", out, *there, *files, "--json")
        assert (found.exit_code, only_json(found)["counts"]) == (13, {"missing": 1}), found.output
        for command in ("verify", "repair"):
            refused = call(command, out, *there)
            assert refused.exit_code == 6
            assert "Give --tls-ca" in refused.stderr
        mended = call("repair", out, *there, *files)
        assert mended.exit_code == 0, mended.output
        assert "1 block computed" in mended.stdout
        assert call("verify", out, *there, *files).exit_code == 0
    assert {path: path.read_bytes() for path in (out / "0").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("command", ["verify", "repair"])
def test_certificates_without_a_cluster_are_refused(tmp_path: Path, command: str) -> None:
    result = call(command, tmp_path, "--tls-ca", "ca.pem")
    assert result.exit_code == 2
    assert "--tls-ca is for clusters; --scheduler is threads" in result.stderr
