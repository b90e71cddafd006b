"""Tables of objects as AnnData, which single-cell programs read: features beside what is known of each object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.analysis.packages import need
from scalesr.errors import OutputError
from scalesr.images import Location
from scalesr.images.faults import writing
from scalesr.metrics.tables import check_new

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scalesr.analysis.tables.object_table import ObjectTable
    from scalesr.metrics.tables import Mode

_PLACES = ("centroid-", "bbox-", "label")


def to_anndata(table: ObjectTable) -> Any:
    """Return a table as ``anndata.AnnData``.

    ``X`` are the features as float64, named in ``var``. Labels, places, texts and truth values describe the objects
    and are in ``obs``; centroids also in ``obsm["spatial"]``, x before y as squidpy expects it, in pixels.

    Raises
    ------
    PlanError
        anndata or pandas is not installed.
    """
    anndata = need("anndata", extra="anndata", purpose="AnnData")
    pandas = need("pandas", extra="tables", purpose="AnnData")
    features = [name for name in table.features if not name.startswith(_PLACES)]

    # Texts as objects: files of AnnData have no place for the strings that pandas 3 makes of them.
    def texts(values: Any) -> Any:
        return pandas.Index(np.asarray(values).astype(str).astype(object), dtype=object)

    about = {
        name: _category(pandas, values, texts) if values.dtype.kind in "OUST" else values
        for name, values in table.columns.items()
        if name not in features
    }
    made = anndata.AnnData(
        X=np.stack([table[name].astype(np.float64) for name in features], axis=1)
        if features
        else np.zeros((len(table), 0)),
        obs=pandas.DataFrame(about, index=texts(table.labels)),
        var=pandas.DataFrame(index=texts(features)),
    )
    places = [name for name in table.columns if name.startswith("centroid-")]
    if places:
        made.obsm["spatial"] = np.stack([table[name] for name in reversed(places)], axis=1)
    made.uns["scalesr"] = {"left_out": dict(table.left_out), "notes": list(table.notes)}
    return made


def write_anndata(table: ObjectTable, path: str | os.PathLike[str], *, mode: Mode = "create") -> None:
    """Write a table as AnnData in HDF5 (``.h5ad``); see `to_anndata`.

    Raises
    ------
    OutputError
        The file exists, cannot be written, or is not local: HDF5 needs a file to seek in.
    PlanError
        anndata is not installed.
    """
    local = Location.parse(path).path
    if local is None:
        raise OutputError(f"{path} is no local file, which HDF5 needs.", remedy="Write it here, and copy it then.")
    check_new(path, mode=mode)
    made = to_anndata(table)
    with writing(str(local)):
        made.write_h5ad(local)


def _category(pandas: Any, values: NDArray[Any], texts: Callable[[Any], Any]) -> Any:
    names, codes = np.unique(np.asarray(values).astype(str), return_inverse=True)
    return pandas.Categorical.from_codes(codes, categories=texts(names))
