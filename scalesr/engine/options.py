"""What a caller can ask of a run. The same names stand on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from fractions import Fraction

    from scalesr.engine.executors import Cluster
    from scalesr.metrics import Settings
    from scalesr.models import Precision

Sizes = int | tuple[int, ...]
"""One size for all axes that the model mixes, or one for each of them, slowest first."""
Scheduler = str
"""``serial``, ``threads`` or ``processes`` of this machine; a cluster that is started, ``cuda``, ``slurm`` or
``kubernetes``; or the address of a Dask scheduler such as ``tcp://host:8786``."""
Mode = Literal["create", "overwrite", "resume"]
"""What to do with the output: it must not exist; it is replaced; an unfinished run in it goes on."""
Share = Literal["nothing", "claims"]
"""Whether other processes work at the same output. ``claims``: each that is given the same command takes blocks that
nobody else has, as notes in the output say; nobody deals them out, and any of them may die."""
Normalise = Literal["auto", "percentile", "dtype", "none"] | tuple[float, float]
"""How intensities are brought to about 0..1 for the model, by figures of the whole image, never of a tile.

``percentile``: the 0.1 and 99.9 percentiles of each channel; ``dtype``: the range of the data type; ``none``: as they
are; a pair: those two values. ``auto``: ``dtype`` for three-channel uint8 images taken as a whole (photographs, slides)
and for models that do not depend on it; ``percentile`` otherwise.
"""

FluxOption = Literal["auto", "conserved", "free"]
"""Whether the mean of the output over each input pixel is what was measured there: what the model recommends; yes; no.
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """All that a run can be told, with defaults that depend on image and model alone."""

    model: str = "default"
    """A built-in name, a ``.safetensors`` file, or ``package.module:factory``."""
    scale: str | float | Fraction | tuple[str | float | Fraction, ...] | None = None
    """Output pixels for each input pixel; needed only where the model leaves it open. Fractions as ``48/13``.
    ``isotropic``: so many planes that they lie as far apart as the pixels, by the image's pixel sizes; the default of
    models whose scale is open along z alone."""
    axes: str | None = None
    """Axes that the model mixes (``yx`` or ``zyx``), where the model leaves it open."""
    sampling: Literal["auto", "area", "point"] = "auto"
    """What the planes of a volume stand for: the mean over their thickness (``area``), or the value in their middle, as
    optical sections have it (``point``), plane k then being row k x scale of the output. ``auto``: the model's own;
    ``area`` for interpolations."""
    model_options: tuple[tuple[str, str | float | int | bool], ...] = ()
    """What the model itself can be told, as (name, value) pairs; its documentation names them."""
    strategy: str = "auto"
    """How channels are shared out to a model with another number of channels: ``auto``, ``single``, ``triples``, or
    ``eigen:K``, by which K eigenimages go through the network and stand for all bands, the rest being interpolated."""
    trust: Literal["safe", "pickle"] = "safe"
    """``pickle`` allows weights that can execute code while they load."""
    cell: Sizes | None = None
    """Input pixels that one tile is responsible for."""
    halo: Sizes | None = None
    """Input pixels of context around a cell; the model's measured receptive field when not given."""
    blend: Sizes | None = None
    """Half-width of the cross-fade between tiles, in input pixels; 0 crops, exact where the halo holds the field. What
    the model recommends when not given, and 0 where it recommends nothing or one tile spans the image."""
    block: Sizes | None = None
    """Cells of a block along each mixed axis: the unit of scheduling and resuming."""
    shard: Sizes | None = None
    """Cells of one output file along each mixed axis; a block when not given. A block holds a whole number of them."""
    batch: int | None = None
    """Tiles of one call of the network, or eigenimages of one tile: 1 on the CPU and 8 on a GPU when not given."""
    calibrate: Literal["never", "once", "again"] = "never"
    """Measure which cell and batch are fastest for this model on this machine, once or again, and use them where none
    are given. Another cell or batch changes the last bits of the result, so it is not done unasked."""
    precision: Precision = "fp32"
    """Number format of the network's arithmetic."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    threads: int = 1
    """Threads inside one inference on the CPU. More inferences side by side are faster; this changes the last bit."""
    normalise: Normalise = "auto"
    """How intensities are normalised."""
    flux: FluxOption = "auto"
    """``conserved``: the mean of the output over each input pixel is what was measured there, to the precision of the
    data type; zero stays zero. ``auto``: where the model recommends it and the scale is a whole number."""
    deviation: str = "beside"
    """Where the standard deviations go that some models return, as an image of the output's grid: ``beside``, the image
    ``deviation`` inside the output; ``none``, nowhere; or a path or URL."""
    mask: str = "auto"
    """Which pixels were measured: ``auto`` looks for the array ``mask`` that importers put beside an image, ``none``
    takes all, anything else is the path or URL of an OME-Zarr image that is not zero there. The others are left out of
    the normalisation, filled for the network, and become NaN in a float output and zero in an integer one."""
    missing_planes: tuple[int, ...] | Literal["auto", "none"] = "auto"
    """Planes along z, counted from 0, that were not measured, for models that make them up: ``auto``, those that the
    image's attributes name, as importers write them, and in images of floats those in which no value is finite;
    ``none``, all were measured."""
    out_dtype: str | None = None
    """Data type of the output; the input's when not given."""
    level: int = 0
    """Level of the input's pyramid that is processed."""
    on_bad_block: Literal["stop", "fill"] = "stop"
    """A chunk that cannot be decoded stops the run, or is replaced by the fill value and reported."""
    on_nan: Literal["stop", "fill"] = "stop"
    """NaN and infinity stop the run, or are replaced for the network and become NaN in a float output."""
    metrics: tuple[str, ...] = ()
    """What is measured on the way, by the names of `scalesr.metrics.MAKERS`; the input is what was measured. With a
    reference and no names it is psnr, ssim, mae and pearson."""
    reference: str | None = None
    """OME-Zarr image of the output's grid that the output is compared with on the way: a path or URL."""
    settings: Settings | None = None
    """Settings of the metrics; the defaults when not given."""
    scheduler: Scheduler | Cluster = "threads"
    """Who runs the tasks; a `Cluster` where more than its kind or address is to be said."""
    workers: int | None = None
    """Threads or processes of this machine; the number of cores when not given. A `Cluster` has its own."""
    memory: int | None = None
    """Bytes that all workers on this machine together may use; nine tenths of what is available when not given. What
    the workers of a cluster may use is asked of each."""
    mode: Mode = "create"
    """What to do with an output that exists."""
    share: Share = "nothing"
    """Whether other processes work at the same output; what the output holds then decides, and `mode` does not."""
    job: tuple[str, str] | None = None
    """Job file that these come from, and the SHA-256 of its bytes; the manifest of the output keeps it for its reader,
    and it decides nothing."""
