"""What a projection reckons with that only its user can know: how fast a kind of machine is, and what things cost.

No price list is built in, and none is fetched: prices differ by region, contract and day.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from difflib import get_close_matches
from math import inf
from typing import TYPE_CHECKING, Any, Self

from scalesr.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping

GIGABYTE = 1e9
"""Bytes of what prices are for; decimal, as storage is sold."""
TOGETHER = 1000
"""Requests of what prices are for."""
KINDS = "kinds"
"""Where kinds of machines stand among the rates."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A kind of worker, with one inference at a time."""

    name: str = ""
    """What its user calls it."""
    speed: float | None = None
    """How many times as fast as this machine it infers, one inference at a time on either; 1 when not given."""
    tflops: float | None = None
    """Its speed in 10^12 operations a second, for models that count theirs, in place of `speed`."""
    hour: float | None = None
    """Price of an hour of one worker."""
    start: float = 0.0
    """Seconds that pass, and are paid, until a worker works."""
    bandwidth: float | None = None
    """Bytes a second that one worker exchanges with storage at most."""


@dataclass(frozen=True, kw_only=True)
class Prices:
    """What storage costs and bears."""

    read: float | None = None
    """Price of 1,000 requests that read."""
    write: float | None = None
    """Price of 1,000 requests that write."""
    list: float | None = None
    """Price of 1,000 requests that list."""
    out: float | None = None
    """Price of a gigabyte that leaves the storage for the workers; nothing where they are in its region."""
    stored: float | None = None
    """Price of a gigabyte that is kept for a month."""
    store_bandwidth: float | None = None
    """Bytes a second that the storage exchanges with all workers together at most."""
    currency: str = ""
    """What the prices are in."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """All that a projection is told."""

    machine: Machine
    """The kind of worker."""
    prices: Prices
    """Storage."""

    @classmethod
    def of(cls, values: Mapping[str, Any], *, kind: str | None = None) -> Self:
        """Return the rates that a mapping holds.

        Parameters
        ----------
        values
            Fields of `Machine` and `Prices` by their names, and under ``kinds`` one mapping of the former for each kind
            of machine, which wins over what stands beside it.
        kind
            Which of these; its name only where there are no kinds.

        Raises
        ------
        PlanError
            A name is unknown or a value is no number; or there is no such kind.
        """
        kinds = values.get(KINDS) or {}
        if not isinstance(kinds, dict) or not all(isinstance(one, dict) for one in kinds.values()):
            raise PlanError(
                f"{KINDS} among the rates is no list of machines.",
                remedy="Write the name of each kind, and below it its speed, hour, start or bandwidth.",
            )
        if kind is not None and kinds and kind not in kinds:
            near = get_close_matches(kind, map(str, kinds), n=1)
            raise PlanError(
                f"There is no kind of machine {kind!r} among the rates.",
                remedy=f"Did you mean {near[0]}?" if near else f"Those that are there: {', '.join(map(str, kinds))}.",
            )
        flat = {name: value for name, value in values.items() if name != KINDS}
        machines = _checked({**flat, **(kinds.get(kind, {}) if kind is not None else {})})
        found = cls(
            machine=Machine(**{"name": kind or "", **_part(machines, Machine)}), prices=Prices(**_part(flat, Prices))
        )
        if found.machine.speed is not None and found.machine.tflops is not None:
            raise PlanError(
                "speed and tflops both say how fast a worker is.",
                remedy="Give speed, in times this machine; or tflops, for a model that counts its operations.",
            )
        return found


def _part(values: Mapping[str, Any], of: type[Machine | Prices]) -> dict[str, Any]:
    return {field.name: values[field.name] for field in fields(of) if field.name in values and field.name != "name"}


def _checked(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return values after refusing what is unknown, no number, or less than nothing."""
    known = [field.name for of in (Machine, Prices) for field in fields(of) if field.name != "name"]
    for name, value in values.items():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise PlanError(
                f"There is no rate {name!r}.",
                remedy=f"Did you mean {near[0]}?" if near else f"Give some of {', '.join(known)}.",
            )
        if name == "currency":
            if not isinstance(value, str):
                raise PlanError(f"The currency {value!r} is no word.", remedy="Give one such as EUR.")
            continue
        # What costs or takes nothing can be; what does nothing cannot.
        least = 1e-300 if name in ("speed", "tflops", "bandwidth", "store_bandwidth") else 0.0
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < inf:
            raise PlanError(
                f"The rate {name} is {value!r}, which is no {'number above' if least else 'price or time from'} 0.",
                remedy=f"Give a number, such as {name}=2.5.",
            )
    return values
