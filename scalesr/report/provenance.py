"""What an output was made from, with what, and under which licence: everything that its ledger notes, for people."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalesr.models.catalogue import weights_of
from scalesr.report.parts import Table
from scalesr.secrecy import without_secrets

if TYPE_CHECKING:
    from scalesr.engine.ledger import Manifest
    from scalesr.report.parts import Fact

LICENCE = "- Licence of the weights:"
"""How the line of a card begins that says under which licence its weights are."""
INTERPOLATIONS = ("nearest", "linear", "cubic", "identity")
SHOWN = 400
"""Longest text of a value that is shown."""
VERSIONS = ("scalesr", "torch", "numpy", "zarr", "dask", "distributed", "python")
HASHES = {
    "plan": "plan",
    "model": "model: its weights, or the source of an interpolation",
    "input": "metadata of the input",
    "mask": "mask",
    "eigenimages": "basis of the eigenimages",
}
"""What of the identity of a run is a hash, by its name there; that of the plan is taken of it."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is known of the weights of a model."""

    name: str
    """Of the model."""
    licence: str
    """In words; also where there is none, or none is known."""
    text: str
    """The whole card; empty where there is none."""


def card_of(model: str) -> Card:
    """Return what is known of a model by its name in a manifest: ``builtin:hyres-x4``, ``file:net.safetensors``."""
    kind, _, name = model.partition(":")
    if kind == "builtin" and name in INTERPOLATIONS:
        return Card(name=name, licence="an interpolation: there are no weights", text="")
    if kind == "builtin":
        folder = weights_of(name).parent
        cards = [path for path in folder.glob("*.md") if name == path.stem or name.startswith(f"{path.stem}-")]
        if cards:
            text = max(cards, key=lambda path: len(path.stem)).read_text(encoding="utf-8")
            found = [line.removeprefix(LICENCE).strip() for line in text.splitlines() if line.startswith(LICENCE)]
            return Card(name=name, licence=found[0].split(". ")[0].rstrip(".") if found else "see its card", text=text)
    shown = Path(name).name if kind == "file" else name
    return Card(name=shown or model, licence="not known: ask who made the weights", text="")


def input_facts(manifest: Manifest, card: Card) -> tuple[Fact, ...]:
    """Return what an output was made from and by which model."""
    identity, provenance = manifest.identity, manifest.provenance
    facts = [
        ("input", _text(provenance.get("source"))),
        ("level of the input", _text(identity.get("input level", 0))),
        ("model", _text(provenance.get("model"))),
        ("licence of the weights", card.licence),
    ]
    normalisation = identity.get("normalisation")
    if isinstance(normalisation, dict):
        facts.append(("normalised by", _text(normalisation.get("origin"))))
        facts += [(name, _numbers(normalisation.get(name))) for name in ("offset", "gain")]
    return tuple(facts)


def version_table(manifest: Manifest) -> Table:
    """Return versions, the class of the device, and the machine."""
    known = {**manifest.provenance, "torch": manifest.identity.get("torch")}
    rows = [(name, _text(known[name])) for name in VERSIONS if known.get(name) is not None]
    rows.append(("class of the device", _text(manifest.identity.get("device class"))))
    if "machine" in manifest.provenance:
        rows.append(("machine", _text(manifest.provenance["machine"])))
    return Table(caption="Versions", headers=("what", "version"), rows=tuple(rows))


def hash_table(manifest: Manifest, *, plan: str | None) -> Table:
    """Return the hashes that must be equal for the same bytes.

    Parameters
    ----------
    manifest
        Of the run.
    plan
        Hash of its plan, if it has one for all.
    """
    found: dict[str, Any] = {name: manifest.identity.get(name) for name in HASHES}
    found["plan"] = plan
    if isinstance(found["model"], list):
        found["model"] = found["model"][-1]
    rows = [(HASHES[name], _text(value)) for name, value in found.items() if value is not None]
    return Table(caption="SHA-256", headers=("of", "hash"), rows=tuple(rows))


def option_table(options: dict[str, Any]) -> Table:
    """Return the options of a run, as it noted them."""
    rows = [(name, _text(value)) for name, value in sorted(options.items())]
    return Table(caption="Options of the run", headers=("option", "value"), rows=tuple(rows))


def _text(value: Any) -> str:
    if value is None:
        return "not given"
    text = value if isinstance(value, str) else json.dumps(value)
    text = without_secrets(text)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "\u2026"


def _numbers(value: Any) -> str:
    if not isinstance(value, list) or not all(isinstance(number, int | float) for number in value):
        return _text(value)
    shown = ", ".join(f"{number:.6g}" for number in value[:8])
    return shown + (f", ... ({len(value):,} channels)" if len(value) > 8 else "")
