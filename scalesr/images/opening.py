"""Opening an OME-Zarr image, and saying precisely why something else cannot be opened as one."""

from __future__ import annotations

from json import JSONDecodeError
from typing import TYPE_CHECKING, Any, Literal

import zarr

from scalesr.errors import InputError, ScalesrError
from scalesr.images.image import Image, Level, Version
from scalesr.images.limits import MOST_LEVELS, check_path, check_sizes
from scalesr.images.locations import Location
from scalesr.images.metadata import parse_axes, parse_channels, parse_geometry
from scalesr.images.stores import StoreError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

_LISTED = 12


class UnfinishedError(InputError):
    """What is named is the output of a run that did not finish, and no image yet."""


def open_image(
    url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None, series: int | None = None
) -> Image:
    """Open an OME-Zarr 0.4 or 0.5 image; only metadata is read.

    Parameters
    ----------
    url
        Local path, path of a zip file, or any URL that fsspec knows: ``s3://``, ``https://``, ``memory://``,
        ``zip::s3://...``. A container of several images (bioformats2raw layout) opens as its first.
    storage_options
        Credentials and the like, handed to fsspec.
    series
        Which image of a container; ``None`` takes the image itself, or the first of a container.

    Raises
    ------
    InputError
        There is nothing, or something else than an image, or the image cannot be used; the message says what to do.
    StoreError
        The store refuses, or does not answer.
    """
    location = Location.parse(url, storage_options)
    group, version = open_group(location)
    attributes = dict(group.attrs)
    ome = ome_attributes(attributes, version)
    if "bioformats2raw.layout" in ome and ("multiscales" not in ome or series is not None):
        return open_image((location / _series_path(group, ome, series, location)).url, storage_options=storage_options)
    if series not in (None, 0):
        raise InputError(f"{location} holds one image, not a container.", remedy="Leave --series out.")
    multiscales = ome.get("multiscales")
    if not isinstance(multiscales, list) or not multiscales or not isinstance(multiscales[0], dict):
        raise _not_an_image(location, group, attributes, ome)
    return _image(location, group, version, attributes, ome, multiscales[0])


def _image(
    location: Location,
    group: zarr.Group,
    version: Version,
    attributes: dict[str, Any],
    ome: Mapping[str, Any],
    multiscale: dict[str, Any],
) -> Image:
    found = str(ome.get("version") or multiscale.get("version") or version)
    if found not in ("0.4", "0.5"):
        raise InputError(
            f"{location} is OME-Zarr {found}; 0.4 and 0.5 can be read.", remedy="Convert it to OME-Zarr 0.5."
        )
    axes = parse_axes(multiscale.get("axes"), where=str(location))
    datasets = multiscale.get("datasets")
    if not isinstance(datasets, list) or not datasets:
        raise InputError(f"{location} lists no datasets.", remedy="Name the arrays under multiscales/datasets.")
    common = multiscale.get("coordinateTransformations") or []
    if len(datasets) > MOST_LEVELS:
        raise InputError(
            f"{location} lists {len(datasets):,} datasets; an image has at most {MOST_LEVELS} resolutions.",
            remedy="Correct multiscales/datasets.",
        )
    levels: list[Level] = []
    for dataset in datasets:
        path = dataset.get("path") if isinstance(dataset, dict) else None
        if not isinstance(path, str):
            raise InputError(f"{location}: a dataset has no path.", remedy="Name the array under datasets/path.")
        array = _open_array(group, check_path(path, where=str(location)), location)
        where = f"{location}/{path}"
        _check_array(array, axes=[axis.name for axis in axes], where=where)
        own = dataset.get("coordinateTransformations")
        if not own:
            # 0.4 and 0.5 demand them; without, what the shapes say is the only thing there is to know.
            finest = levels[0].shape if levels else array.shape
            own = [{"type": "scale", "scale": [a / b for a, b in zip(finest, array.shape, strict=True)]}]
        if not isinstance(own, list) or not isinstance(common, list):
            raise InputError(f"{where}: coordinateTransformations is no list.", remedy="Correct the metadata.")
        scale, translation = parse_geometry([*own, *common], ndim=len(axes), where=where)
        dtype = array.dtype.newbyteorder("=").name
        levels.append(Level(path, array.shape, array.chunks, array.shards, dtype, scale, translation))
    name = multiscale.get("name")
    return Image(
        url=location.url,
        version=version,
        name=name if isinstance(name, str) and name and name != "/" else location.url.split("::")[0].rsplit("/", 1)[-1],
        axes=axes,
        levels=tuple(levels),
        channels=parse_channels(ome.get("omero")),
        metadata=attributes,
        storage_options=location.options,
    )


