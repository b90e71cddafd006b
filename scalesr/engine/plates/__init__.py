"""Runs of plates: fields side by side through one executor and one model."""

from scalesr.engine.plates.outcome import FieldEnded, FieldOutcome, FieldTold, PlateResult
from scalesr.engine.plates.preparing import NormaliseBy, PreparedPlate, prepare_plate
from scalesr.engine.plates.running import check_plate_target, run_plate
from scalesr.engine.plates.verifying import verify_plate

__all__ = [
    "FieldEnded",
    "FieldOutcome",
    "FieldTold",
    "NormaliseBy",
    "PlateResult",
    "PreparedPlate",
    "check_plate_target",
    "prepare_plate",
    "run_plate",
    "verify_plate",
]
