"""The page of the metrics, made of their catalogue and their makers' docstrings."""  # noqa: INP001

from __future__ import annotations

import inspect
import sys

from scalesr.metrics.catalogue import MAKERS
from scalesr.metrics.summaries import SUMMARIES

HEAD = """# Metrics

What `scalesr measure --metrics` and `scalesr.measure(metrics=...)` know, in the order of a report. Each figure says on
how much it stands, what was left out and why. [How figures are made](../explanation/metrics.md) tells why they do not
depend on blocks; [which to trust](../tutorials/metrics.md) is a tutorial.

| Name | Says |
|---|---|
"""


def metrics_page() -> str:
    """Return a table of all metrics, and what the file of each tells of its definition and source."""
    rows = "".join(f"| [`{name}`](#{name}) | {SUMMARIES[name]} |\n" for name in MAKERS)
    parts = [HEAD + rows]
    for name, maker in MAKERS.items():
        module = sys.modules[maker.__module__]
        parts.append(f"## `{name}` {{ #{name} }}\n")
        parts.append(inspect.cleandoc(module.__doc__ or ""))
        parts.append("")
    return "\n".join(parts)
