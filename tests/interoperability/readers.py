"""What other software finds in an image of ours: pixels, and what it says of axes, sizes, places and channels."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

import dask.array
import ngff_zarr
import numpy as np
import ome_zarr.io
import ome_zarr.reader
import pytest
import xarray
import zarr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Found:
    """An image as a reader has it; ``None`` and empty where that reader does not say."""

    levels: tuple[NDArray[Any], ...]
    """Pixels of the resolutions that it reads, finest first."""
    axes: str | None = None
    scale: tuple[float, ...] | None = None
    """Of the finest resolution, along `axes`."""
    translation: tuple[float, ...] | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()


def with_ome_zarr_py(path: Path, _: pytest.MonkeyPatch) -> Found:
    """Read with ome-zarr-py, as its command line and most tools built on it do."""
    location = ome_zarr.io.parse_url(str(path))
    assert location is not None
    node = next(iter(ome_zarr.reader.Reader(location)()))
    about = node.metadata
    transformations = about["coordinateTransformations"][0]
    told = {each["type"]: tuple(each[each["type"]]) for each in transformations}
    return Found(
        levels=tuple(np.asarray(level) for level in node.data),
        axes="".join(axis["name"] for axis in about["axes"]),
        scale=told["scale"],
        translation=told["translation"],
        units={axis["name"]: axis["unit"] for axis in about["axes"] if axis.get("unit")},
        labels=tuple(about.get("channel_names", ())),
    )


def with_ngff_zarr(path: Path, _: pytest.MonkeyPatch) -> Found:
    """Read with ngff-zarr, which checks the metadata against the schema first."""
    found = ngff_zarr.from_ngff_zarr(str(path), validate=True)
    first = found.images[0]
    return Found(
        levels=tuple(np.asarray(image.data) for image in found.images),
        axes="".join(first.dims),
        scale=tuple(first.scale.get(axis, 1.0) for axis in first.dims),
        translation=tuple(first.translation.get(axis, 0.0) for axis in first.dims),
        units={str(axis): str(unit) for axis, unit in (first.axes_units or {}).items() if unit},
        labels=tuple(str(channel.label) for channel in found.metadata.omero.channels) if found.metadata.omero else (),
    )


def with_tensorstore(path: Path, _: pytest.MonkeyPatch) -> Found:
    """Read each array with tensorstore, which knows Zarr but not OME-Zarr."""
    tensorstore = pytest.importorskip("tensorstore")
    driver = "zarr3" if (path / "zarr.json").exists() else "zarr"
    levels = []
    axes: str | None = None
    for level in sorted(each for each in path.iterdir() if each.name.isdigit()):
        store = tensorstore.open({"driver": driver, "kvstore": {"driver": "file", "path": str(level)}}).result()
        levels.append(np.asarray(store.read().result()))
        axes = "".join(store.domain.labels) if level.name == "0" else axes
    return Found(levels=tuple(levels), axes=axes or None)


def with_zarr_and_dask(path: Path, _: pytest.MonkeyPatch) -> Found:
    """Read with zarr-python and dask alone, as a script does."""
    group = zarr.open_group(path, mode="r")
    ome = group.attrs.get("ome", group.attrs)
    assert isinstance(ome, dict | zarr.core.attributes.Attributes)
    datasets: Any = ome["multiscales"]
    names = [dataset["path"] for dataset in datasets[0]["datasets"]]
    library: Any = dask.array
    return Found(levels=tuple(np.asarray(library.from_zarr(str(path), component=name)) for name in names))


def with_xarray(path: Path, _: pytest.MonkeyPatch) -> Found:
    """Read with xarray alone, level by level, as it takes each array of a group for a variable of one grid."""
    names = sorted(each.name for each in path.iterdir() if each.is_dir() and each.name != "scalesr")
    levels = []
    for name in filter(str.isdigit, names):
        others = [other for other in names if other != name]
        opened = xarray.open_dataset(path, engine="zarr", consolidated=False, drop_variables=others)
        levels.append(opened[name])
    return Found(levels=tuple(level.values for level in levels), axes="".join(map(str, levels[0].dims)))


def with_xarray_and_scalesr(path: Path, _: pytest.MonkeyPatch) -> Found:
    """Read with xarray through the entry point of scalesr."""
    tree = xarray.open_datatree(path, engine="scalesr")
    levels: list[Any] = [tree[name]["image"] for name in sorted(tree.children)]
    first = levels[0]
    space = [axis for axis in first.dims if axis in ("z", "y", "x")]
    return Found(
        levels=tuple(level.values for level in levels),
        axes="".join(map(str, first.dims)),
        scale=tuple(float(np.diff(first[axis])[0]) if axis in space else 1.0 for axis in first.dims),
        translation=tuple(float(first[axis][0]) if axis in space else 0.0 for axis in first.dims),
        units={str(axis): str(first[axis].attrs["units"]) for axis in space},
        labels=tuple(map(str, first["c"].values)) if "c" in first.dims else (),
    )


def with_bioio(path: Path, _: pytest.MonkeyPatch) -> Found:
    """Read with bioio and its plugin bioio-ome-zarr."""
    plugin = pytest.importorskip("bioio_ome_zarr")
    image = pytest.importorskip("bioio").BioImage(str(path), reader=plugin.Reader)
    axes = image.dims.order.lower()
    levels = []
    for number in image.resolution_levels:
        image.set_resolution_level(number)
        levels.append(image.xarray_data)
    image.set_resolution_level(0)
    sizes = image.physical_pixel_sizes
    own = {"z": sizes.Z, "y": sizes.Y, "x": sizes.X}
    # Channels without a name get one of bioio's own.
    labels = [str(label) for label in image.channel_names or () if not str(label).startswith("Channel:")]
    return Found(
        levels=tuple(np.asarray(level) for level in levels),
        axes=axes,
        scale=tuple(float(own.get(axis) or 1.0) for axis in axes),
        labels=tuple(labels),
    )


def with_napari(path: Path, patch: pytest.MonkeyPatch) -> Found:
    """Read with the reader of napari-ome-zarr, which gives napari its layers; see `napari_stand_ins`."""
    if find_spec("napari") is None:
        for name, module in napari_stand_ins():
            patch.setitem(sys.modules, name, module)
    reader = pytest.importorskip("napari_ome_zarr").napari_get_reader(str(path))
    assert reader is not None
    ((data, about, kind),) = reader(str(path))
    assert kind == "image"
    labels = list(about["axis_labels"])
    scale = list(about["scale"])
    if "channel_axis" in about:
        labels.insert(about["channel_axis"], "c")
        scale.insert(about["channel_axis"], 1.0)
    named = about.get("name", ())
    return Found(
        levels=tuple(np.asarray(level) for level in data),
        axes="".join(labels),
        scale=tuple(scale),
        units={axis: unit for axis, unit in zip(about["axis_labels"], about["units"], strict=True) if unit},
        labels=tuple(name.partition(": ")[2] for name in named) if isinstance(named, list) else (),
    )


class _Affine:
    """What the reader asks of napari's affine transformations."""

    def __init__(self, *, scale: Any = None, translate: Any = None, affine_matrix: Any = None) -> None:
        size = len(scale if scale is not None else translate) if affine_matrix is None else len(affine_matrix) - 1
        self.affine_matrix = np.eye(size + 1) if affine_matrix is None else np.asarray(affine_matrix, float)
        if scale is not None:
            self.affine_matrix[:-1, :-1] = np.diag(scale)
        if translate is not None:
            self.affine_matrix[:-1, -1] = translate

    @property
    def scale(self) -> NDArray[Any]:
        return np.diag(self.affine_matrix)[:-1].copy()

    @scale.setter
    def scale(self, scale: NDArray[Any]) -> None:
        self.affine_matrix[:-1, :-1] = np.diag(scale)

    def compose(self, other: _Affine) -> _Affine:
        return _Affine(affine_matrix=self.affine_matrix @ other.affine_matrix)


