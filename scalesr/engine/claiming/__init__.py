"""Several processes at one output without anybody who deals out the work: claims, heartbeats, and who joins when."""

from scalesr.engine.claiming.alone import ensure_alone
from scalesr.engine.claiming.crew import Crew, joined
from scalesr.engine.claiming.leaving import LEAVE, told_to_leave
from scalesr.engine.claiming.shift import Shift

__all__ = ["LEAVE", "Crew", "Shift", "ensure_alone", "joined", "told_to_leave"]
