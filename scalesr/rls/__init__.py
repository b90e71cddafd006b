"""RLS: images of single objects that agree with a coarse measurement and are likely under a trained generator.

The method in ten lines. A generator G (`StyleGAN2`), trained on fine images of objects, makes an image of latents
w, one row for each of its layers. A coarse measurement y of an object has many fine images; the search looks for the
latents whose image, measured by an operator D (`Degradation`), gives y, and which are likely::

    10 mean |D(G(w)) - y|  -  0.002 mean log p(w)  +  0.004 mean (|F(w)| - sqrt n)^2  +  0.5 mean |w_i - w_j|

F (`MAF`) is a flow trained on the generator's own latents, which makes normal numbers of them and so knows their
density p; a normal vector of n entries has a norm of about sqrt n; and rows of w that are near one another belong to
one image (`Objective`). Adam goes down from the mean latent in 500 steps (`search`), each object for itself. Objects
whose best image does not agree with y are flagged (`Solutions.flagged`), as others are not to be trusted either where
many images agree: `restarts` and `variational` give several.

To read on: `settings`, `generator`, `flow`, `prior`, `degradation`, `objective`, `search`, `model`; what it is compared
with is in `baselines`, `pulse`, `brgm` and `unet`, and training in `generator_lesson`, `flow_lesson` and `unet_lesson`.

A published generator: ``scalesr.models.convert`` makes plain tensors of rosinality's ``.pt`` without running code; of
NVIDIA's pickles save ``torch.save(G_ema.state_dict(), 'g.pt')`` where their code is installed, and convert that. `load`
takes the outcome as it is, a class of a conditional network by ``condition``, and so does ``scalesr train rls-flow``.

After Super-Resolution through StyleGAN Regularized Latent Search (arXiv 2405.19112; faces: NeurIPS SSL workshop 2022),
written anew from its formulas. What the paper does not disclose is our own choice, and is named so where it is made.
"""

from __future__ import annotations

from scalesr.rls.baselines import METHODS, Method, cubic, solve
from scalesr.rls.brgm import BrgmSettings, brgm
from scalesr.rls.checkpoints import Pair, load, save
from scalesr.rls.degradation import Degradation
from scalesr.rls.flow import MAF
from scalesr.rls.flow_lesson import FlowLesson
from scalesr.rls.generator import StyleGAN2
from scalesr.rls.generator_lesson import GeneratorLesson
from scalesr.rls.misfits import misfits_of
from scalesr.rls.model import LatentSearch
from scalesr.rls.norms import Norms, draw_norms, squared_norms
from scalesr.rls.objective import Objective
from scalesr.rls.perceptual import PerceptualDistance
from scalesr.rls.prior import Prior
from scalesr.rls.pulse import PulseSettings, pulse
from scalesr.rls.samples import Calibration, Samples, VariationalSettings, restarts, variational
from scalesr.rls.search import SearchSettings, Solutions, search
from scalesr.rls.settings import FlowSettings, GeneratorSettings
from scalesr.rls.teaching import FlowTraining, GeneratorTraining
from scalesr.rls.unet import UNet, save_unet
from scalesr.rls.unet_lesson import UNetLesson, UNetTraining

__all__ = [
    "MAF",
    "METHODS",
    "BrgmSettings",
    "Calibration",
    "Degradation",
    "FlowLesson",
    "FlowSettings",
    "FlowTraining",
    "GeneratorLesson",
    "GeneratorSettings",
    "GeneratorTraining",
    "LatentSearch",
    "Method",
    "Norms",
    "Objective",
    "Pair",
    "PerceptualDistance",
    "Prior",
    "PulseSettings",
    "Samples",
    "SearchSettings",
    "Solutions",
    "StyleGAN2",
    "UNet",
    "UNetLesson",
    "UNetTraining",
    "VariationalSettings",
    "brgm",
    "cubic",
    "draw_norms",
    "load",
    "misfits_of",
    "pulse",
    "restarts",
    "save",
    "save_unet",
    "search",
    "solve",
    "squared_norms",
    "variational",
]
