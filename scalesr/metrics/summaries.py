"""What each metric says, in one line."""

from __future__ import annotations

SUMMARIES: dict[str, str] = {
    "mae": "Mean absolute difference from the reference, in units of intensity.",
    "rmse": "Root of the mean squared difference from the reference, in units of intensity.",
    "nrmse": "The rmse divided by the range of the reference.",
    "psnr": "Peak signal-to-noise ratio against the reference, in dB; higher is nearer.",
    "pearson": "Linear correlation with the reference; blind to brightness and contrast.",
    "sam": "Mean angle between the spectra of output and reference, in degrees; blind to brightness.",
    "ergas": "Error of all bands relative to their means, as used for spectral images; lower is nearer.",
    "ssim": "Structural similarity with the reference in small windows; 1 is identical.",
    "ms_ssim": "Structural similarity at five resolutions; 1 is identical.",
    "uqi": "Universal quality index: structural similarity without constants; 1 is identical.",
    "frc": "Resolution of planes by Fourier ring correlation with the reference.",
    "fsc": "Resolution of volumes by Fourier shell correlation with the reference.",
    "frc_split": "Resolution by correlating two random halves of photon counts; misleads on enlarged images.",
    "frc_single": "Resolution by correlating neighbouring pixels; misleads on enlarged images, see its control.",
    "decorrelation": "Resolution by decorrelation analysis; misleads on enlarged images, see its control.",
    "fid": "Frechet distance between the features of output and reference; 0 is the same distribution.",
    "kid": "Kernel distance between the features of output and reference; better than fid for few samples.",
    "slice_fid": "Frechet distance of the xy, xz and yz slices of a volume to the xy slices of the reference.",
    "slice_fid_released": "The slice_fid that the released code of MSDSR computes: blind to brightness and contrast.",
    "consistency": "Whether the output, degraded again, gives the measurement that it was made from.",
    "rse": "Error of the output, blurred to the measurement's resolution, against the measurement (SQUIRREL).",
    "rsp": "Correlation of the output, blurred to the measurement's resolution, with the measurement (SQUIRREL).",
    "beyond_nyquist": "Share of the output's energy at frequencies that the measurement cannot have held.",
    "seam": "Steps at the borders of tiles over those elsewhere; 1 where no tiles show.",
}
"""One line for each metric of `scalesr.metrics.MAKERS`, by name."""
