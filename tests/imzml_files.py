"""Small imzML pairs written term by term, so that each can be wrong in its own way."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import ArrayLike

RAW = '<cvParam accession="MS:1000576" name="no compression"/>'
ZLIB = '<cvParam accession="MS:1000574" name="zlib compression"/>'
FORMATS = {
    "f4": '<cvParam accession="MS:1000521" name="32-bit float"/>',
    "f8": '<cvParam accession="MS:1000523" name="64-bit float"/>',
    "i4": '<cvParam accession="MS:1000519" name="32-bit integer"/>',
    "i8": '<cvParam accession="MS:1000522" name="64-bit integer"/>',
}
MICROMETRES = 'unitAccession="UO:0000017" unitName="micrometer"'


def size_terms(x: float, y: float | None = None, unit: str = MICROMETRES) -> str:
    text = f'<cvParam accession="IMS:1000046" name="pixel size (x)" value="{x}" {unit}/>'
    return text if y is None else text + f'<cvParam accession="IMS:1000047" name="pixel size y" value="{y}" {unit}/>'


@dataclass(kw_only=True)
class Pair:
    """What is written; the defaults are a file without fault."""

    spectra: Sequence[tuple[tuple[int, ...], ArrayLike, ArrayLike]]
    """Position x, y and maybe z; m/z; intensities."""
    mz_format: str = "f8"
    intensity_format: str = "f4"
    terms: dict[str, str] = field(default_factory=dict)
    """More terms of the groups ``mzArray`` and ``intensityArray``."""
    packing: str = RAW
    settings: tuple[str, ...] = (size_terms(50, 50),)
    content: str = '<cvParam accession="MS:1000127" name="centroid spectrum"/>'
    said: uuid.UUID | None = None
    """UUID of the XML, where it is not that of the data."""
    windows: bool = False
    """Write the UUID as Windows keeps it."""
    shared: bool = False
    """One m/z array for all."""

    def write(self, path: Path, *, ibd: str = ".ibd") -> Path:
        identity = uuid.uuid4()
        data = bytearray(identity.bytes_le if self.windows else identity.bytes)
        entries, first = [], None
        for position, mz, values in self.spectra:
            offsets = []
            for part, form in ((mz, self.mz_format), (values, self.intensity_format)):
                if part is mz and self.shared and first is not None:
                    offsets.append(first)
                    continue
                offsets.append(len(data))
                first = offsets[0] if first is None else first
                data += np.asarray(part, dtype=f"<{form}").tobytes()
            entries.append(_entry(position, offsets, [np.size(mz), np.size(values)]))
        path.with_suffix(ibd).write_bytes(data)
        groups = "".join(
            f'<referenceableParamGroup id="{name}">{self.packing}<cvParam accession="{term}" name="{words}"/>'
            f"{FORMATS.get(form, '')}{self.terms.get(name, '')}</referenceableParamGroup>"
            for name, term, words, form in (
                ("mzArray", "MS:1000514", "m/z array", self.mz_format),
                ("intensityArray", "MS:1000515", "intensity array", self.intensity_format),
            )
        )
        settings = "".join(f'<scanSettings id="s{i}">{text}</scanSettings>' for i, text in enumerate(self.settings))
        path.write_text(
            '<?xml version="1.0"?><mzML xmlns="http://psi.hupo.org/ms/mzml"><fileDescription><fileContent>'
            f'{self.content}<cvParam accession="IMS:1000080" name="universally unique identifier" '
            f'value="{{{self.said or identity}}}"/></fileContent></fileDescription>'
            f"<referenceableParamGroupList>{groups}</referenceableParamGroupList>"
            f"<scanSettingsList>{settings}</scanSettingsList><instrumentConfigurationList/>"
            f"<run><spectrumList>{''.join(entries)}</spectrumList></run></mzML>"
        )
        return path


def _entry(position: tuple[int, ...], offsets: list[int], lengths: list[Any]) -> str:
    places = "".join(
        f'<cvParam accession="IMS:{1000050 + i}" name="position {"xyz"[i]}" value="{place}"/>'
        for i, place in enumerate(position)
    )
    arrays = "".join(
        f'<binaryDataArray><referenceableParamGroupRef ref="{name}"/>'
        f'<cvParam accession="IMS:1000103" name="external array length" value="{length}"/>'
        f'<cvParam accession="IMS:1000102" name="external offset" value="{offset}"/></binaryDataArray>'
        for name, offset, length in zip(("mzArray", "intensityArray"), offsets, lengths, strict=True)
    )
    return (
        f"<spectrum><scanList><scan>{places}</scan></scanList><binaryDataArrayList>{arrays}</binaryDataArrayList>"
        "</spectrum>"
    )
