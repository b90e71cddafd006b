"""The one place that sets how torch computes, so that the same input gives the same bits."""

from __future__ import annotations

import os

import torch


def settle() -> None:
    """Make torch repeatable in this process: deterministic convolutions, no trial of algorithms, no TF32 by stealth.

    The settings hold for the whole process, and other code can change them back; every network settles them again when
    it is loaded or moved. Threads are left alone, as their number is part of the plan.
    """
    # Read when CUDA starts: without it, cuBLAS takes its workspace, and with it perhaps its algorithm, by stream.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
