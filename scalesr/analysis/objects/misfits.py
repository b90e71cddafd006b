"""Which objects of a restored stack agree with their measurement, and which are not to be trusted."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.analysis.objects.crop_stack import open_crops
from scalesr.analysis.tables.object_table import ObjectTable
from scalesr.engine.job import ledger_files
from scalesr.engine.ledger import read_manifest
from scalesr.engine.normalisation import Normalisation
from scalesr.engine.pairing import OBJECTS
from scalesr.errors import InputError
from scalesr.images import Image, open_image
from scalesr.models.architectures import header
from scalesr.models.catalogue import weights_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source
    from scalesr.rls import Degradation

GATE = 0.05
"""Misfit above which an object is flagged, as in a search."""
STEP_VOXELS = 2**22
"""Voxels of the restored stack that are read at a time."""
RAW = "intensities as they are stored: the restored stack does not say how a run normalised it"
LOST = "pixels are missing"


def misfits_of_objects(
    measured: Source,
    restored: Source,
    *,
    degradation: Degradation | None = None,
    gate: float | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> ObjectTable:
    """Return how far each restored object is from its measurement once it is measured anew, and whether it is flagged.

    A run with a generator returns an image for every object, also where none of the generator's images agrees with the
    measurement. Memory does not grow with the stacks. What agrees need not be true: a coarse measurement has many fine
    images.

    Parameters
    ----------
    measured, restored
        The stack that went into a run, and what came out: (n, c, y, x) or (n, y, x).
    degradation
        What a measurement sees of an image, and its noise. When not given, that of the run.
    gate
        Misfit beyond that of noise above which an object is flagged. When not given, that of the run, or 0.05.
    storage_options
        Handed to fsspec.

    Returns
    -------
    ObjectTable
        One row for each object in the order of the stack: ``label``, as gathered, else 1, 2, ...; ``misfit``,
        ``largest``, ``bias`` and ``floor`` as `scalesr.rls.misfits_of` has them, in the run's normalised intensities;
        ``flagged``, which objects with missing pixels are, too.

    Raises
    ------
    InputError
        The stacks are none, or not of the same objects and channels with a whole factor between them.
    """
    from scalesr.rls import Degradation, misfits_of  # noqa: PLC0415 torch takes seconds

    coarse, fine = (
        each if isinstance(each, Image) else open_image(each, storage_options=storage_options)
        for each in (measured, restored)
    )
    factor = _factor(coarse, fine)
    normalisation, told = _run(fine)
    if degradation is None:
        degradation = Degradation.from_json({**told, "factor": factor})
    if degradation.factor != factor:
        raise InputError(
            f"{fine.url} is {factor} times finer than {coarse.url}, and the degradation has a factor of "
            f"{degradation.factor}.",
            remedy="Give the degradation that the stack was restored by.",
        )
    gate = float(told.get("gate", GATE)) if gate is None else gate
    parts: dict[str, list[NDArray[Any]]] = {}
    step = max(1, STEP_VOXELS // math.prod(fine.shape[1:]))
    for start in range(0, coarse.shape[0], step):
        some = slice(start, min(start + step, coarse.shape[0]))
        found = misfits_of(_read(fine, some, normalisation), _read(coarse, some, normalisation), degradation)
        for name, values in found.items():
            parts.setdefault(name, []).append(values)
    columns = {name: np.concatenate(values) for name, values in parts.items()}
    flagged = ~(columns["misfit"] - columns["floor"] <= gate)
    does = ", ".join(f"{name} {value}" for name, value in degradation.to_json().items() if value is not None)
    notes = [f"flagged above {gate:g} beyond noise; measured anew by {does}"]
    notes += [RAW] if normalisation is None else []
    lost = int(np.count_nonzero(~np.isfinite(columns["misfit"])))
    notes += [f"{lost} objects are flagged as {LOST}"] if lost else []
    return ObjectTable(columns={"label": _labels(coarse), **columns, "flagged": flagged}, notes=tuple(notes))


def _factor(coarse: Image, fine: Image) -> int:
    names = coarse.axis_names
    known = names in (tuple("ncyx"), tuple("nyx")) and fine.axis_names == names and names[0] == OBJECTS
    ratios = {b / a for a, b in zip(coarse.shape[-2:], fine.shape[-2:], strict=True)} if known else set()
    if not known or coarse.shape[:-2] != fine.shape[:-2] or len(ratios) > 1 or not min(ratios).is_integer():
        raise InputError(
            f"{coarse.url} has the axes {''.join(names)} and the shape {coarse.shape}, {fine.url} "
            f"{''.join(fine.axis_names)} and {fine.shape}: they are no stacks of the same objects.",
            remedy="Give the stack that went into a run, (n, c, y, x) or (n, y, x), and the one that came out.",
        )
    return int(min(ratios))


def _run(fine: Image) -> tuple[Normalisation | None, dict[str, Any]]:
    """Return how a run normalised, and what the model was told, by its file or options; nothing of no run."""
    manifest = read_manifest(ledger_files(fine.url, fine.storage_options))
    if manifest is None:
        return None, {}
    kind, _, name = manifest.provenance["model"].partition(":")
    said = json.loads(header(weights_of(name) if kind == "builtin" else Path(name)).get("search", "{}"))
    told = json.loads(dict(manifest.identity["model options"]).get("options", "{}"))
    return Normalisation.from_json(manifest.identity["normalisation"]), {**said, **told}


def _read(image: Image, some: slice, normalisation: Normalisation | None) -> NDArray[np.float64]:
    """Return some objects in normalised intensities, shape (n, channels, y, x)."""
    pixels = image.read((some, *(slice(0, size) for size in image.shape[1:]))).astype(np.float64)
    pixels = pixels if pixels.ndim == 4 else pixels[:, None]
    if normalisation is None:
        return pixels
    offset, gain = (
        np.broadcast_to(np.asarray(values, np.float64), (pixels.shape[1],))[:, None, None]
        for values in (normalisation.offset, normalisation.gain)
    )
    normalised: NDArray[np.float64] = (pixels - offset) / gain
    return normalised


def _labels(stack: Image) -> NDArray[np.int64]:
    try:
        return open_crops(stack).table.labels
    except InputError:
        return np.arange(1, stack.shape[0] + 1)
