"""Runs a plan: tasks, the window of blocks in flight, executors, the ledger, devices and events."""

from scalesr.engine.events import (
    BatchReduced,
    BlockDone,
    BlockReport,
    BlockRetried,
    Callback,
    Event,
    RunFinished,
    RunStarted,
    StageAdvanced,
    StageStarted,
)
from scalesr.engine.lazy_array import lazy
from scalesr.engine.measuring import measure
from scalesr.engine.memory import Demand, Term, Workers
from scalesr.engine.options import Options
from scalesr.engine.plates import (
    FieldEnded,
    FieldOutcome,
    FieldTold,
    PlateResult,
    PreparedPlate,
    check_plate_target,
    prepare_plate,
)
from scalesr.engine.preparing import Prepared, check_memory, empty_subject, prepare, subject_of
from scalesr.engine.running import Result
from scalesr.engine.settling import check_target
from scalesr.engine.starting import run

__all__ = [
    "BatchReduced",
    "BlockDone",
    "BlockReport",
    "BlockRetried",
    "Callback",
    "Demand",
    "Event",
    "FieldEnded",
    "FieldOutcome",
    "FieldTold",
    "Options",
    "PlateResult",
    "Prepared",
    "PreparedPlate",
    "Result",
    "RunFinished",
    "RunStarted",
    "StageAdvanced",
    "StageStarted",
    "Term",
    "Workers",
    "check_memory",
    "check_plate_target",
    "check_target",
    "empty_subject",
    "lazy",
    "measure",
    "prepare",
    "prepare_plate",
    "run",
    "subject_of",
]
