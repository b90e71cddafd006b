"""MSDSR: isotropic volumes from anisotropic stacks, by diffusion that was trained on 2-D slices only.

After Masked Slice Diffusion for Super-Resolution (arXiv 2404.09425), whose released code is followed where the settings
are those of the paper. What neither discloses is our own choice, and is named so where it is made. `DiffusionLesson`
teaches the network on 2-D images; `SliceDiffusion` draws volumes with it, as ``scalesr run --model msdsr`` does. A fast
network, `Student`, is taught what it draws.
"""

from __future__ import annotations

from scalesr.msdsr.calibration import Calibration, coverage
from scalesr.msdsr.lesson import DiffusionLesson
from scalesr.msdsr.model import SliceDiffusion
from scalesr.msdsr.network import Denoiser, load_denoiser, save_denoiser
from scalesr.msdsr.sampling import Sampling
from scalesr.msdsr.settings import NetworkSettings, TrainingSettings
from scalesr.msdsr.slice_lesson import SliceLesson
from scalesr.msdsr.slice_net import SliceNet
from scalesr.msdsr.student import Student
from scalesr.msdsr.student_lesson import StudentLesson

__all__ = [
    "Calibration",
    "Denoiser",
    "DiffusionLesson",
    "NetworkSettings",
    "Sampling",
    "SliceDiffusion",
    "SliceLesson",
    "SliceNet",
    "Student",
    "StudentLesson",
    "TrainingSettings",
    "coverage",
    "load_denoiser",
    "save_denoiser",
]
