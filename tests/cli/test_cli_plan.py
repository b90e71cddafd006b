"""`scalesr plan`: what a run would do, for images that exist and for those that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from commands import call, only_json, speckle, write_image

from scalesr.engine import Options, empty_subject, prepare

if TYPE_CHECKING:
    from pathlib import Path

CUBIC = ("--model", "cubic", "--scale", "4")
PETABYTE = ("--shape", "32768,131072,131072", "--axes", "zyx", "--dtype", "uint16")


def test_a_petabyte_is_planned() -> None:
    result = call("plan", *PETABYTE, *CUBIC)
    assert result.exit_code == 0
    for words in ("1.13 PB", "each computed once", "blocks in flight", "requests"):
        assert words in result.stdout


def test_the_document_is_the_plan_of_the_engine() -> None:
    document = only_json(call("plan", *PETABYTE, *CUBIC, "--blend", "8", "--json"))
    subject = empty_subject((32768, 131072, 131072), "zyx", "uint16")
    prepared = prepare(subject, Options(model="cubic", scale="4", blend=8))
    assert document["plan"] == prepared.plan.to_json()
    assert document["tiles_computed_over_needed"] == 1
    assert document["memory"]["host_bytes"] == prepared.demand.host_bytes
    assert document["bytes_read"] == prepared.plan.bytes_read > 32768 * 131072 * 131072 * 2
    assert document["fits"] is True


def test_an_image_is_planned_without_being_touched(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(2, 50, 60), "cyx")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    document = only_json(call("plan", tmp_path / "in.zarr", *CUBIC, "--json"))
    assert document["output"]["shape"] == [2, 200, 240]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_limit_that_was_asked_for_is_an_error_a_plan_is_shown_all_the_same() -> None:
    result = call("plan", "--shape", "4096,4096", *CUBIC, "--memory", "50MB")
    assert result.exit_code == 6
    assert "What memory it needs" in result.stdout
    assert "50 MB are allowed" in result.stderr
    as_json = call("plan", "--shape", "4096,4096", *CUBIC, "--memory", "50MB", "--json")
    assert as_json.exit_code == 6
    document = only_json(as_json)
    assert document["fits"] is False
    assert "--memory" in document["remedy"]
    assert call("plan", "--shape", "4096,4096", *CUBIC, "--memory", "1TB").exit_code == 0


def test_axes_default_to_the_last_of_tczyx() -> None:
    axes = only_json(call("plan", "--shape", "4,64,64", *CUBIC, "--json"))["plan"]["lattice"]
    assert [axis["name"] for axis in axes] == ["z", "y", "x"]
    axes = only_json(call("plan", "--shape", "5,3,4,64,64", *CUBIC, "--json"))["plan"]["lattice"]
    assert [axis["name"] for axis in axes] == ["t", "c", "z", "y", "x"]


RATES = """
currency: EUR
read: 0.4
store_bandwidth: 2GB
kinds:
  large: {speed: 40, hour: 3.6, start: 100, bandwidth: 1GB}
"""


def test_clusters_are_projected_from_blocks_of_the_image(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(300, 400), "yx")
    (tmp_path / "rates.yaml").write_text(RATES)
    told = ("plan", tmp_path / "in.zarr", *CUBIC, "--cell", "64", "--rates", tmp_path / "rates.yaml")
    before = sorted(tmp_path.rglob("*"))
    result = call(*told, "--cluster", "1", "--cluster", "10xlarge", "--rates", "write=5")
    assert result.exit_code == 0, result.stderr
    for words in ("What 1 worker would take", "What 10 workers of kind large would take", "40 times as fast", "EUR"):
        assert words in result.stdout
    assert sorted(tmp_path.rglob("*")) == before
    document = only_json(call(*told, "--cluster", "10xlarge", "--json"))
    (cluster,) = document["projection"]["clusters"]
    assert cluster["workers"] == 10
    assert cluster["seconds"]["likely"] > 100
    assert cluster["money"]["workers"]["likely"] == pytest.approx(cluster["seconds"]["likely"] / 100)
    assert cluster["money"]["requests that read"]["likely"] == pytest.approx(document["requests_read"] / 1000 * 0.4)
    assert cluster["machine"]["bandwidth"] == 1e9


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--rates", "hour=1"), "--cluster 100"),
        (("--cluster", "many"), "no number of workers"),
        (("--cluster", "0"), "no number of workers"),
        (("--cluster", "3", "--rates", "hour"), "says nothing"),
        (("--cluster", "3", "--rates", "sped=2"), "Did you mean speed?"),
        (("--cluster", "3", "--rates", "bandwidth=wide"), "8GB"),
        (("--cluster", "3", "--rates", "tflops=10"), "does not count its operations"),
        (("--cluster", "3", "--rates", "absent.yaml"), "cannot be read"),
        (("--tflops", "10"), "does not count its operations"),
    ],
)
def test_what_cannot_be_projected_is_refused_before_anything_is_timed(more: tuple[str, ...], words: str) -> None:
    result = call("plan", "--shape", "4096,4096", *CUBIC, *more)
    assert result.exit_code in (2, 6)
    assert words in result.stderr
    assert "Traceback" not in result.stderr
