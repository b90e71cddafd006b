"""What a training came to, for people and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalesr.cli.output import note, print_lines

if TYPE_CHECKING:
    from scalesr.hyres.outcome import Trained


def document(found: Trained) -> dict[str, Any]:
    """Return what a training came to, as what JSON can hold."""
    return {
        "weights": str(found.weights),
        "steps": found.steps,
        "skipped": found.skipped,
        "seconds": found.seconds,
        "best_step": found.best_step,
        "scores": found.scores.to_json(),
        "cubic": found.cubic.to_json(),
        "judged": found.judged,
        "draws": found.draws.to_json(),
        "picture": None if found.picture is None else str(found.picture),
    }


def show(found: Trained) -> None:
    """Write the scores beside those of cubic interpolation, and what a person should know before trusting them."""
    better, cubic = found.scores, found.cubic
    print_lines(
        [
            ("written", str(found.weights)),
            (
                "time",
                f"{found.seconds / 60:.1f} min for {found.steps:,} steps; the best is of step {found.best_step:,}",
            ),
            ("PSNR", f"{better.psnr:.2f} dB; cubic {cubic.psnr:.2f} dB"),
            ("SSIM", f"{better.ssim:.4f}; cubic {cubic.ssim:.4f}"),
            ("FRC", f"above 1/7 up to {better.frc:.3f} cycles per pixel; cubic {cubic.frc:.3f}"),
            ("judged by", found.judged),
        ]
    )
    if found.judged == "training pixels":
        note("The images are too small to hold a part out: these scores are of pixels that the network has seen.")
    if better.psnr <= cubic.psnr:
        note("The network is no better than cubic interpolation here: train longer, or on more images.")
    if found.skipped:
        note(f"{found.skipped:,} steps were left out, as their loss was not finite.")
    if found.draws.filled:
        note(f"{found.draws.filled:,} missing pixels were in the patches; they did not count.")
