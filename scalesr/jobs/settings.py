"""All settings of a run together, as the command line and job files give them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

# typer and job files read the annotations while the program runs
from scalesr.jobs import crew, images
from scalesr.jobs import options as given
from scalesr.jobs.values import (
    OptionError,
    parse_bytes,
    parse_fields,
    parse_metrics,
    parse_normalise,
    parse_planes,
    parse_scale,
    parse_settings,
    parse_sizes,
    parse_store,
    parse_strategy,
    positive,
)

if TYPE_CHECKING:
    from scalesr.engine import Options
    from scalesr.images import Image, Plate


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Everything that decides a run, as texts; the one list of settings that commands and job files are made of.

    Neither what a command shows nor where it logs to is among them.
    """

    source: images.Source
    target: images.Target = None
    series: images.Series = None
    level: images.Level = 0
    resume: images.Resume = False
    overwrite: images.Overwrite = False
    share: images.Share = False
    model: given.Model = "default"
    scale: given.Scale = None
    model_axes: given.ModelAxes = None
    sampling: given.Sampling = "auto"
    settings: given.Set = None
    strategy: given.Strategy = "auto"
    trust: given.Trust = "safe"
    normalise: given.Normalise = "auto"
    out_dtype: given.OutDtype = None
    flux: given.Flux = "auto"
    mask: given.Mask = "auto"
    missing_planes: given.MissingPlanes = "auto"
    deviation: images.Deviation = "beside"
    metrics: images.Metrics = None
    reference: images.Reference = None
    data_range: images.DataRange = None
    cell: given.Cell = None
    halo: given.Halo = None
    blend: given.Blend = None
    block: given.Block = None
    shard: given.Shard = None
    batch: given.Batch = None
    calibrate: given.Calibrate = "never"
    precision: given.Precision = "fp32"
    device: given.Device = "auto"
    threads: given.Threads = 1
    scheduler: crew.Scheduler = "threads"
    workers: crew.Workers = None
    memory: given.Memory = None
    cluster_options: crew.ClusterOptions = None
    wait: crew.Wait = None
    tls_ca: crew.TlsCa = None
    tls_cert: crew.TlsCert = None
    tls_key: crew.TlsKey = None
    storage_options: images.StorageOptions = None
    target_options: images.TargetOptions = None
    on_bad_block: given.OnBadBlock = "stop"
    on_nan: given.OnNan = "stop"
    fields: images.Fields = None
    normalise_by: images.NormaliseBy = "plate"

    def options(self, *, job: tuple[str, str] | None = None) -> Options:
        """Return the options of the engine.

        Parameters
        ----------
        job
            The file that the settings are from, and its SHA-256, for the manifest of the output.

        Raises
        ------
        OptionError
            A text cannot be understood, or settings contradict each other.
        """
        self._check()
        scheduler, workers = crew.parse_crew(
            self.scheduler,
            workers=self.workers,
            options=self.cluster_options,
            wait=self.wait,
            authority=self.tls_ca,
            certificate=self.tls_cert,
            key=self.tls_key,
        )
        texts: dict[str, Any] = {
            "scale": parse_scale(self.scale),
            "cell": parse_sizes(self.cell, "--cell"),
            "halo": parse_sizes(self.halo, "--halo"),
            "blend": parse_sizes(self.blend, "--blend"),
            "block": parse_sizes(self.block, "--block"),
            "shard": parse_sizes(self.shard, "--shard"),
            "memory": parse_bytes(self.memory, "--memory"),
            "normalise": parse_normalise(self.normalise),
            "strategy": parse_strategy(self.strategy),
            "model_options": parse_settings(self.settings or ()),
            "missing_planes": parse_planes(self.missing_planes),
        }
        data_range = positive(self.data_range, "--data-range")
        # Late: torch takes seconds, and a mistyped option needs none of it.
        metrics = tuple(parse_metrics(self.metrics) or ())
        from scalesr.engine import Options  # noqa: PLC0415
        from scalesr.metrics import Settings  # noqa: PLC0415

        return Options(
            **texts,
            model=self.model,
            axes=self.model_axes,
            sampling=self.sampling,
            trust=self.trust,
            out_dtype=self.out_dtype,
            flux=self.flux,
            mask=self.mask,
            deviation=self.deviation,
            level=self.level,
            batch=self.batch,
            calibrate=self.calibrate,
            precision=self.precision,
            device=self.device,
            threads=self.threads,
            scheduler=scheduler,
            workers=workers,
            on_bad_block=self.on_bad_block,
            on_nan=self.on_nan,
            metrics=metrics,
            reference=self.reference,
            settings=Settings(data_range=data_range),
            mode="resume" if self.resume or self.share else "overwrite" if self.overwrite else "create",
            share="claims" if self.share else "nothing",
            job=job,
        )

    def open(self) -> Image | Plate:
        """Open the input; only metadata is read.

        Raises
        ------
        ScalesrError
            There is no image and no plate, or one that cannot be used.
        """
        from scalesr.images import open_any  # noqa: PLC0415 zarr takes most of a second

        opened = parse_store(self.storage_options, "--storage-options")
        return open_any(self.source, series=self.series, storage_options=opened or None)

    def patterns(self) -> tuple[str, ...]:
        """Return which fields of a plate are asked for, as patterns; none where nothing is said."""
        return parse_fields(self.fields)

    def store_of_target(self) -> dict[str, str | float | int | bool] | None:
        """Return how the store of the output is opened; None where nothing is said."""
        return parse_store(self.target_options, "--target-options") or None

    def _check(self) -> None:
        if self.resume and self.overwrite:
            raise OptionError(
                "--resume goes on with an output, --overwrite removes it.", remedy="Give one of them, or neither."
            )
        if self.share and self.overwrite:
            raise OptionError(
                "--share works at an output together with others, --overwrite removes it.",
                remedy="Remove the output before you start the first of them, and leave out --overwrite.",
            )
