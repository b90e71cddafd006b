"""Runs a plan: tasks, the window of blocks in flight, executors, the ledger, devices and events."""

from scalesr.engine.ahead import plan
from scalesr.engine.events import (
    BatchReduced,
    BlockDone,
    BlockGivenUp,
    BlockLost,
    BlockReport,
    BlockRetried,
    BlockSlow,
    Callback,
    ClusterAway,
    ClusterBack,
    Event,
    RunFinished,
    RunStarted,
    StageAdvanced,
    StageStarted,
    Trouble,
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
    verify_plate,
)
from scalesr.engine.preparing import Prepared, check_memory, empty_subject, prepare, subject_of
from scalesr.engine.repairing import Repair, repair
from scalesr.engine.rereading import Fault
from scalesr.engine.running import Result
from scalesr.engine.settling import check_target
from scalesr.engine.starting import run
from scalesr.engine.verifying import Verification, verify

__all__ = [
    "BatchReduced",
    "BlockDone",
    "BlockGivenUp",
    "BlockLost",
    "BlockReport",
    "BlockRetried",
    "BlockSlow",
    "Callback",
    "ClusterAway",
    "ClusterBack",
    "Demand",
    "Event",
    "Fault",
    "FieldEnded",
    "FieldOutcome",
    "FieldTold",
    "Options",
    "PlateResult",
    "Prepared",
    "PreparedPlate",
    "Repair",
    "Result",
    "RunFinished",
    "RunStarted",
    "StageAdvanced",
    "StageStarted",
    "Term",
    "Trouble",
    "Verification",
    "Workers",
    "check_memory",
    "check_plate_target",
    "check_target",
    "empty_subject",
    "lazy",
    "measure",
    "plan",
    "prepare",
    "prepare_plate",
    "repair",
    "run",
    "subject_of",
    "verify",
    "verify_plate",
]
