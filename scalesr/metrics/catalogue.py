"""The metrics by name. Adding one is a file and an entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from scalesr.errors import InputError
from scalesr.metrics.beyond import make_beyond_nyquist
from scalesr.metrics.consistency import make_consistency
from scalesr.metrics.decorrelation import make_decorrelation
from scalesr.metrics.ergas import make_ergas
from scalesr.metrics.frame import Frame, Settings
from scalesr.metrics.frc import make_frc, make_fsc
from scalesr.metrics.frechet import make_fid
from scalesr.metrics.kernel import make_kid
from scalesr.metrics.metric import Metric
from scalesr.metrics.ms_ssim import make_ms_ssim
from scalesr.metrics.pixel import make_mae, make_nrmse, make_pearson, make_psnr, make_rmse
from scalesr.metrics.sam import make_sam
from scalesr.metrics.seam import make_seam
from scalesr.metrics.single import make_frc_single
from scalesr.metrics.slices import make_slice_fid, make_slice_fid_released
from scalesr.metrics.split import make_frc_split
from scalesr.metrics.squirrel import make_rse, make_rsp
from scalesr.metrics.ssim import make_ssim
from scalesr.metrics.uqi import make_uqi

Maker = Callable[[Frame, Settings], Metric]
"""Makes a metric for the images and settings at hand, or refuses with an `InputError`."""

MAKERS: Mapping[str, Maker] = {
    "mae": make_mae,
    "rmse": make_rmse,
    "nrmse": make_nrmse,
    "psnr": make_psnr,
    "pearson": make_pearson,
    "sam": make_sam,
    "ergas": make_ergas,
    "ssim": make_ssim,
    "ms_ssim": make_ms_ssim,
    "uqi": make_uqi,
    "frc": make_frc,
    "fsc": make_fsc,
    "frc_split": make_frc_split,
    "frc_single": make_frc_single,
    "decorrelation": make_decorrelation,
    "fid": make_fid,
    "kid": make_kid,
    "slice_fid": make_slice_fid,
    "slice_fid_released": make_slice_fid_released,
    "consistency": make_consistency,
    "rse": make_rse,
    "rsp": make_rsp,
    "beyond_nyquist": make_beyond_nyquist,
    "seam": make_seam,
}
"""One entry for each metric, in the order of a report."""


def make_metrics(names: Sequence[str], frame: Frame, settings: Settings) -> list[Metric]:
    """Return the metrics of some names.

    Raises
    ------
    InputError
        A name is unknown, or a metric cannot be measured on these images with these settings.
    """
    unknown = [name for name in names if name not in MAKERS]
    if unknown:
        raise InputError(
            f"There is no metric named {', '.join(map(repr, unknown))}.", remedy=f"Choose from: {', '.join(MAKERS)}."
        )
    return [MAKERS[name](frame, settings) for name in dict.fromkeys(names)]
