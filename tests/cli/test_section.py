"""The section of the notebooks: all images on one ground, and the regions where the phantom has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pytest

from scalesr.demo import make_section
from scalesr.errors import InputError
from scalesr.hyres import read_instrument
from scalesr.images.axes import metres

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from scalesr.images import Image


def pixels(image: Image) -> NDArray[Any]:
    return np.asarray(image.array()[...])


def ends(image: Image) -> tuple[float, ...]:
    """Return where an image begins and ends along y and x, in its unit."""
    level = image.levels[0]
    return tuple(
        float(level.translation[axis] + (side * n - 0.5) * level.scale[axis])
        for side in (0, 1)
        for axis, n in zip((-2, -1), image.shape[-2:], strict=True)
    )


def test_all_images_lie_on_one_ground(tmp_path: Path) -> None:
    section = make_section(tmp_path / "new" / "section", model="linear", bands=3, edge=64)
    for image in (*section.images.values(), section.regions, section.stain):
        assert ends(image) == pytest.approx((0, 0, 1600, 1600))
        assert {metres(axis.unit) for axis in image.axes[-2:]} == {1e-6}
    assert section.images["cubic"].shape == section.images["restored"].shape == section.truth.shape == (3, 64, 64)
    assert section.measured.shape == (3, 16, 16)
    assert section.stain.shape == (160, 160)
    labels = pixels(section.regions)
    assert set(np.unique(labels)) <= set(range(1, len(section.names) + 1))
    assert len(section.colours) == len(section.names)
    assert len(section.regions.levels) == 1


def test_what_is_measured_is_what_the_instrument_sees(tmp_path: Path) -> None:
    section = make_section(tmp_path, model="nearest", instrument="binning", bands=2, edge=64)
    truth = pixels(section.truth)
    np.testing.assert_allclose(pixels(section.measured), read_instrument("binning").expected(truth), rtol=1e-6)
    # Sums of tiles are fixed-point numbers.
    repeated = np.repeat(np.repeat(pixels(section.measured), 4, axis=1), 4, axis=2)
    np.testing.assert_allclose(pixels(section.restored), repeated, atol=1e-6)
    assert section.instrument == "factor=4"
    assert truth[section.band].std() >= truth[1 - section.band].std()


def test_a_second_call_replaces_the_images_by_the_same(tmp_path: Path) -> None:
    first, second = (make_section(tmp_path, model="linear", bands=2, edge=64) for _ in range(2))
    for one, two in zip(first.images.values(), second.images.values(), strict=True):
        np.testing.assert_array_equal(pixels(one), pixels(two))


def test_pictures(tmp_path: Path) -> None:
    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 after the choice of the backend

    section = make_section(tmp_path, model="linear", bands=2, edge=64)
    figure, (left, right) = plt.subplots(1, 2)
    section.show(left, "measured", band=1)
    section.show_labels(right, pixels(section.regions))
    assert left.get_title() == "measured"
    # Both show the same ground, in millimetres.
    assert left.images[0].get_extent() == right.images[0].get_extent() == [0.0, 1.6, 1.6, 0.0]
    plt.close(figure)


@pytest.mark.parametrize(
    "changes", [{"edge": 60}, {"edge": 68}, {"instrument": "maldi,factor=2"}], ids=["small", "odd", "factor"]
)
def test_what_does_not_fit_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        make_section(tmp_path, **changes)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
