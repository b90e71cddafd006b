"""HyReS: super-resolution of spectral images by the physics of the instrument.

`Instrument` is that physics. It makes the pairs that a network is trained with, and it is what consistency of the
outcome with the measurement is judged by. `train` trains a generator of the ESRGAN family with a Fourier ring
correlation loss and, if asked for, a discriminator; what comes out is a file that ``scalesr run --model`` takes. What
the paper (arXiv 2503.02908) does not disclose is our own choice, and is named so where it is made.
"""

from __future__ import annotations

from scalesr.hyres.discriminator import UNetDiscriminator
from scalesr.hyres.family import InstrumentFamily
from scalesr.hyres.frc_loss import FRCLoss
from scalesr.hyres.generator import load_generator, save_generator
from scalesr.hyres.instrument import Instrument, Measured, Spot
from scalesr.hyres.perceptual import PerceptualLoss
from scalesr.hyres.presets import PRESETS, read_instrument
from scalesr.hyres.settings import TrainingSettings
from scalesr.hyres.trainer import train
from scalesr.hyres.tuning import own_settings
from scalesr.learning import ArraySource, ImageSource, Progress
from scalesr.learning import Taught as Trained
from scalesr.metrics.blurs import Diffraction, Disc, Gaussian

__all__ = [
    "PRESETS",
    "ArraySource",
    "Diffraction",
    "Disc",
    "FRCLoss",
    "Gaussian",
    "ImageSource",
    "Instrument",
    "InstrumentFamily",
    "Measured",
    "PerceptualLoss",
    "Progress",
    "Spot",
    "Trained",
    "TrainingSettings",
    "UNetDiscriminator",
    "load_generator",
    "own_settings",
    "read_instrument",
    "save_generator",
    "train",
]
