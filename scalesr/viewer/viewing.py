"""Showing images in a browser: a server that runs as long as somebody looks, and the links that lead to it."""

from __future__ import annotations

import os
import webbrowser
from contextlib import suppress
from html import escape
from typing import TYPE_CHECKING, Any, Literal, Self

from scalesr.errors import InputError
from scalesr.images import Image
from scalesr.viewer.client import client_folder
from scalesr.viewer.dimensions import objection
from scalesr.viewer.exhibit import exhibit
from scalesr.viewer.partners import choose
from scalesr.viewer.server import Server, is_loopback
from scalesr.viewer.state import Shown, state_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scalesr.viewer.partners import Source

DEMO = "https://neuroglancer-demo.appspot.com/#!"
VIZARR = "https://hms-dbmi.github.io/vizarr/?source="
OPEN = "Everybody who reaches this machine and is given a link can read these images: the server listens at {host}."
FAR = (
    "Viewers on the web are left out: browsers let a page of https read http from the machine that they run on, and "
    "from no other."
)

Client = Literal["neuroglancer", "none"]
"""``none``: no viewer is served, only the images, for viewers elsewhere."""


class Viewing:
    """Images that are served as long as this is not stopped; also a context manager, which stops at its end.

    In a notebook, the last value of a cell shows the viewer below it.

    Parameters
    ----------
    server
        Which answers already.
    images
        What is served, with titles and addresses.
    notes
        What a person should know.
    """

    def __init__(self, server: Server, images: Sequence[Shown], notes: Sequence[str]) -> None:
        self._server = server
        self.images = tuple(images)
        """What is shown, from left to right, with the address of each."""
        self.notes = tuple(notes)
        """What was chosen or left out without being asked, and what to beware of."""

    @property
    def url(self) -> str:
        """Address that opens the viewer."""
        return self.links.get("neuroglancer", self.images[0].address)

    @property
    def links(self) -> dict[str, str]:
        """Addresses that open the images in viewers, by the names of these; for napari, a command.

        ``neuroglancer`` is served from here and needs no network. ``neuroglancer-demo`` and ``vizarr`` are pages on the
        web that read the images from here; they are absent where the server is not on the loopback.
        """
        found = {}
        if self._server.client == "neuroglancer":
            found["neuroglancer"] = self._server.url
        if self._server.loopback:
            if self._server.state:
                found["neuroglancer-demo"] = f"{DEMO}{self._server.url}state.json"
            found["vizarr"] = f"{VIZARR}{self.images[0].address}"
        found["napari"] = f"napari --plugin napari-ome-zarr {self.images[0].address}"
        return found

    def open(self) -> bool:
        """Open the viewer in the browser of this machine; return false where there is none."""
        with suppress(webbrowser.Error):
            return webbrowser.open(self.url)
        return False

    def stop(self) -> None:
        """Serve no more."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"Viewing({' beside '.join(one.title for one in self.images)}: {self.url})"

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{escape(note)}</p>" for note in self.notes)
        links = " ".join(
            f'<a href="{escape(link)}" target="_blank" rel="noopener">{escape(name)}</a>'
            for name, link in self.links.items()
            if link.startswith("http")
        )
        frame = ""
        if self._server.client == "neuroglancer":
            frame = f'<iframe src="{escape(self.url)}" style="width: 100%; height: 600px; border: 0"></iframe>'
        return f"<div>{frame}<p>{links}</p>{notes}</div>"


def view(
    source: str | os.PathLike[str] | Image,
    *,
    beside: Sequence[Source] | Source = (),
    field: str | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    client: Client = "neuroglancer",
    storage_options: Mapping[str, Any] | None = None,
) -> Viewing:
    """Serve an image to viewers, and show it beside what it was made from.

    Objects are served as they are stored, in the ranges that are asked for: nothing is converted, and memory holds a
    few pieces of some megabytes. Only this machine reaches the server unless `host` says otherwise, and only who was
    given the address, which holds a random secret. It runs in a thread until it is stopped or the program ends.

    Parameters
    ----------
    source
        An OME-Zarr image or plate by path or URL, or an image that is open. Of a plate one field is shown.
    beside
        One or more to show beside it at the same places in the sample. When none is given and scalesr made the image,
        its input is shown, if it can still be opened.
    field
        Well or field of a plate, such as ``B3`` or ``B/3/0``; the first one when not given.
    host, port
        Where to listen. 0 takes a port that is free.
    client
        ``none`` serves no viewer but the images alone, and needs no package neuroglancer.
    storage_options
        For all that are named by their places; handed to fsspec.

    Returns
    -------
    Viewing
        Its ``url`` opens the viewer, ``open()`` does so in a browser, and ``stop()`` ends the server.

    Raises
    ------
    InputError
        Something is no image, cannot be drawn, or does not lie beside the other; or nothing can listen there.
    PlanError
        The package neuroglancer is not installed.
    """
    folder = client_folder() if client == "neuroglancer" else None
    several = [beside] if isinstance(beside, str | os.PathLike | Image) else list(beside)
    chosen = choose(source, beside=several, field=field, storage_options=storage_options)
    images, notes = _drawable(chosen.images, list(chosen.notes), asked=bool(several), client=client)
    titles = _titles(images)
    exhibits = {title: exhibit(image) for title, image in zip(titles, images, strict=True)}
    server = Server(exhibits, host=host, port=port, client=folder)
    try:
        shown = [
            Shown(image=image, title=title, address=server.address(title))
            for title, image in zip(titles, images, strict=True)
        ]
        if not any(map(objection, images)):
            server.state = state_of(shown)
    except BaseException:
        server.stop()
        raise
    if not is_loopback(host):
        notes += [OPEN.format(host=host), FAR]
    server.start()
    return Viewing(server, shown, notes)


def _drawable(
    images: Sequence[Image], notes: list[str], *, asked: bool, client: Client
) -> tuple[list[Image], list[str]]:
    """Return the images that can be shown beside each other; an input that nobody asked for may be left out."""
    kept = [images[0]]
    problem = objection(images[0])
    if problem is not None and client == "neuroglancer":
        raise InputError(
            f"{problem}.", remedy="Correct the metadata or convert the image; or take another viewer: --links."
        )
    if problem is not None:
        notes.append(f"neuroglancer does not show it: {problem}.")
    for image in images[1:]:
        problem = objection(image, beside=images[0])
        if problem is None:
            kept.append(image)
        elif asked:
            raise InputError(f"{problem}.", remedy="Correct the metadata, or show that image alone.")
        else:
            notes.append(f"What it was made from is not shown beside it: {problem}.")
    return kept, notes


def _titles(images: Sequence[Image]) -> list[str]:
    """Return a name for each image; those that share one are numbered."""
    found: list[str] = []
    for image in images:
        name, number = image.name, 2
        while name in found:
            name, number = f"{image.name} ({number})", number + 1
        found.append(name)
    return found