def open_group(location: Location) -> tuple[zarr.Group, Version]:
    """Return the Zarr group at a place and the version of OME-Zarr that its Zarr format means.

    Raises
    ------
    InputError
        There is nothing, or something else; the message says what.
    """
    path = location.path
    if path is not None and not path.exists():
        raise InputError(
            f"{location} does not exist; the nearest folder that does is {location.nearest_parent()}.",
            remedy="Check the path.",
        )
    store = location.store("read")
    try:
        found = _group(store, location)
        plain = _plain_array(store) if found is None else None
    except ScalesrError:
        raise
    except Exception as error:
        raise InputError(
            f"{location} cannot be read: {type(error).__name__}: {error}.",
            remedy="Check the address, the network and the credentials.",
        ) from error
    if found is not None:
        return found
    if plain is not None:
        raise InputError(
            f"{location} is a plain Zarr array of shape {plain.shape}, which says nothing of its axes.",
            remedy="Open the OME-Zarr group above it, or make an image of it: scalesr import --axes.",
        )
    if path is not None and path.is_file():
        raise InputError(f"{location} is a file, not OME-Zarr.", remedy="Convert it first: scalesr import.")
    inside = sorted(child.name for child in path.glob("*.zarr"))[:_LISTED] if path is not None else []
    hint = f" It contains {', '.join(inside)}." if inside else ""
    raise InputError(
        f"{location} is not Zarr, or does not exist.{hint}",
        remedy="Name the folder that holds zarr.json or .zgroup, or convert the image first: scalesr import.",
    )


def _group(store: Any, location: Location) -> tuple[zarr.Group, Version] | None:
    denied: StoreError | None = None
    formats: tuple[tuple[Literal[2, 3], Version], ...] = ((3, "0.5"), (2, "0.4"))
    for zarr_format, version in formats:
        try:
            return zarr.open_group(store, mode="r", zarr_format=zarr_format, use_consolidated=False), version
        except zarr.errors.GroupNotFoundError:
            continue
        except zarr.errors.ContainsArrayError:
            return None
        except (JSONDecodeError, UnicodeDecodeError) as error:
            raise _damaged(location, "zarr.json" if zarr_format == 3 else ".zgroup or .zattrs", error) from error
        except StoreError as error:
            if error.kind != "denied":
                raise
            # Who may read but not list is told that what is not there is forbidden.
            denied = error
    if denied is not None:
        raise denied
    return None


def _damaged(location: Location, name: str, error: ValueError) -> InputError:
    return InputError(
        f"{location}/{name} is damaged: {error}.",
        remedy="Copy it again; where it is the output of a run, `scalesr repair` makes it again.",
    )


def _plain_array(store: Any) -> zarr.Array[Any] | None:
    for zarr_format in (3, 2):
        try:
            return zarr.open_array(store, mode="r", zarr_format=zarr_format)
        except (zarr.errors.ArrayNotFoundError, zarr.errors.NodeTypeValidationError):
            continue
    return None


def _open_array(group: zarr.Group, path: str, location: Location) -> zarr.Array[Any]:
    try:
        node = group[path]
    except KeyError as error:
        raise InputError(
            f"{location} names the array {path!r}, which is not there.",
            remedy="Copy the image again, or take the array out of multiscales/datasets.",
        ) from error
    except ScalesrError:
        raise
    except (JSONDecodeError, UnicodeDecodeError) as error:
        name = "zarr.json" if group.metadata.zarr_format == 3 else ".zarray or .zattrs"
        raise _damaged(location / path, name, error) from error
    except Exception as error:
        raise InputError(
            f"{location}/{path} cannot be opened: {type(error).__name__}: {error}.",
            remedy="Check that all of the image was copied, and that its codecs are installed.",
        ) from error
    if not isinstance(node, zarr.Array):
        raise InputError(f"{location}/{path} is a group, not an array.", remedy="Correct multiscales/datasets.")
    return node


