from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from scalesr.errors import ModelError, PlanError
from scalesr.msdsr.network import Denoiser, from_span, load_denoiser, save_denoiser, to_span
from scalesr.msdsr.settings import NetworkSettings, TrainingSettings

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.msdsr.settings import Span

TINY = NetworkSettings(widths=(8, 16), attention=(False, False), tile=16)


def test_the_paper_s_network_has_as_many_parameters() -> None:
    with torch.device("meta"):
        network = Denoiser(NetworkSettings.paper())
    assert sum(parameter.numel() for parameter in network.parameters()) == 274_056_163


@pytest.mark.parametrize(("conditioning", "seen"), [("rows", 2), ("mask", 3), ("guide", 5)])
def test_the_network_sees_what_its_conditioning_says(conditioning: str, seen: int) -> None:
    settings = NetworkSettings.from_json({**TINY.to_json(), "channels": 2, "conditioning": conditioning})
    network = Denoiser(settings).eval()
    given = torch.rand(1, 2, 16, 24)
    known, other = torch.zeros(1, 1, 16, 24), torch.rand(1, 2, 16, 24)
    with torch.inference_mode():
        found = network(given, torch.tensor([5]), known, other)
        assert found.shape == given.shape
        assert torch.equal(found, network(given, torch.tensor([5]), known + 1, other)) == (conditioning == "rows")
        assert torch.equal(found, network(given, torch.tensor([5]), known, other + 1)) == (conditioning != "guide")
    assert next(network.unet.parameters()).shape[1] == seen


def test_a_file_holds_the_network_and_its_settings(tmp_path: Path) -> None:
    network = Denoiser(TINY).eval()
    path = tmp_path / "net.safetensors"
    save_denoiser(network, path, title="a network", extra={"step": 7, "calibration.a": 1.5})
    again = load_denoiser(path)
    assert again.settings == TINY
    assert not again.training
    for (name, one), (same, other) in zip(network.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == same
        assert torch.equal(one, other)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no file"):
        load_denoiser(tmp_path / "absent.safetensors")
    with pytest.raises(ModelError, match="no diffusion network"):
        load_denoiser("rrdb-x4")


def test_spans_lead_back() -> None:
    values = torch.linspace(-0.5, 1.5, 9)
    spans: tuple[Span, ...] = ("unit", "signed")
    for span in spans:
        assert torch.allclose(from_span(to_span(values, span), span), values)
    assert to_span(torch.tensor([0.0, 1.0]), "signed").tolist() == [-1.0, 1.0]


@pytest.mark.parametrize(
    "wrong", [{"tile": 20}, {"widths": (8, 12), "attention": (False, False)}, {"attention": (True,)}, {"channels": 0}]
)
def test_sizes_that_do_not_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PlanError):
        NetworkSettings(**wrong)  # type: ignore[arg-type]


def test_settings_go_through_json() -> None:
    assert NetworkSettings.from_json(NetworkSettings.paper().to_json()) == NetworkSettings.paper()
    paper = TrainingSettings.paper(batch=2)
    assert (paper.batch, paper.loss, paper.weighting, paper.network.conditioning) == (2, "l1", "all", "rows")
    with pytest.raises(PlanError, match="batch"):
        TrainingSettings(batch=0)
