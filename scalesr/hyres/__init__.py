"""HyReS: super-resolution of spectral images by the physics of the instrument.

`Instrument` is that physics. It makes the pairs that a network is trained with, and it is what consistency of the
outcome with the measurement is judged by. What the paper (arXiv 2503.02908) does not disclose is our own choice, and is
named so where it is made.
"""

from __future__ import annotations

from scalesr.hyres.instrument import Instrument, Measured, Spot
from scalesr.hyres.presets import PRESETS, read_instrument
from scalesr.metrics.blurs import Diffraction, Disc, Gaussian

__all__ = ["PRESETS", "Diffraction", "Disc", "Gaussian", "Instrument", "Measured", "Spot", "read_instrument"]
