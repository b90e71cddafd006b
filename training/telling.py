"""What the programs that train print on their way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scalesr.learning import Progress


def tell(progress: Progress) -> None:
    """Print a line every hundred steps: the scores, and in brackets those of what the network must beat."""
    if progress.step % 100:
        return
    judged = "".join(
        f"  {name} {score:.4f}" + (f" ({progress.reference[name]:.4f})" if name in progress.reference else "")
        for name, score in (progress.scores or {}).items()
    )
    speed = progress.step / max(progress.seconds, 1e-9)
    print(f"step {progress.step:6d}  {100 * progress.share:5.1f} %  {speed:.2f} steps/s{judged}", flush=True)
