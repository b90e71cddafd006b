"""Training: it learns, resumes bit by bit, keeps the best, and ends well whatever happens."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
import torch

from scalesr.errors import InputError, InterruptedRunError, LedgerError, ModelError, OutputError, PlanError
from scalesr.hyres import ArraySource, TrainingSettings, load_generator, own_settings, train, validation
from scalesr.hyres.start import start_as_linear
from scalesr.learning import CHECKPOINT, WEIGHTS, curves
from scalesr.learning.counters import read_checkpoint
from scalesr.models import load, resolve
from scalesr.models.rrdb import RRDBNet
from scalesr.phantoms import spectral_cube

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.hyres import Progress, Trained

SMALL: dict[str, Any] = {
    "features": 4, "growth": 4, "patch": 8, "batch": 2, "steps": 6, "validations": 2, "warm_up": 2,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _few_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "TILES", 3)
    monkeypatch.setattr(curves, "find_spec", lambda _: None)  # a picture takes a second


def sources() -> list[ArraySource]:
    """Return two bands of a phantom, large enough for a strip."""
    cube = spectral_cube((8, 256, 128), seed=1)
    return [ArraySource(cube.region((slice(3, 5), slice(0, 256), slice(0, 128))))]


def trained(
    folder: Path, *, stop: int | None = None, mode: Literal["create", "resume"] = "create", **changes: Any
) -> Trained:
    """Train a tiny network, perhaps up to a step."""

    def watch(where: Progress) -> None:
        if where.step == stop:
            raise KeyboardInterrupt

    return train(TrainingSettings(**{**SMALL, **changes}), sources(), folder, mode=mode, watch=watch)


@pytest.mark.parametrize(
    ("stop", "changes"),
    [
        (1, {}),
        (3, {}),
        (4, {"adversarial": 0.01, "adversarial_from": 0.3, "instrument": "maldi"}),
        (4, {"scale": 2, "precision": "bf16", "flux": "free", "pixel": "l1", "frc": 0.0}),
    ],
)
def test_a_training_that_was_interrupted_comes_to_the_same_bits(
    tmp_path: Path, stop: int, changes: dict[str, Any]
) -> None:
    whole = trained(tmp_path / "whole", **changes)
    with pytest.raises(InterruptedRunError, match=f"step {stop}.*--resume"):
        trained(tmp_path / "parts", stop=stop, **changes)
    parts = trained(tmp_path / "parts", mode="resume", **changes)
    assert whole.weights.read_bytes() == parts.weights.read_bytes()
    one, other = (read_checkpoint(tmp_path / name / CHECKPOINT)["parts"] for name in ("whole", "parts"))
    for part in ("network", "average", *(["rival network"] if "adversarial" in changes else [])):
        assert all(torch.equal(one[part][name], other[part][name]) for name in one[part])
    for name in ("optimiser", *(["rival optimiser"] if "adversarial" in changes else [])):
        states = one[name]["state"], other[name]["state"]
        assert all(torch.equal(states[0][k]["exp_avg_sq"], states[1][k]["exp_avg_sq"]) for k in states[0])
    lines = [
        [{k: v for k, v in line.items() if k != "minutes"} for line in curves.read(tmp_path / name)]
        for name in ("whole", "parts")
    ]
    assert lines[0] == lines[1]
    assert len(lines[0]) == 2


def test_the_folder_holds_what_a_run_and_a_reader_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "find_spec", find_spec)
    found = trained(tmp_path / "run")
    assert found.judged == "held-out strips"
    assert found.steps == 6
    assert found.notes["patches"] == 12
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {WEIGHTS, CHECKPOINT, "curve.jsonl", "settings.json", "curves.png"}
    facts = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert TrainingSettings.from_json(facts["settings"]) == TrainingSettings(**SMALL)
    assert facts["physics"] == "factor=4"
    assert facts["judged"] == "held-out strips"
    lines = curves.read(tmp_path / "run")
    assert [line["step"] for line in lines] == [3, 6]
    assert set(lines[0]["losses"]) == {"pixel", "frc", "free"}
    model = load(resolve(str(found.weights), image_channels=5, image_axes="cyx"))
    assert model.spec.flux == "conserved"
    assert [int(s) for s in model.spec.scale] == [4, 4]
    kept = load_generator(found.weights).state_dict()
    average = read_checkpoint(tmp_path / "run" / CHECKPOINT)["parts"]["average"]
    if found.best_step == 6:
        assert all(torch.equal(kept[name], average[name]) for name in kept)


def test_another_training_is_not_resumed(tmp_path: Path) -> None:
    trained(tmp_path / "run")
    with pytest.raises(LedgerError, match=r"frc is 0\.3 and was 0\.1; seed is 7 and was 0"):
        trained(tmp_path / "run", mode="resume", frc=0.3, seed=7)
    with pytest.raises(LedgerError, match="the images are others"):
        train(
            TrainingSettings(**SMALL),
            [ArraySource(np.random.default_rng(0).random((256, 64)))],
            tmp_path / "run",
            mode="resume",
        )
    with pytest.raises(OutputError, match="holds a training"):
        trained(tmp_path / "run")


def test_torch_random_numbers_are_left_as_they_were(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trained(tmp_path / "run", steps=1)
    assert torch.equal(torch.rand(3), expected)


def test_steps_that_are_not_finite_are_skipped_and_counted_and_too_many_end_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scalesr.hyres.objective import Objective  # noqa: PLC0415

    plain, calls = Objective.pixel, iter(range(1000))

    def sometimes(self: Objective, out: torch.Tensor, pairs: Any) -> torch.Tensor:
        return plain(self, out, pairs) * (torch.nan if next(calls) in (2, 3) else 1.0)

    monkeypatch.setattr(Objective, "pixel", sometimes)
    found = trained(tmp_path / "some", flux="free")
    assert (found.steps, found.skipped) == (6, 2)
    weights = load_generator(found.weights).state_dict()
    assert all(torch.isfinite(value).all() for value in weights.values())
    monkeypatch.setattr(Objective, "pixel", lambda self, out, pairs: plain(self, out, pairs) * torch.inf)
    with pytest.raises(ModelError, match="diverged"):
        trained(tmp_path / "all", steps=40)


def test_small_images_are_judged_by_what_they_were_trained_on_and_it_says_so(tmp_path: Path) -> None:
    small = [ArraySource(np.random.default_rng(0).random((2, 60, 60)))]
    found = train(TrainingSettings(**SMALL), small, tmp_path / "run")
    assert found.judged == "training pixels"
    given = train(TrainingSettings(**SMALL), small, tmp_path / "given", validation=sources())
    assert given.judged == "given images"


def test_flat_images_cannot_be_validated_on(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="flat"):
        train(TrainingSettings(**SMALL), [ArraySource(np.zeros((64, 64)))], tmp_path / "run")


@pytest.mark.parametrize("scale", [2, 4])
def test_a_generator_begins_as_linear_interpolation(scale: Literal[2, 4]) -> None:
    torch.manual_seed(0)
    network = start_as_linear(RRDBNet(features=8, growth=4, scale=scale))
    ramp = (torch.arange(24.0)[:, None] * 0.02 + torch.arange(24.0) * 0.01)[None, None]
    inner = slice(4 * scale, -4 * scale)  # past its edges the network sees zeros
    with torch.no_grad():
        out = network(ramp)[0, 0, inner, inner]
    fine = (torch.arange(24 * scale) + 0.5) / scale - 0.5
    expected = (fine[:, None] * 0.02 + fine * 0.01)[inner, inner]
    assert float((out - expected).abs().max()) < 0.02


def test_tuning_keeps_at_least_what_it_began_with(tmp_path: Path) -> None:
    torch.manual_seed(0)
    start = start_as_linear(RRDBNet(features=4, growth=4))
    settings = own_settings(start, steps=4, patch=8, batch=2, rate=50.0)
    assert (settings.features, settings.growth, settings.augment) == (4, 4, "turns")
    assert own_settings(start).minutes == 5
    found = train(settings, sources(), tmp_path / "run", start=start)
    lines = curves.read(tmp_path / "run")
    assert lines[0]["step"] == 0
    assert found.scores["psnr"] >= lines[0]["scores"]["psnr"]
    with pytest.raises(ModelError, match="several channels"):
        own_settings(RRDBNet(3, 3, features=4, growth=4))
    with pytest.raises(ModelError, match="features 4"):
        train(TrainingSettings(**{**SMALL, "features": 8}), sources(), tmp_path / "other", start=start)


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": None}, {"minutes": 3.0}, {"scale": 3}, {"patch": 9}, {"patch": 4}, {"batch": 0}, {"rate": 0.0},
        {"frc": -1.0}, {"average": 1.5}, {"perceptual": 0.1}, {"minutes": -1.0, "steps": None},
        {"rounding": float("nan")},
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PlanError):
        TrainingSettings(**{**SMALL, **changes})


def test_an_unknown_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="names no device"):
        trained(tmp_path / "run", device="abacus")
    if not torch.cuda.is_available():
        with pytest.raises(ModelError, match="0 CUDA devices"):
            trained(tmp_path / "run", device="cuda")


@pytest.mark.slow
def test_a_minute_beats_cubic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "TILES", 8)
    cube = spectral_cube((24, 512, 512), seed=3)
    found = train(
        TrainingSettings(steps=300, features=16, growth=16, batch=4, validations=4, rate=1e-3, warm_up=50),
        [ArraySource(cube.region((slice(0, 24, 1), slice(0, 512), slice(0, 512))))],
        tmp_path / "run",
    )
    assert found.scores["psnr"] > found.reference["psnr"] + 0.3
    assert found.scores["frc"] > found.reference["frc"]
