"""What decides a sample: values that exclude each other are refused, and the paper's are the paper's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from scalesr.errors import PlanError
from scalesr.msdsr.sampling import Sampling


def test_the_paper_is_the_paper() -> None:
    paper = Sampling.paper()
    assert (paper.steps, paper.sampler, paper.eta, paper.start) == (200, "ddim", 1.0, 1.0)
    assert (paper.fuse, paper.noise, paper.correlation, paper.psf) == ("end", "independent", 1, "point")
    assert not paper.verbatim
    assert not paper.bounded
    assert Sampling.from_options({"paper_exact": True, "seed": 3, "samples": 2}) == Sampling.paper(seed=3, samples=2)
    assert Sampling.from_options({"paper_exact": True, "steps": 200}) == paper
    assert Sampling.from_options({"paper_exact": False}) == Sampling()


def test_options_are_fields_by_name() -> None:
    assert Sampling.from_options({"steps": 10, "start": 0.5}) == Sampling(steps=10, start=0.5)
    assert Sampling.from_options(Sampling.paper().to_json()) == Sampling.paper()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": 1001}, "steps is 1001"),
        ({"steps": 10.0}, "steps is 10.0"),
        ({"steps": "many"}, "steps is 'many'"),
        ({"sampler": "euler"}, "sampler is 'euler'"),
        ({"eta": 0.5}, "eta is 0.5 with the sampler 'dpm'"),
        ({"eta": 1.5, "sampler": "ddim"}, "eta is 1.5"),
        ({"eta": "much", "sampler": "ddim"}, "wrong type"),
        ({"start": 0}, "share of 0 "),
        ({"start": 1.1}, "share of 1.1 "),
        ({"start": 0.1, "steps": 200}, "200 steps over a share of 0.1"),
        ({"fuse": "never"}, "fuse is 'never'"),
        ({"noise": "independent"}, "fused at all steps"),
        ({"correlation": 4}, "fused at all steps"),
        ({"correlation": 0, "fuse": "end"}, "correlation is 0"),
        ({"psf": "gaussian"}, "psf is 'gaussian'"),
        ({"psf": "box:-1"}, "psf is 'box:-1'"),
        ({"psf": "airy:1"}, "psf is 'airy:1'"),
        ({"blur": True}, "blur is True"),
        ({"samples": 257}, "samples is 257"),
        ({"samples": True}, "samples is True"),
        ({"seed": -1}, "seed is -1"),
        ({"group": 0}, "group is 0"),
        ({"returned": "nothing"}, "returned is 'nothing'"),
        ({"bounds": "all"}, "bounds is 'all'"),
        ({"quality": 1}, "no option 'quality'"),
        ({"paper_exact": 1}, "paper_exact is 1"),
        ({"paper_exact": True, "steps": 20}, "steps is 20, which is not the paper's"),
        ({"paper_exact": True, "fuse": "steps"}, "fuse is 'steps', which is not the paper's"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(PlanError) as caught:
        Sampling.from_options(options)
    assert problem in caught.value.problem
    assert caught.value.remedy.endswith(".")


def test_measured_planes_are_kept_where_they_are_points() -> None:
    assert Sampling().verbatim
    for changes in ({"psf": "box:1"}, {"blur": "gaussian"}, {"returned": "sampled"}):
        assert not Sampling.from_options(changes).verbatim


def test_bounds_hold_where_planes_are_points() -> None:
    assert Sampling().bounded
    assert Sampling(blur="gaussian").bounded
    for changes in ({"psf": "box:1"}, {"bounds": "none"}):
        assert not Sampling.from_options(changes).bounded


def test_a_key_tells_what_spread_depends_on() -> None:
    assert Sampling().key == "default"
    assert Sampling(seed=5, group=3).key == "default"
    keys = [
        replace(Sampling(), **changes).key
        for changes in ({"steps": 20}, {"samples": 8}, {"start": 0.5}, {"psf": "box:1"}, {"fuse": "end"})
    ]
    assert keys == ["steps=20", "samples=8", "start=0.5", "psf=box:1", "fuse=end"]
