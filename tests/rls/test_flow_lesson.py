from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy import stats

from scalesr.errors import PlanError
from scalesr.learning import Length, teach
from scalesr.rls.checkpoints import load
from scalesr.rls.degradation import Degradation
from scalesr.rls.flow_lesson import FlowLesson
from scalesr.rls.norms import Norms, draw_norms, squared_norms
from scalesr.rls.ranges import MANY, measured_range
from scalesr.rls.teaching import FlowTraining

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.learning import Progress
    from scalesr.rls.generator import StyleGAN2
    from scalesr.rls.prior import Prior

SETTINGS = FlowTraining(blocks=2, hidden=24, batch=64, settled=1000, judged=500, rate=1e-3)


def test_the_reference_is_a_normal_density_of_each_entry(generator: StyleGAN2) -> None:
    taught = FlowLesson(SETTINGS, generator)
    w = torch.cat(list(taught._latents(2, 500)))
    wanted = -torch.distributions.Normal(0, 1).log_prob(w).mean()  # type: ignore[no-untyped-call]
    assert taught.reference["loss"] == pytest.approx(float(wanted), rel=1e-5)


def test_training_resumes_to_the_same_bits(tmp_path: Path, generator: StyleGAN2) -> None:
    length = Length(steps=4, validations=2)
    whole = teach(FlowLesson(SETTINGS, generator, factor=4), length, tmp_path / "whole")
    assert whole.scores.keys() == whole.reference.keys() == {"loss", "norm"}

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(Exception, match="Stopped after step 3"):
        teach(FlowLesson(SETTINGS, generator), length, tmp_path / "parts", watch=stop)
    teach(FlowLesson(SETTINGS, generator), length, tmp_path / "parts", mode="resume")
    one, other = (load(each / "weights.safetensors") for each in (tmp_path / "whole", tmp_path / "parts"))
    assert one.prior is not None
    assert other.prior is not None
    for a, b in zip(one.prior.state_dict().values(), other.prior.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(one.generator.start, generator.start)
    assert one.metadata["factor"] == "4"


def test_a_flow_learns_more_than_a_normal_density(tmp_path: Path, generator: StyleGAN2) -> None:
    found = teach(
        FlowLesson(replace(SETTINGS, rate=3e-3), generator), Length(steps=300, validations=2), tmp_path / "flow"
    )
    assert found.scores["loss"] < found.reference["loss"] - 0.02
    prior = load(found.weights).prior
    assert prior is not None
    norms = squared_norms(generator, prior, count=2000)
    assert norms["rls"].distance < norms["w"].distance


def test_norms_are_compared_with_chi_squared(tmp_path: Path, generator: StyleGAN2, prior: Prior) -> None:
    norms = squared_norms(generator, prior, count=3000)
    assert list(norms) == ["z", "w", "pulse", "rls"]
    assert norms["z"].mean == pytest.approx(32, rel=0.05)
    assert norms["z"].variance == pytest.approx(64, rel=0.2)
    assert norms["z"].distance < 0.04
    # Standardised numbers have a mean square of one each, whatever their distribution.
    assert norms["pulse"].mean == pytest.approx(32, rel=0.1)
    exact = Norms(values=stats.chi2(8).ppf((np.arange(1000) + 0.5) / 1000), latent=8)
    assert exact.distance < 1e-3
    path = draw_norms(norms, tmp_path / "norms.png")
    assert path is not None
    assert path.stat().st_size > 1000


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(PlanError, match="batch"):
        FlowTraining(batch=1)
    assert math.isfinite(FlowTraining().to_json()["rate"])


def test_the_file_knows_what_is_measured_of_its_images(tmp_path: Path, generator: StyleGAN2) -> None:
    FlowLesson(SETTINGS, generator, factor=4, figure=tmp_path / "norms.png").keep(tmp_path / "net", {}, step=0)
    assert (tmp_path / "norms.png").stat().st_size > 1000
    pair = load(tmp_path / "net")
    exact = measured_range(generator, Degradation(factor=4), images=MANY)
    assert pair.percentiles(Degradation(factor=4)) == exact
    # By another operator they are found anew.
    other = Degradation(factor=4, psf=2.0)
    assert pair.percentiles(other) == measured_range(generator, other) != exact