class _Colormap:
    """What the reader asks of napari's colour maps."""

    def __init__(self, colors: Any) -> None:
        self.colors = np.asarray(colors, float)
        self.controls = np.linspace(0, 1, len(self.colors))
        self.interpolation = "linear"


def napari_stand_ins() -> Iterator[tuple[str, ModuleType]]:
    """Return stand-ins for what the reader imports of napari, which needs a desktop and is no part of the tests."""
    for name, members in (
        ("napari", {}),
        ("napari.utils", {}),
        ("napari.utils.colormaps", {"AVAILABLE_COLORMAPS": {}, "Colormap": _Colormap}),
        ("napari.utils.transforms", {"Affine": _Affine}),
    ):
        module = ModuleType(name)
        module.__dict__.update(members)
        yield name, module


READERS: dict[str, Callable[[Path, pytest.MonkeyPatch], Found]] = {
    "ome-zarr": with_ome_zarr_py,
    "ngff-zarr": with_ngff_zarr,
    "tensorstore": with_tensorstore,
    "dask": with_zarr_and_dask,
    "xarray": with_xarray,
    "xarray with engine='scalesr'": with_xarray_and_scalesr,
    "bioio-ome-zarr": with_bioio,
    "napari-ome-zarr": with_napari,
}
"""By the name that stands in the table; its first word is the package whose version is told."""
SAYS = {
    "ome-zarr": ("axes", "scale", "translation", "units", "labels"),
    "ngff-zarr": ("axes", "scale", "translation", "units", "labels"),
    "tensorstore": ("axes",),
    "dask": (),
    "xarray": ("axes",),
    "xarray with engine='scalesr'": ("axes", "scale", "translation", "units", "labels"),
    "bioio-ome-zarr": ("axes", "scale", "labels"),
    "napari-ome-zarr": ("axes", "scale", "units", "labels"),
}
"""What each tells beside pixels; all of it is compared. Zarr 2, of OME-Zarr 0.4, has no names for axes of arrays."""


def said(found: Found) -> set[str]:
    """Return what a reader told beside pixels."""
    return {name for name in ("axes", "scale", "translation", "units", "labels") if getattr(found, name)}
