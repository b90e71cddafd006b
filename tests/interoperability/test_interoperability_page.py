"""The tables of docs/interoperability.md name just those cells that are tested.

``PYTHONPATH=tests python tests/interoperability/test_interoperability_page.py`` writes them anew.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interoperability.exchanged import SAMPLES, VERSIONS
from interoperability.known import TROUBLE
from interoperability.readers import READERS, SAYS
from interoperability.test_read_elsewhere import cells as reading
from interoperability.test_written_elsewhere import cells as writing
from interoperability.writers import WRITERS

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = Path(__file__).parents[2] / "docs" / "interoperability.md"
TITLES = {
    "ome-zarr": "ome-zarr-py",
    "dask": "zarr-python and dask",
    "bioio-ome-zarr": "bioio with bioio-ome-zarr",
    "bioformats2raw": "bioformats2raw, its documented layout",
    "tifffile and scalesr import": "tifffile, then `scalesr import`",
    "tifffile and ngff-zarr": "tifffile, then ngff-zarr",
    "xarray with engine='scalesr'": "xarray with `engine='scalesr'`",
}
WITHOUT_VERSION = ("bioformats2raw",)
"""What is no package of Python, and was not run."""
_VERSION = re.compile(r"\| [0-9][^|]* \|")


def table(kind: str, given: Iterable[Any], names: Iterable[str]) -> str:
    """Return a table with a column for each sample and version, and a row for each reader or writer."""
    tested = {(values[0], values[1], values[2]) for values in (each.values for each in given)}
    heads = [f"{sample}, {number}" for sample in SAMPLES for number in VERSIONS]
    rows = [[kind, "version", *heads, *(["also compared"] if kind == "Reader" else [])]]
    rows.append(["---"] * len(rows[0]))
    for name in names:
        row = [TITLES.get(name, name), told_version(name)]
        for sample in SAMPLES:
            for number in VERSIONS:
                cell = (name, sample, number)
                row.append("" if cell not in tested else "no (*)" if cell in TROUBLE else "yes")
        rows.append([*row, *([", ".join(SAYS[name]) or "only pixels"] if kind == "Reader" else [])])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    reasons = dict.fromkeys(why for (name, *_), why in TROUBLE.items() if name in set(names))
    return "\n".join([*lines, *(f"\n(*) {why}." for why in reasons)])


def told_version(name: str) -> str:
    """Return the version of the package whose name a row begins with."""
    return "not run" if name in WITHOUT_VERSION else version(name.split()[0])


def with_tables(text: str) -> str:
    """Return the page with its tables as they are to be."""
    for title, made in (
        ("read", table("Reader", reading(), READERS)),
        ("written", table("Writer", writing(), WRITERS)),
    ):
        text = re.sub(
            rf"(?s)(<!-- table: {title} -->).*?(<!-- end -->)",
            lambda found, made=made: f"{found[1]}\n\n{made}\n\n{found[2]}",  # type: ignore[misc]
            text,
        )
    return text


def test_the_page_has_the_tables_of_the_tests() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("<!-- table: ") == 2
    # A newer version that passes is no reason to write the page anew.
    assert _VERSION.sub("| |", with_tables(page)) == _VERSION.sub("| |", page), "run this file to write the page anew"


def test_no_cell_is_left_out() -> None:
    for given, names in ((reading(), READERS), (writing(), WRITERS)):
        tested = {tuple(each.values) for each in given}
        assert {name for name, *_ in tested} == set(names)
        assert {key for key in TROUBLE if key[0] in names} <= tested


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
