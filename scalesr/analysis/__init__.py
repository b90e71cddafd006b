"""What is asked of restored images: segments, classes, spectra, profiles, other modalities, resolution.

Each question is a function of images in storage that may be larger than memory, and each answer a frozen value that
shows its figures as rows and, where it is one, as a picture. `segment` and `classify` need scikit-learn.
"""

from __future__ import annotations

from scalesr.analysis.agreement import Agreement, agreement
from scalesr.analysis.classification import Classification, classify
from scalesr.analysis.clusters import Clusters
from scalesr.analysis.concordance import Concordance, concordance
from scalesr.analysis.effective_psf import EffectivePSF, effective_psf
from scalesr.analysis.linescan import Linescan, linescan
from scalesr.analysis.mean_spectra import MeanSpectra, mean_spectra
from scalesr.analysis.resolution import ResolutionEstimate, estimated_resolution
from scalesr.analysis.roc import Roc
from scalesr.analysis.segmentation import Segmentation, assign, segment

__all__ = [
    "Agreement",
    "Classification",
    "Clusters",
    "Concordance",
    "EffectivePSF",
    "Linescan",
    "MeanSpectra",
    "ResolutionEstimate",
    "Roc",
    "Segmentation",
    "agreement",
    "assign",
    "classify",
    "concordance",
    "effective_psf",
    "estimated_resolution",
    "linescan",
    "mean_spectra",
    "segment",
]
