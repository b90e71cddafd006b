"""Fields of view that are looked at in turn: those of a plate, or an image by itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from scalesr.errors import InputError, OutputError
from scalesr.images import Image, Location, is_plate, open_plate, well_name

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from scalesr.analysis.cube import Source
    from scalesr.analysis.objects.field import Field
    from scalesr.errors import ScalesrError

Missing: TypeAlias = Literal["stop", "leave out"]
"""What becomes of a field of a plate that cannot be opened, or has no labels where some are needed."""
NAME = "objects"
"""Name of labels that lie beside an image, where the caller gives none."""
_SHOWN = 5
_SKIP = "Or leave out what is missing with --missing skip."


@dataclass(frozen=True, kw_only=True)
class Site:
    """One field of view; nothing of it has been looked at."""

    source: Source
    """The image."""
    path: str = ""
    """Where it lies in its plate, such as ``A/1/0``; empty of an image by itself."""

    @property
    def well(self) -> str:
        """Name of the well, such as ``A1``; empty of an image by itself."""
        well = self.path.rpartition("/")[0]
        return well_name(well) or well

    @property
    def field(self) -> str:
        """Name of the field in its well."""
        return self.path.rpartition("/")[2]

    @property
    def url(self) -> str:
        """Where the image lies."""
        return self.source.url if isinstance(self.source, Image) else Location.parse(self.source).url

    def labels(self, place: Source | None, name: str | None) -> Source:
        """Return where labels of the image lie.

        Parameters
        ----------
        place
            An image of labels; of a plate, a folder with the same paths as the plate. Beside the image when `None`.
        name
            Name of labels in the folder ``labels`` beside an image: of this one, or of that in `place`.
        """
        if place is None:
            return f"{self.url}/labels/{name or NAME}"
        if not self.path and name is None:
            return place
        inside = Location.parse(place.url if isinstance(place, Image) else place) / self.path
        return inside.url if name is None else f"{inside.url}/labels/{name}"


def name_in(place: Source | None, name: str | None, *, storage_options: Mapping[str, Any] | None = None) -> str | None:
    """Return the name of labels in a place: those of a plate lie beside its fields, even if nobody names them."""
    if name is not None or place is None or isinstance(place, Image):
        return name
    try:
        return NAME if is_plate(place, storage_options=storage_options) else None
    except InputError:  # nothing is there yet, or a folder of labels
        return None


def check_apart(out: str | os.PathLike[str], *sources: Image) -> None:
    """Refuse to write an image in place of one that is read.

    Raises
    ------
    OutputError
        The output is one of the sources, or holds it.
    """
    url = Location.parse(out).url
    for source in sources:
        if source.url == url or source.url.startswith(f"{url}/"):
            raise OutputError(
                f"{source.url} is read, and would be replaced by what is written to {url}.",
                remedy="Choose another place.",
            )


def by_name(channels: Sequence[int | str], first: Field) -> tuple[str, ...]:
    """Return channels by the names that they have in the first field; others may have them in another order.

    Raises
    ------
    InputError
        The first field has no such channel.
    """
    return tuple(first.channel_names[number] for number in first.numbers(channels))


@dataclass(kw_only=True)
class Visits:
    """A walk over the fields of a plate, and what was met on it."""

    sites: tuple[Site, ...]
    """All that are visited."""
    missing: Missing
    """See `Missing`."""
    wells: tuple[str, ...] = ()
    """Paths of wells that the plate lists and that cannot be used."""
    unopened: list[str] = field(default_factory=list)
    """Paths of fields that cannot be opened."""
    empty: list[str] = field(default_factory=list)
    """Paths of fields that hold no object."""
    first: ScalesrError | None = None
    """What was wrong with the first that cannot be opened."""

    @classmethod
    def of(
        cls, source: Source, *, missing: Missing = "stop", storage_options: Mapping[str, Any] | None = None
    ) -> Visits:
        """Return the fields of a plate in its order, or an image as the only one; none was visited yet.

        Raises
        ------
        InputError
            There is neither an image nor a plate, or a plate without fields, or with wells that cannot be used and
            must not be left out.
        """
        if isinstance(source, Image) or not is_plate(source, storage_options=storage_options):
            return cls(sites=(Site(source=source),), missing=missing)
        plate = open_plate(source, storage_options=storage_options)
        if missing == "stop" or not plate.fields:
            for reason in plate.left_out.values():
                raise InputError(reason, remedy=f"Copy the plate again. {_SKIP}")
        sites = tuple(Site(source=plate.location(path).url, path=path) for path in plate.fields)
        return cls(sites=sites, missing=missing, wells=tuple(plate.left_out))

    def lacks(self, site: Site, error: ScalesrError) -> None:
        """Note that a site cannot be opened, or refuse it.

        Raises
        ------
        ScalesrError
            It must not be left out, or no other site is left.
        """
        self.unopened.append(site.path)
        self.first = self.first or error
        if self.missing == "stop" and site.path:
            raise InputError(
                f"Field {site.path} cannot be used: {error.problem}", remedy=f"{error.remedy} {_SKIP}"
            ) from error
        if len(self.unopened) == len(self.sites):
            raise self.first

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know, in words."""
        fields = f"of {len(self.sites)} fields"
        said = (
            (self.wells, "of the wells cannot be used and are left out"),
            (self.unopened, f"{fields} cannot be opened, or have no labels, and are left out"),
            (self.empty, f"{fields} hold no object"),
        )
        return tuple(
            f"{len(paths)} {words}: {', '.join(paths[:_SHOWN])}" + (", ..." if len(paths) > _SHOWN else "")
            for paths, words in said
            if paths
        )
