"""Writing a cube of m/z bands as processed imzML, a tile of pixels at a time.

pyimzML's writer is not used: it keeps every spectrum's entry and the whole XML in memory until the end, and knows no
pixel size.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import uuid
from contextlib import ExitStack
from importlib.metadata import version
from itertools import product
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal
from xml.sax.saxutils import quoteattr

import numpy as np

from scalesr.errors import InputError, OutputError
from scalesr.images.axes import metres
from scalesr.images.faults import writing
from scalesr.images.importing.companions import open_companion
from scalesr.images.importing.imzml_settings import UNIT_ACCESSIONS
from scalesr.images.spectral import read_spectral

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import zarr
    from numpy.typing import NDArray

    from scalesr.images.image import Image
    from scalesr.images.spectral import SpectralAxis

_TILE_BYTES = 32 << 20
_FORMATS = {"float32": ("MS:1000521", "32-bit float"), "float64": ("MS:1000523", "64-bit float")}
_POLARITIES = {"positive": ("MS:1000130", "positive scan"), "negative": ("MS:1000129", "negative scan")}

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<mzML xmlns="http://psi.hupo.org/ms/mzml" version="1.1.0">
<cvList count="3">
<cv id="MS" fullName="Proteomics Standards Initiative Mass Spectrometry Ontology" URI="http://psidev.info/ms/mzML/psi-ms.obo"/>
<cv id="UO" fullName="Unit Ontology" URI="http://ontologies.berkeleybop.org/uo.obo"/>
<cv id="IMS" fullName="Mass Spectrometry Imaging Ontology" URI="https://raw.githubusercontent.com/imzML/imzML/master/imagingMS.obo"/>
</cvList>
<fileDescription><fileContent>
{ms1}
{centroid}
{processed}
{uuid}
{sha1}
</fileContent></fileDescription>
<referenceableParamGroupList count="3">
<referenceableParamGroup id="mzArray">
{raw}
<cvParam cvRef="MS" accession="MS:1000514" name="m/z array" value="" unitCvRef="MS" unitAccession="MS:1000040" unitName="m/z"/>
{external}
{mz_format}
</referenceableParamGroup>
<referenceableParamGroup id="intensityArray">
{raw}
<cvParam cvRef="MS" accession="MS:1000515" name="intensity array" value="" unitCvRef="MS" unitAccession="MS:1000131" unitName="number of detector counts"/>
{external}
{intensity_format}
</referenceableParamGroup>
<referenceableParamGroup id="spectrum1">
{ms1}
{centroid}
{polarity}</referenceableParamGroup>
</referenceableParamGroupList>
<softwareList count="1"><software id="scalesr" version={version}>
<cvParam cvRef="MS" accession="MS:1000799" name="custom unreleased software tool" value="scalesr"/>
</software></softwareList>
<scanSettingsList count="1"><scanSettings id="scanSettings1">
{settings}
</scanSettings></scanSettingsList>
<instrumentConfigurationList count="1"><instrumentConfiguration id="IC1"/></instrumentConfigurationList>
<dataProcessingList count="1"><dataProcessing id="export"><processingMethod order="0" softwareRef="scalesr">
<cvParam cvRef="MS" accession="MS:1000544" name="Conversion to mzML" value=""/>
</processingMethod></dataProcessing></dataProcessingList>
<run id="run1" defaultInstrumentConfigurationRef="IC1">
<spectrumList count="{count}" defaultDataProcessingRef="export">
"""  # noqa: E501
_SPECTRUM = """<spectrum id="Scan={number}" index="{index}" defaultArrayLength="0">
<referenceableParamGroupRef ref="spectrum1"/>
<cvParam cvRef="MS" accession="MS:1000285" name="total ion current" value="{total:.9g}"/>
<scanList count="1"><cvParam cvRef="MS" accession="MS:1000795" name="no combination" value=""/><scan>
{position}
</scan></scanList>
<binaryDataArrayList count="2">
<binaryDataArray encodedLength="0"><referenceableParamGroupRef ref="mzArray"/>
{mz}
<binary/></binaryDataArray>
<binaryDataArray encodedLength="0"><referenceableParamGroupRef ref="intensityArray"/>
{intensity}
<binary/></binaryDataArray>
</binaryDataArrayList></spectrum>
"""
_TAIL = "</spectrumList>\n</run>\n</mzML>\n"


