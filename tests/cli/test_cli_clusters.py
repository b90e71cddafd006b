"""Who does the work, as people type it: on this machine, a kind of cluster, or an address with certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from commands import call, speckle, write_image
from hypothesis import given
from hypothesis import strategies as st

from scalesr.engine.executors import KINDS, LOCAL, Certificates, Cluster
from scalesr.jobs import crew as clusters
from scalesr.jobs.crew import parse_crew
from scalesr.jobs.values import OptionError

if TYPE_CHECKING:
    from pathlib import Path


def crew(scheduler: str, **given: Any) -> tuple[str | Cluster, int | None]:
    """Return who does the work where little is said."""
    nothing = dict.fromkeys(("workers", "options", "wait", "authority", "certificate", "key"))
    return parse_crew(scheduler, **nothing | given)


def test_the_command_line_knows_what_the_engine_knows() -> None:
    assert clusters.KINDS == KINDS
    assert clusters.LOCAL == LOCAL


@given(st.integers(1, 999_999), st.integers(0, 1000))
def test_numbers_and_ranges_of_workers_come_back(least: int, more: int) -> None:
    assert crew("threads", workers=str(least)) == ("threads", least)
    assert crew("slurm", workers=str(least))[0] == Cluster(where="slurm", workers=(least, least))
    if least + more < 10**6:
        assert crew("slurm", workers=f"{least}-{least + more}")[0] == Cluster(
            where="slurm", workers=(least, least + more)
        )


@pytest.mark.parametrize("text", ["0", "4-", "64-4", "-3", "many", "1.5", "", "4-64-128"])
def test_what_is_no_number_of_workers(text: str) -> None:
    with pytest.raises(OptionError, match="--workers"):
        crew("slurm", workers=text)


def test_options_of_a_cluster_come_from_the_command_and_from_files(tmp_path: Path) -> None:
    (tmp_path / "slurm.yaml").write_text("cores: 4\nmemory: 16GB\njob_extra_directives:\n  - --gres=gpu:1\n")
    (tmp_path / "more.json").write_text('{"walltime": "02:00:00"}')
    texts = [str(tmp_path / "slurm.yaml"), "cores=8", str(tmp_path / "more.json"), "queue=long", "nanny=false"]
    found, workers = crew("slurm", options=texts, wait=30.0)
    assert workers is None
    assert isinstance(found, Cluster)
    assert found.options == {
        "cores": 8,
        "memory": "16GB",
        "job_extra_directives": ["--gres=gpu:1"],
        "walltime": "02:00:00",
        "queue": "long",
        "nanny": False,
    }
    assert found.wait == 30


def test_certificates_go_along() -> None:
    found, _ = crew("tls://head:8786", authority="ca.pem", certificate="me.pem", key="key.pem")
    shown = Certificates(authority="ca.pem", certificate="me.pem", key="key.pem")
    assert found == Cluster(where="tls://head:8786", certificates=shown)


@pytest.mark.parametrize(
    ("scheduler", "given", "words"),
    [
        ("treads", {}, "'treads' is nobody who works"),
        ("threads", {"workers": "2-4"}, "is a range"),
        ("processes", {"authority": "ca.pem"}, "--tls-ca is for clusters"),
        ("serial", {"options": ["cores=1"]}, "--cluster-options is for clusters"),
        ("tls://head:8786", {"authority": "ca.pem", "key": "key.pem"}, "TLS needs three files"),
        ("tcp://head:8786", {"options": ["cores=1"]}, "runs already"),
        ("slurm", {"options": ["cores"]}, "sets nothing"),
        ("slurm", {"options": ["nowhere.yaml"]}, "cannot be read"),
        ("slurm", {"wait": 0.0}, "no time to wait"),
    ],
)
def test_what_does_not_go_together(scheduler: str, given: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        crew(scheduler, **given)


def test_a_file_must_hold_names_and_values(tmp_path: Path) -> None:
    for number, text in enumerate(("- cores\n", "8", "a: [", "1: 2")):
        path = tmp_path / f"{number}.yaml"
        path.write_text(text)
        with pytest.raises(OptionError, match=r"holds no options|cannot be read"):
            crew("slurm", options=[str(path)])


def test_a_cluster_that_cannot_be_started_leaves_no_output(tmp_path: Path) -> None:
    image = write_image(tmp_path / "in.zarr", speckle(40, 50))
    told = ["--model", "nearest", "--scale", "2", "--scheduler", "kubernetes", "--tls-ca", "a", "--tls-cert", "b"]
    result = call("run", image.url, tmp_path / "out.zarr", *told, "--tls-key", "c")
    assert result.exit_code == 6
    # Without dask-kubernetes it is that which is said.
    assert "KubeCluster knows no TLS" in result.stderr or "pip install 'scalesr[kubernetes]'" in result.stderr
    assert not (tmp_path / "out.zarr").exists()


def test_the_plan_for_a_cluster_is_that_of_one_worker() -> None:
    told = ["--shape", "4096,4096", "--model", "nearest", "--scale", "2"]
    text = call("plan", *told, "--scheduler", "slurm", "--workers", "4-64").stdout
    assert "What memory each worker needs for one inference at a time" in text
    assert "What memory it needs" in call("plan", *told).stdout
