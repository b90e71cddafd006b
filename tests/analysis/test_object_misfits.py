"""Which objects of a restored stack agree with their measurement: the figures of the search, however it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import commands
import numpy as np
import pytest
import torch
from commands import write_image

import scalesr
from scalesr.analysis.objects import misfits
from scalesr.analysis.objects.misfits import misfits_of_objects
from scalesr.analysis.tables import read_parquet, write_parquet
from scalesr.errors import InputError
from scalesr.rls import Degradation, GeneratorSettings, SearchSettings, StyleGAN2, load, save, search
from scalesr.rls.objective import Objective

if TYPE_CHECKING:
    from pathlib import Path

COARSE = Degradation(kind="area", factor=4, noise=0.01)
TINY = GeneratorSettings(size=16, channels=2, latent=8, depth=2, widths=(8, 8, 8))


@pytest.fixture(autouse=True)
def _objects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(commands.KINDS, "n", "other")


def test_figures_are_those_of_the_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = StyleGAN2(TINY).eval().requires_grad_(requires_grad=False)
    save(tmp_path / "net.safetensors", generator, title="untrained", factor=4)
    low = np.random.default_rng(0).random((5, 2, 4, 4)).astype(np.float32)
    low[3:] *= 0.1
    write_image(tmp_path / "coarse.zarr", 1000 + 500 * low, "ncyx")
    told = {"steps": 3, "group": 4, "density": 0.0, "ring": 0.0, "kind": "area", "noise": 0.01, "gate": 0.22}
    scalesr.run(
        tmp_path / "coarse.zarr",
        tmp_path / "out.zarr",
        model=str(tmp_path / "net.safetensors"),
        model_options=told,
        normalise=(1000.0, 1500.0),
        scheduler="serial",
    )
    found = misfits_of_objects(tmp_path / "coarse.zarr", tmp_path / "out.zarr")
    settings = SearchSettings(steps=3, group=4, gate=0.22, objective=Objective(density=0.0, ring=0.0))
    alone = search(load(tmp_path / "net.safetensors").generator, None, torch.from_numpy(low), COARSE, settings)
    np.testing.assert_allclose(found["misfit"], alone.misfits, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found["flagged"], alone.flagged)
    assert set(found["flagged"]) == {True, False}, found["misfit"]
    assert found.labels.tolist() == [1, 2, 3, 4, 5]
    assert "kind area, factor 4, psf 0.0, noise 0.01" in found.notes[0]
    np.testing.assert_allclose(found["floor"], 0.01 * np.sqrt(2 / np.pi))
    monkeypatch.setattr(misfits, "STEP_VOXELS", 1)
    again = misfits_of_objects(tmp_path / "coarse.zarr", tmp_path / "out.zarr")
    for name, values in found.columns.items():
        np.testing.assert_array_equal(values, again[name])
    strict = misfits_of_objects(tmp_path / "coarse.zarr", tmp_path / "out.zarr", gate=0.0)
    assert strict["flagged"].all()
    write_parquet(found, tmp_path / "misfits.parquet")
    np.testing.assert_array_equal(read_parquet(tmp_path / "misfits.parquet")["flagged"], found["flagged"])


def test_stacks_of_no_run_are_compared_as_they_are(tmp_path: Path) -> None:
    fine = np.random.default_rng(0).random((3, 8, 8)).astype(np.float32)
    low = fine.reshape(3, 4, 2, 4, 2).mean(axis=(2, 4))
    low[1] += 0.25
    fine[2, 0, 0] = np.nan
    write_image(tmp_path / "coarse.zarr", low, "nyx")
    write_image(tmp_path / "fine.zarr", fine, "nyx")
    found = misfits_of_objects(
        tmp_path / "coarse.zarr", tmp_path / "fine.zarr", degradation=Degradation(kind="area", factor=2)
    )
    np.testing.assert_allclose(found["misfit"][:2], [0.0, 0.25], atol=1e-6)
    np.testing.assert_allclose(found["bias"][:2], [0.0, -0.25], atol=1e-6)
    assert found["flagged"].tolist() == [False, True, True]
    assert any("as they are stored" in note for note in found.notes)
    assert any("1 objects" in note for note in found.notes)


def test_stacks_of_other_objects_are_refused(tmp_path: Path) -> None:
    for name, shape, axes in (("a", (3, 4, 4), "nyx"), ("b", (2, 8, 8), "nyx"), ("c", (3, 6, 6), "nyx")):
        write_image(tmp_path / f"{name}.zarr", np.zeros(shape, np.float32), axes)
    for other in ("b", "c"):
        with pytest.raises(InputError, match="no stacks of the same objects"):
            misfits_of_objects(tmp_path / "a.zarr", tmp_path / f"{other}.zarr")
    write_image(tmp_path / "d.zarr", np.zeros((3, 8, 8), np.float32), "nyx")
    with pytest.raises(InputError, match="factor of 4"):
        misfits_of_objects(tmp_path / "a.zarr", tmp_path / "d.zarr", degradation=COARSE)