def export_imzml(
    image: Image, path: str | os.PathLike[str], *, mode: Literal["create", "overwrite"] = "create"
) -> tuple[Path, Path]:
    """Write a cube of m/z bands as processed imzML; importing it with the same m/z gives the same cube.

    Each pixel becomes a spectrum of its bands that are not zero, and of a single zero where all are. Pixels that the
    ``mask`` beside the image leaves out get none. Positions start at 1. m/z are 64-bit; intensities are 32-bit floats,
    or 64-bit ones where those would round. Spectra follow one another tile by tile of the image's chunks, and by rows
    in each; memory stays at a few copies of a tile of 32 MiB. Both files appear only when whole.

    Parameters
    ----------
    image
        Axes (c, y, x) or (c, z, y, x), with m/z beside it.
    path
        A local file that ends with ``.imzML``; the ``.ibd`` goes beside it.
    mode
        ``overwrite`` replaces files that are there.

    Returns
    -------
    tuple of Path
        The ``.imzML`` and the ``.ibd``.

    Raises
    ------
    InputError
        The image has other axes or no m/z, or values that are not finite.
    OutputError
        The files exist, or cannot be written.
    """
    axis = _check(image)
    target = Path(path).expanduser().absolute()
    if target.suffix.lower() != ".imzml":
        raise OutputError(f"{target} does not end with .imzML.", remedy="Give it that ending.")
    ibd = target.with_suffix(".ibd")
    taken = [str(file) for file in (target, ibd) if file.exists()]
    if taken and mode == "create":
        raise OutputError(f"{' and '.join(taken)} already exist(s).", remedy="Choose another name, or overwrite.")
    with writing(str(target)), tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.stem}-") as folder:
        place = Path(folder)
        with ExitStack() as stack:
            data = stack.enter_context((place / "ibd").open("wb"))
            entries = stack.enter_context((place / "spectra").open("w+", encoding="utf-8"))
            xml = stack.enter_context((place / "imzML").open("w", encoding="utf-8"))
            identity = uuid.uuid4()
            count, digest = _write_spectra(image, axis, data, entries, identity=identity)
            xml.write(_head(image, axis, identity=identity, sha1=digest, count=count))
            entries.seek(0)
            shutil.copyfileobj(entries, xml)
            xml.write(_TAIL)
        # The XML comes last: without it nobody takes the .ibd for a whole file.
        target.unlink(missing_ok=True)
        (place / "ibd").replace(ibd)
        (place / "imzML").replace(target)
    return target, ibd


def _check(image: Image) -> SpectralAxis:
    if image.axis_names not in (("c", "y", "x"), ("c", "z", "y", "x")):
        raise InputError(
            f"{image.url} has the axes {', '.join(image.axis_names)}; imzML holds c, y, x or c, z, y, x.",
            remedy="Export one time point of one spectral image.",
        )
    axis = read_spectral(image)
    if axis is None or axis.quantity != "m/z":
        raise InputError(f"{image.url} has no m/z beside it.", remedy="Write them there first, as scalesr import does.")
    if np.unique(axis.values).size < axis.values.size:
        raise InputError(f"{image.url} has bands of the same m/z.", remedy="Keep one band for each m/z.")
    return axis


def _write_spectra(
    image: Image, axis: SpectralAxis, data: IO[bytes], entries: IO[str], *, identity: uuid.UUID
) -> tuple[int, str]:
    """Write the arrays, and an XML entry for each; return the number of spectra and the SHA-1 of the arrays."""
    order = np.argsort(axis.values)
    mz = axis.values[order].astype("<f8")
    number_format = np.dtype(_intensity_format(image)).newbyteorder("<")
    mask = open_companion(image, "mask")
    digest = hashlib.sha1(identity.bytes, usedforsecurity=False)
    at = data.write(identity.bytes)
    count = 0
    for region in _tiles(image):
        pixels = image.read((slice(0, image.shape[0]), *region))[order].astype(number_format, copy=False)
        if not np.isfinite(pixels).all():
            raise InputError(
                f"{image.url} has values that are not finite, which imzML cannot say.", remedy="Replace them first."
            )
        columns = np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
        for index in np.ndindex(*columns.shape[:-1]) if mask is None else np.argwhere(_valid(mask, region)).tolist():
            values = columns[tuple(index)]
            kept = np.flatnonzero(values)
            if kept.size == 0:
                kept = np.zeros(1, np.intp)
            content = mz[kept].tobytes(), values[kept].tobytes()
            position = [piece.start + i for piece, i in zip(region, index, strict=True)]
            entries.write(_entry(count, position, float(values.sum(dtype=np.float64)), kept.size, at, content))
            for part in content:
                at += data.write(part)
                digest.update(part)
            count += 1
    if count == 0:
        raise InputError(f"{image.url} has no pixel that its mask keeps.", remedy="Check the mask.")
    return count, digest.hexdigest()


