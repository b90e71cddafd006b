"""From an image, a place for the output and options to a job: all that can be checked before anything is written."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from scalesr.engine.asked import KEY, noted
from scalesr.engine.deviation import check_begun, check_place, check_returned, deviation_writer
from scalesr.engine.eigenimages import Eigenimages, Spectra, fit_basis, stored_basis
from scalesr.engine.figures import normalisation_of
from scalesr.engine.gaps import find_gaps
from scalesr.engine.job import Job, ledger_files
from scalesr.engine.ledger import Manifest, check_manifest, kept_normalisation, make_manifest, read_manifest
from scalesr.engine.masks import find_mask
from scalesr.engine.planning import needed_fraction_bits
from scalesr.engine.preparing import Prepared, check_memory, layout_of, prepare, subject_of
from scalesr.engine.riding import WITH_REFERENCE, make_ride, ride_term
from scalesr.engine.targets import begun, exists
from scalesr.errors import OutputError
from scalesr.images import Image, ImageWriter, Location, open_image
from scalesr.images.stores import StoreOptions
from scalesr.metrics import Settings

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from scalesr.engine.events import Callback
    from scalesr.engine.normalisation import Normalisation
    from scalesr.engine.options import Options
    from scalesr.models import EigenBasis


@dataclass(frozen=True, kw_only=True)
class Settled:
    """A run that can begin."""

    job: Job
    """What its tasks are told."""
    prepared: Prepared
    """What it was made of."""
    fresh: Manifest | None
    """The manifest of a run that begins; ``None`` where one is resumed."""
    basis: EigenBasis | None
    """What its eigenimages are made with, if there are any."""
    spectra: Spectra | None
    """What that was fitted to."""


def settle(
    image: Image,
    target: str | os.PathLike[str],
    options: Options,
    *,
    target_options: Mapping[str, Any] | None,
    normalisation: Normalisation | None = None,
    tell: Callback,
) -> Settled:
    """Check everything that can be checked before anything is written.

    A normalisation that is given is used, whatever the options ask for: that of the plate that the image is part of.
    """
    prepared = prepare(subject_of(image, level=options.level), options, tell=tell)
    check_memory(prepared, options)
    location = Location.parse(target, target_options)
    stored = _stored(location, image, options)
    kept = normalisation
    if kept is None and stored is not None:
        kept = kept_normalisation(stored)
    job, prepared = make_job(image, location, prepared, options, normalisation=kept, tell=tell)
    basis, spectra = None, None
    if prepared.plan.components is not None:
        # One that is kept was fitted on another machine perhaps, whose libraries differ in the last bits.
        basis = None if stored is None else stored_basis(job.files)
        if basis is None or stored is None:
            basis, spectra = _fitted(job, image, options, tell=tell)
        else:
            spectra = Spectra(**stored.provenance["spectra"])
        job = replace(job, eigen=Eigenimages(count=basis.k, sha256=basis.sha256))
    if options.metrics or options.reference is not None:
        ride = make_ride(
            options.metrics or WITH_REFERENCE,
            options.settings or Settings(),
            source=image,
            level=options.level,
            reference=open_image(options.reference) if options.reference is not None else None,
            output=job.output,
            lattice=job.plan.lattice,
        )
        job = replace(job, ride=ride)
        host = (*prepared.demand.host, ride_term(ride, job.plan, prepared.workers))
        prepared = replace(prepared, demand=replace(prepared.demand, host=host))
        check_memory(prepared, options)
    facts: dict[str, Any] = {KEY: noted(options, job.model)}
    if basis is not None and spectra is not None:
        facts |= {"explained": basis.explained.tolist(), "spectra": asdict(spectra)}
    manifest = make_manifest(job, normalise=options.normalise, facts=facts)
    if stored is not None:
        check_manifest(stored, manifest)
        if job.deviation is not None:
            check_begun(job.deviation)
    return Settled(job=job, prepared=prepared, fresh=manifest if stored is None else None, basis=basis, spectra=spectra)


def _fitted(job: Job, image: Image, options: Options, *, tell: Callback) -> tuple[EigenBasis, Spectra]:
    assert job.plan.components is not None
    channel, count = job.plan.components
    return fit_basis(image, count, job.normalisation, level=options.level, channel=channel, mask=job.mask, tell=tell)


def make_job(
    image: Image,
    location: Location,
    prepared: Prepared,
    options: Options,
    *,
    normalisation: Normalisation | None,
    tell: Callback,
) -> tuple[Job, Prepared]:
    """Return what the tasks of a run are told, with the plan whose sums hold what the normalisation makes of the image.

    The image's figures are read where no normalisation is given.
    """
    plan = prepared.plan
    check_returned(prepared.spec, options)
    mask = find_mask(image, level=options.level, how=options.mask, tell=tell)
    gaps = find_gaps(
        image,
        prepared.spec,
        plan,
        level=options.level,
        planes=prepared.mixing.spatial[0],
        options=options,
        tell=tell,
    )
    if normalisation is None:
        normalisation = normalisation_of(
            image,
            prepared.spec,
            prepared.mixing,
            level=options.level,
            # Bands are compared with each other when eigenimages are made of them.
            how=options.normalise if plan.components is None else "percentile",
            out_dtype=plan.out_dtype,
            mask=mask,
            gaps=gaps,
            tell=tell,
        )
    bits = plan.fraction_bits
    if plan.components is None:
        bits = needed_fraction_bits(plan.out_dtype, normalisation.gain, normalisation.offset)
    prepared = replace(prepared, plan=replace(plan, fraction_bits=bits, missing_planes=gaps))
    name = location.url.rstrip("/").rsplit("/", 1)[-1].removesuffix(".zarr").removesuffix(".ome")
    layout = layout_of(image, prepared.plan, level=options.level, name=name)
    output = ImageWriter(location.url, layout, storage_options=location.options)
    job = Job(
        source=image.url,
        source_options=StoreOptions.of(image.storage_options),
        source_sha256=image.fingerprint(),
        level=options.level,
        output=output,
        deviation=deviation_writer(output, prepared.plan, options),
        plan=prepared.plan,
        model=prepared.ref,
        device=prepared.device,
        normalisation=normalisation,
        channel_axis=prepared.mixing.channel,
        spatial_axes=prepared.mixing.spatial,
        on_bad_block=options.on_bad_block,
        on_nan=options.on_nan,
        mask=mask,
    )
    return job, prepared


def check_target(
    image: Image,
    target: str | os.PathLike[str],
    *,
    options: Options,
    target_options: Mapping[str, Any] | None = None,
) -> None:
    """Refuse an output that `run` would refuse before it reads the image; nothing is written.

    Raises
    ------
    OutputError, LedgerError
        It exists and the mode does not allow that, holds nothing to resume, or cannot be written to.
    """
    _stored(Location.parse(target, target_options), image, options)


def _stored(location: Location, image: Image, options: Options) -> Manifest | None:
    """Return the manifest of the run that is to be resumed, after refusing an output that cannot be used."""
    if location.url == Location.parse(image.url).url:
        raise OutputError("Input and output are the same image.", remedy="Choose another output.")
    there = exists(location)
    if there and options.mode == "create":
        raise OutputError(
            f"{location} already exists.", remedy="Choose another place, or pass --overwrite or --resume."
        )
    check_place(image, location, options)
    if options.mode != "resume" or not there:
        return None
    stored = read_manifest(ledger_files(location.url, location.options))
    if stored is None and not begun(location):
        raise OutputError(
            f"{location} holds no run that could be resumed.", remedy="Leave out --resume, or use --overwrite."
        )
    return stored