def _check_array(array: zarr.Array[Any], *, axes: list[str], where: str) -> None:
    if array.ndim != len(axes):
        raise InputError(
            f"{where} has {array.ndim} dimensions {array.shape}, but the image names {len(axes)} axes "
            f"({', '.join(axes)}).",
            remedy="Correct the axes in the metadata.",
        )
    check_sizes(array, where=where)
    for name, size in zip(axes, array.shape, strict=True):
        if size == 0:
            raise InputError(f"{where}: axis {name} has size zero.", remedy="Use an image that has pixels.")
    dtype = array.dtype
    if dtype.kind not in "uif":
        raise InputError(
            f"{where} holds {dtype}, which is not an intensity.",
            remedy="Convert it to integers or floats (the magnitude of complex numbers, masks as uint8).",
        )


def ome_attributes(attributes: Mapping[str, Any], version: Version) -> Mapping[str, Any]:
    """Return the part of a group's attributes that OME-Zarr defines."""
    ome = attributes.get("ome") if version == "0.5" else attributes
    # Some early writers put 0.4 metadata into Zarr 3; it says the same in another place.
    return ome if isinstance(ome, dict) else attributes


def _series_path(group: zarr.Group, ome: Mapping[str, Any], series: int | None, location: Location) -> str:
    paths = _series(group)
    number = series or 0
    if not 0 <= number < len(paths):
        raise InputError(
            f"{location} holds {len(paths)} image(s): {', '.join(paths[:_LISTED]) or 'none'}; there is no {number}.",
            remedy=f"Choose one with --series 0 to {max(len(paths) - 1, 0)}."
            if paths
            else f"Check that all of the container (layout {ome['bioformats2raw.layout']}) was copied.",
        )
    return paths[number]


def _series(group: zarr.Group) -> list[str]:
    if "OME" in group:
        attributes = dict(group["OME"].attrs)
        listed = ome_attributes(attributes, "0.5").get("series")
        if isinstance(listed, list) and all(isinstance(path, str) for path in listed):
            paths = [check_path(path, where=group.store_path.path or "the container") for path in listed]
            return [path for path in paths if path in group]
    found: list[str] = []
    while str(len(found)) in group:
        found.append(str(len(found)))
    return found


def _not_an_image(
    location: Location, group: zarr.Group, attributes: Mapping[str, Any], ome: Mapping[str, Any]
) -> InputError:
    own = attributes.get("scalesr")
    if isinstance(own, dict) and own.get("state") == "running":
        return UnfinishedError(
            f"{location} is the output of a scalesr run that did not finish.",
            remedy=f"Finish it: run the same command again with --resume, writing to {location}.",
        )
    if isinstance(plate := ome.get("plate"), dict):
        wells = [str(well.get("path")) for well in plate.get("wells", []) if isinstance(well, dict)]
        return InputError(
            f"{location} is a plate of {len(wells)} wells: {_listed(wells)}.",
            remedy=f"Open one field, such as {location / (wells[0] if wells else 'A/1')}/0.",
        )
    if isinstance(well := ome.get("well"), dict):
        fields = [str(field.get("path")) for field in well.get("images", []) if isinstance(field, dict)]
        return InputError(
            f"{location} is a well of {len(fields)} fields: {_listed(fields)}.",
            remedy=f"Open one field, such as {location / (fields[0] if fields else '0')}.",
        )
    if isinstance(labels := ome.get("labels"), list):
        names = [str(label) for label in labels]
        return InputError(
            f"{location} is a group of label images ({_listed(names)}), not an image.",
            remedy="Open the image above it, or one of the label images.",
        )
    below = sorted(str(key) for key in _children(group))
    hint = f" It contains {_listed(below)}." if below else ""
    return InputError(
        f"{location} is a Zarr group without OME-Zarr image metadata.{hint}",
        remedy="Open a group that has multiscales metadata, or make an image: scalesr import --axes.",
    )


def _children(group: zarr.Group) -> list[str]:
    try:
        return list(group.keys())
    except Exception:  # noqa: BLE001 - plain HTTP cannot list, and this only adds a hint to an error
        return []


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_LISTED]) or "none"
    return f"{shown} and {len(names) - _LISTED} more" if len(names) > _LISTED else shown
