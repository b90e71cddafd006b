"""How a volume is drawn from the diffusion network: everything that decides it, as one value."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from scalesr.errors import PlanError
from scalesr.models.noise import SAMPLES
from scalesr.msdsr.psf import AxialPSF
from scalesr.msdsr.schedule import STEPS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalesr.msdsr.schedule import Sampler

_LEFT_OUT = 100
_BESIDE = ("seed", "samples", "group", "correlation")
_LITERALS = {
    "sampler": ("dpm", "ddim"),
    "fuse": ("steps", "end"),
    "orientations": ("both", "xz", "yz"),
    "noise": ("shared", "independent"),
    "blur": ("none", "gaussian"),
    "returned": ("measured", "sampled"),
    "bounds": ("planes", "none"),
}


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a volume is drawn. The defaults are our own choice; `paper` has those of the released code.

    Raises
    ------
    PlanError
        A value that cannot be used, or values that exclude each other.
    """

    steps: int = 10
    """Steps from noise to an image, each of which asks the network once for each slice."""
    sampler: Sampler = "dpm"
    """``dpm``: DPM-Solver++ of second order, deterministic; ``ddim``: with `eta`."""
    eta: float = 0.0
    """Noise that ``ddim`` adds at each step: none, 0, to as much as the diffusion has, 1."""
    start: float = 1.0
    """Share of the diffusion that is gone back. 1 begins at noise, less at the noised linear interpolation between the
    measured rows, as SDEdit does (Meng et al. 2022)."""
    fuse: Literal["steps", "end"] = "steps"
    """Where XZ and YZ slices become one volume: at all steps, by the mean of what the network predicts for both, or as
    in the paper at the end, by the mean of two samples, which is softer than either."""
    orientations: Literal["both", "xz", "yz"] = "both"
    """Which slices are drawn: of both, or of one alone, as in an ablation of the paper."""
    noise: Literal["shared", "independent"] = "shared"
    """Whether a voxel has the same noise in XZ as in YZ slices. In the paper it has not."""
    correlation: int = 1
    """Distance in pixels between the slices whose noise is drawn; slices between them have a mixture of the same
    variance, so that neighbours are alike. 1: all are independent, as in the paper."""
    psf: str = "point"
    """How a measured plane sees along z: ``point``, as an optical section, in the paper; ``gaussian:W`` with W its
    width at half maximum; ``box:W`` with W its thickness; both in distances between planes."""
    blur: Literal["none", "gaussian"] = "none"
    """``gaussian``: the outcome is smoothed by 3 x 3 x 3 pixels with a sigma of 0.5, as in an ablation of the paper."""
    returned: Literal["measured", "sampled"] = "measured"
    """What comes back where planes were measured by points: these, or as in the paper what the last step makes of
    them, which has a little noise."""
    bounds: Literal["planes", "none"] = "planes"
    """``planes``: where planes see points, a voxel goes beyond what they show around it by no more than the differences
    there, see `scalesr.msdsr.bounds`; ``none``, as in the paper: however far."""
    samples: int = 1
    """How many volumes are drawn. From 2, their mean and standard deviation are returned."""
    seed: int = 0
    """Of all noise."""
    group: int = 16
    """Slices that go through the network at a time; the last group is filled up. It decides last bits."""

    def __post_init__(self) -> None:
        for name, allowed in _LITERALS.items():
            if getattr(self, name) not in allowed:
                raise PlanError(f"{name} is {getattr(self, name)!r}.", remedy=f"Give one of: {', '.join(allowed)}.")
        for name, least, most in (
            ("steps", 1, STEPS),
            ("correlation", 1, inf),
            ("samples", 1, SAMPLES),
            ("seed", 0, 2**64 - 1),
            ("group", 1, inf),
        ):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
                raise PlanError(
                    f"{name} is {value!r}.",
                    remedy=f"Give a whole number from {least}" + (f" to {most}." if most < inf else "."),
                )
        if not 0 <= self.eta <= 1 or (self.eta and self.sampler != "ddim"):
            raise PlanError(
                f"eta is {self.eta} with the sampler '{self.sampler}'.",
                remedy="Give 0 to 1 with the sampler ddim, 0 with another.",
            )
        # All steps of the diffusion for ddim; dpm begins and ends a little within.
        most = STEPS if self.sampler == "ddim" else STEPS - _LEFT_OUT
        if not 0 < self.start <= 1 or round(self.steps / self.start) > most:
            raise PlanError(
                f"{self.steps} steps over a share of {self.start} of the diffusion cannot be made.",
                remedy=f"Give a start above 0, 1 at most, and at most {most} steps times it.",
            )
        if self.fuse == "steps" and (self.noise != "shared" or self.correlation != 1):
            raise PlanError(
                "XZ and YZ slices are fused at all steps only where they have the same noise.",
                remedy="Use noise=shared and correlation=1, or fuse=end.",
            )
        if self.psf != "point":
            AxialPSF.read(self.psf)

    @classmethod
    def paper(cls, **changes: Any) -> Sampling:
        """Return exactly what the released code does: DDIM of 200 steps with eta 1, two orientations and their mean."""
        settings = cls(
            steps=200,
            sampler="ddim",
            eta=1.0,
            fuse="end",
            noise="independent",
            returned="sampled",
            bounds="none",
        )
        return replace(settings, **changes)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Sampling:
        """Return what a caller's options, by name, ask for; ``paper_exact`` asks for `paper`.

        Raises
        ------
        PlanError
            An option that there is not or that cannot be used, or one that contradicts ``paper_exact``.
        """
        given = dict(options)
        exact = given.pop("paper_exact", False)
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(given) - set(known))
        if unknown:
            raise PlanError(
                f"Diffusion of slices has no option '{unknown[0]}'.",
                remedy=f"Its options are {', '.join([*known, 'paper_exact'])}.",
            )
        if not isinstance(exact, bool):
            raise PlanError(f"paper_exact is {exact!r}.", remedy="Give true or false.")
        try:
            if not exact:
                return cls(**given)
            settings = cls.paper(**{name: value for name, value in given.items() if name in _BESIDE[:3]})
        except TypeError as error:
            raise PlanError(
                f"An option has a wrong type: {error}.", remedy="Give numbers where they belong."
            ) from error
        other = [name for name, value in given.items() if getattr(settings, name) != value]
        if other:
            raise PlanError(
                f"{other[0]} is {given[other[0]]!r}, which is not the paper's.",
                remedy="Leave out paper_exact, and give steps=200, sampler=ddim and eta=1 beside it as you need them.",
            )
        return settings

    @property
    def verbatim(self) -> bool:
        """Whether measured planes come back as they were measured."""
        return self.returned == "measured" and self.psf == "point" and self.blur == "none"

    @property
    def bounded(self) -> bool:
        """Whether voxels are held near what was measured around them; a thick plane may show less than there is."""
        return self.bounds == "planes" and self.psf == "point"

    @property
    def key(self) -> str:
        """Short name of all that the spread between samples depends on; it names a calibration.

        The seed and the number of slices in a group are no part of it.
        """
        values = asdict(self)
        own = asdict(Sampling())
        parts = [f"{name}={values[name]}" for name in sorted(values) if name not in ("seed", "group", "returned")]
        return (
            ",".join(part for part in parts if part != f"{part.split('=')[0]}={own[part.split('=')[0]]}") or "default"
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return asdict(self)
