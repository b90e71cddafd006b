"""Crops are what lies around the objects, and go back to where they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from analysis.object_samples import patches, stored, volume
from ome_zarr_models import open_ome_zarr
from scipy import ndimage
from zarr import open_array, open_group

from scalesr.analysis.objects import gather_crops, label_objects, open_crops, scatter_crops
from scalesr.analysis.objects.labelling import CUT
from scalesr.errors import InputError, OutputError
from scalesr.images import Axis, Image, create_image, open_image, pyramid_layout

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SHAPE = (60, 70)


def pixels(image: Image) -> NDArray[Any]:
    return np.asarray(image.array()[...])


@pytest.fixture
def sample(tmp_path: Path) -> tuple[NDArray[np.int32], NDArray[np.uint16], Image, Image]:
    labels = patches(SHAPE, 3)
    image = np.random.default_rng(0).integers(1, 999, (2, *SHAPE)).astype(np.uint16)
    return labels, image, stored(tmp_path / "labels", labels), stored(tmp_path / "image", image)


def test_crops_lie_around_the_centroids_and_are_mirrored_past_the_edge(
    sample: tuple[NDArray[np.int32], NDArray[np.uint16], Image, Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, image, names, field = sample
    monkeypatch.setattr("scalesr.analysis.objects.crop_stack._SHARD_BYTES", 5000)
    found = gather_crops(field, names, tmp_path / "out", edge=(16, 13), cut="keep")
    assert found.stack.axis_names == ("n", "c", "y", "x")
    assert found.stack.levels[0].chunks == (1, 2, 16, 13)
    around = np.pad(image, ((0, 0), (20, 20), (20, 20)), mode="reflect")
    wide = np.pad(labels, 20)
    crops, masks = pixels(found.stack), pixels(found.masks)
    assert sorted(found.table.labels) == sorted(np.unique(labels[labels > 0]))
    for k, row in enumerate(found.table.rows()):
        centre = ndimage.center_of_mass(labels == row["label"])
        y, x = (int(np.floor(c + 0.5)) - e // 2 for c, e in zip(centre, (16, 13), strict=True))
        assert (row["corner-0"], row["corner-1"]) == (y, x)
        window = slice(y + 20, y + 36), slice(x + 20, x + 33)
        np.testing.assert_array_equal(crops[k], around[:, *window])
        np.testing.assert_array_equal(masks[k], wide[window] == row["label"])
        assert row["mirrored"] == (y < 0 or x < 0 or y + 16 > SHAPE[0] or x + 13 > SHAPE[1])
    assert type(open_ome_zarr(open_group(tmp_path / "out", mode="r"))).__name__ == "Image"


def test_the_order_does_not_depend_on_storage_and_objects_that_are_cut_are_left_out(
    sample: tuple[NDArray[np.int32], NDArray[np.uint16], Image, Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels, image, names, field = sample
    first = gather_crops(field, names, tmp_path / "a", edge=16, around="zero", channels=[1])
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    cut = len(edge[edge > 0])
    assert first.table.left_out == {CUT: cut}
    assert not np.isin(first.table.labels, edge).any()
    assert np.all((pixels(first.stack) > 0) <= pixels(first.masks)[:, None].astype(bool))
    monkeypatch.setattr("scalesr.analysis.objects.crop_stack._SHARD_BYTES", 1)
    again = stored(tmp_path / "chunked", image, chunks=(1, 7, 9))
    second = gather_crops(again, names, tmp_path / "b", edge=16, around="zero", channels=["1"])
    np.testing.assert_array_equal(pixels(first.stack), pixels(second.stack))
    opened = open_crops(tmp_path / "b")
    for name, values in first.table.columns.items():
        np.testing.assert_array_equal(values, opened.table[name])
    assert (opened.origins[0].shape, opened.table.left_out, opened.edge) == (SHAPE, {CUT: cut}, (16, 16))


def enlarged(found: Any, target: Path, times: int) -> Image:
    made = pixels(found.stack).repeat(times, axis=2).repeat(times, axis=3)
    axes = (Axis("n", "other"), Axis("c", "channel"), Axis("y", "space"), Axis("x", "space"))
    layout = pyramid_layout(
        axes=axes, shape=made.shape, dtype=made.dtype.name, scale=(1.0,) * 4, translation=(0.0,) * 4,
        chunks=(1, *made.shape[1:]), smallest=max(made.shape),
    )  # fmt: skip
    writer = create_image(target, layout)
    writer.write(0, tuple(slice(0, n) for n in made.shape), made)
    writer.publish()
    return open_image(target)


@pytest.mark.parametrize("times", [1, 3])
def test_crops_go_back_to_where_they_come_from(
    sample: tuple[NDArray[np.int32], NDArray[np.uint16], Image, Image],
    tmp_path: Path,
    times: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels, image, names, field = sample
    found = gather_crops(field, names, tmp_path / "crops", edge=16)
    stack = enlarged(found, tmp_path / "large", times)
    fields: list[Image] = []
    for chunk in (512, 32):
        monkeypatch.setattr("scalesr.analysis.objects.scattering._CHUNK", chunk)
        fields += scatter_crops(stack, tmp_path / f"back {chunk}", crops=tmp_path / "crops", field=field)
    back = pixels(fields[0])
    np.testing.assert_array_equal(back, pixels(fields[1]))
    truth = image.repeat(times, axis=1).repeat(times, axis=2)
    covered = back[0] > 0
    np.testing.assert_array_equal(back[:, covered], truth[:, covered])
    assert fields[0].pixel_sizes[1:] == (1 / times, 1 / times)
    assert fields[0].levels[0].translation[1:] == pytest.approx((0.5 / times, 0.5 / times))
    own = pixels(*scatter_crops(stack, tmp_path / "own", crops=found, field=field, paste="own"))
    inside = np.isin(labels, found.table.labels).repeat(times, axis=0).repeat(times, axis=1)
    assert not own[:, ~inside].any()
    np.testing.assert_array_equal(own[:, own[0] > 0], truth[:, own[0] > 0])


def test_overlapping_crops_are_parted_in_the_middle(tmp_path: Path) -> None:
    labels = np.zeros((9, 20), np.uint8)
    labels[4, 6], labels[4, 13] = 2, 1
    names = stored(tmp_path / "labels", labels)
    found = gather_crops(stored(tmp_path / "image", labels), names, tmp_path / "crops", edge=9)
    marked = enlarged(found, tmp_path / "same", 1)
    array: Any = open_array(f"{marked.url}/0", mode="r+")
    for k, name in enumerate(found.table.labels):
        array[k] = name
    back = pixels(*scatter_crops(marked, tmp_path / "back", crops=found, field=names))[0]
    assert back[4].tolist() == [0] * 2 + [2] * 8 + [1] * 8 + [0] * 2


def test_volumes_are_cropped_and_go_back(tmp_path: Path) -> None:
    labels = patches((8, 20, 22), 1)
    image = np.random.default_rng(0).integers(1, 99, labels.shape).astype(np.uint8)
    names, field = volume(tmp_path / "labels", labels), volume(tmp_path / "image", image)
    found = gather_crops(field, names, tmp_path / "crops", edge=(4, 9, 9), cut="keep")
    assert found.stack.axis_names == ("n", "c", "z", "y", "x")
    back = pixels(*scatter_crops(found.stack, tmp_path / "back", crops=found, field=field))[0]
    np.testing.assert_array_equal(back[back > 0], image[back > 0])
    assert (back > 0).mean() > 0.2


def test_bad_input_is_refused(
    sample: tuple[NDArray[np.int32], NDArray[np.uint16], Image, Image], tmp_path: Path
) -> None:
    _, image, names, field = sample
    with pytest.raises(InputError, match="touch their field"):
        gather_crops(field, stored(tmp_path / "one", np.ones(SHAPE, np.uint8)), tmp_path / "out", edge=8)
    with pytest.raises(InputError, match="Crops of"):
        gather_crops(field, names, tmp_path / "out", edge=0)
    with pytest.raises(InputError, match="no object"):
        gather_crops(field, stored(tmp_path / "none", np.zeros(SHAPE, np.uint8)), tmp_path / "out", edge=8)
    found = gather_crops(field, names, tmp_path / "out", edge=8)
    with pytest.raises(OutputError, match="exists"):
        gather_crops(field, names, tmp_path / "out", edge=8)
    with pytest.raises(InputError, match="very image or plate"):
        scatter_crops(found.stack, tmp_path / "back", crops=found, field=stored(tmp_path / "wrong", image[:, 1:]))
    with pytest.raises(InputError, match="whole number of times"):
        scatter_crops(found.masks, tmp_path / "back", crops=found, field=field)
    for work in (
        lambda out: gather_crops(field, names, out, edge=8, mode="overwrite"),
        lambda out: label_objects(field, out, mode="overwrite", threshold=1.0),
    ):
        with pytest.raises(OutputError, match="would be replaced"):
            work(field.url)
    with pytest.raises(OutputError, match="would be replaced"):
        scatter_crops(found.stack, found.stack.url, crops=found, field=field, mode="overwrite")
    with pytest.raises(InputError, match="where its crops come from"):
        open_crops(field)