def _intensity_format(image: Image) -> str:
    # Integers of more than 16 bits have more digits than 32-bit floats.
    exact = image.dtype.itemsize <= (4 if image.dtype.kind == "f" else 2)
    return "float32" if exact else "float64"


def _valid(mask: zarr.Array[Any], region: tuple[slice, ...]) -> NDArray[Any]:
    return np.asarray(mask[region])


def _tiles(image: Image) -> Iterator[tuple[slice, ...]]:
    """Give spatial regions of whole chunks, or of parts of them where whole ones hold too much."""
    level = image.levels[0]
    edges = list(level.chunks[1:])
    while prod(edges) * image.shape[0] * image.dtype.itemsize > _TILE_BYTES and max(edges) > 1:
        widest = max(range(len(edges)), key=lambda i: edges[i])
        edges[widest] = -(-edges[widest] // 2)
    steps = [range(0, n, edge) for n, edge in zip(level.shape[1:], edges, strict=True)]
    for starts in product(*steps):
        yield tuple(
            slice(start, min(start + edge, n)) for start, edge, n in zip(starts, edges, level.shape[1:], strict=True)
        )


def _term(accession: str, name: str, value: object = "", *, unit: str | None = None) -> str:
    cv = accession.split(":")[0]
    measure = f' unitCvRef="UO" unitAccession="{UNIT_ACCESSIONS[unit]}" unitName="{unit}"' if unit is not None else ""
    return f'<cvParam cvRef="{cv}" accession="{accession}" name="{name}" value={quoteattr(str(value))}{measure}/>'


def _entry(index: int, position: list[int], total: float, points: int, at: int, content: tuple[bytes, bytes]) -> str:
    places = [
        _term(f"IMS:{1000050 + i}", f"position {name}", place + 1)
        for i, (name, place) in enumerate(zip("xyz", reversed(position), strict=False))
    ]
    arrays = []
    for part in content:
        terms = (
            _term("IMS:1000103", "external array length", points),
            _term("IMS:1000104", "external encoded length", len(part)),
            _term("IMS:1000102", "external offset", at),
        )
        arrays.append("\n".join(terms))
        at += len(part)
    return _SPECTRUM.format(
        number=index + 1, index=index, total=total, position="\n".join(places), mz=arrays[0], intensity=arrays[1]
    )


def _head(image: Image, axis: SpectralAxis, *, identity: uuid.UUID, sha1: str, count: int) -> str:
    polarity = _POLARITIES.get(str(axis.attributes.get("polarity")))
    return _HEAD.format(
        ms1=_term("MS:1000579", "MS1 spectrum"),
        centroid=_term("MS:1000127", "centroid spectrum"),
        processed=_term("IMS:1000031", "processed"),
        uuid=_term("IMS:1000080", "universally unique identifier", f"{{{str(identity).upper()}}}"),
        sha1=_term("IMS:1000091", "ibd SHA-1", sha1.upper()),
        raw=_term("MS:1000576", "no compression"),
        external=_term("IMS:1000101", "external data", "true"),
        mz_format=_term(*_FORMATS["float64"]),
        intensity_format=_term(*_FORMATS[_intensity_format(image)]),
        polarity="" if polarity is None else _term(*polarity) + "\n",
        version=quoteattr(version("scalesr")),
        settings="\n".join(_settings(image)),
        count=count,
    )


def _settings(image: Image) -> Iterator[str]:
    yield _term("IMS:1000042", "max count of pixels x", image.shape[-1])
    yield _term("IMS:1000043", "max count of pixels y", image.shape[-2])
    for number, name, place in ((1000046, "pixel size (x)", -1), (1000047, "pixel size y", -2)):
        size, unit = image.pixel_sizes[place], image.axes[place].unit
        metre = metres(unit)
        # Without a unit, the scale is no size; a reader would take it for micrometres.
        if metre is not None:
            known = unit in UNIT_ACCESSIONS
            yield _term(
                f"IMS:{number}", name, size if known else size * metre * 1e6, unit=unit if known else "micrometer"
            )
