"""A web server for the bytes of images, and for the viewer that draws them; nothing else can be had from it."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from secrets import token_urlsafe
from threading import Event, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError, RequestHandler, StaticFileHandler

from scalesr.errors import InputError, ScalesrError
from scalesr.secrecy import without_secrets
from scalesr.viewer.exhibit import METADATA
from scalesr.viewer.ranges import OutOfRangeError, asked_range

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scalesr.viewer.exhibit import Exhibit, Found

PIECE = 4 * 2**20
"""Bytes of an object that are in memory at the same time for one request."""
THREADS = 16
"""Reads from storage at the same time."""
_KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css", "wasm": "application/wasm"}
_LOCAL = ("127.0.0.1", "localhost", "[::1]")
_LOG = logging.getLogger(__name__)


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Server:
    """Serves images below a secret path, in a thread of its own, until it is stopped.

    Reading only (GET, HEAD, OPTIONS). Every page may read (CORS), if it knows the path, which is 128 random bits.
    Bound to the loopback it answers only who calls it by a name of the loopback: a page of somebody else that has its
    own name point to this machine (DNS rebinding) is refused.

    Parameters
    ----------
    exhibits
        Images by the names under which they are served.
    host
        Address to listen at.
    port
        0 takes a free one.
    client
        Folder of neuroglancer's built client; None serves none.

    Raises
    ------
    InputError
        Nothing can be bound there.
    """

    def __init__(self, exhibits: Mapping[str, Exhibit], *, host: str, port: int, client: Path | None) -> None:
        try:
            self._sockets = bind_sockets(port, host or None)
        except (OSError, OverflowError) as error:
            raise InputError(
                f"No server can listen at {host}:{port}: {getattr(error, 'strerror', None) or error}.",
                remedy="Take another --port (0 is any that is free), or a --host of this machine.",
            ) from error
        self.port: int = self._sockets[0].getsockname()[1]
        self.loopback = is_loopback(host)
        """Whether only this machine reaches it."""
        self.client = "none" if client is None else "neuroglancer"
        """Which viewer it serves."""
        name = f"[{host}]" if ":" in host else host
        anywhere = host in ("", "0.0.0.0", "::")  # noqa: S104 it is compared with
        self.origin = f"http://{socket.gethostname() if anywhere else name}:{self.port}"
        self._secret = token_urlsafe(16)
        self.state: dict[str, Any] = {}
        """What the viewer is to show; set before its address is given away."""
        self._names = {name: number for number, name in enumerate(exhibits)}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="scalesr-view")
        hosts = {f"{one}:{self.port}" for one in (*_LOCAL, name)} | ({*_LOCAL, name} if self.port == 80 else set())
        common = {"hosts": hosts if self.loopback else None}
        below = f"/{self._secret}"
        self._exhibits = tuple(exhibits.values())
        objects = common | {"exhibits": self._exhibits, "pool": self._pool}
        handlers: list[Any] = [
            (rf"{below}/(\d{{1,4}})/[^/]+/(.*)", _Objects, objects),
            (rf"{below}/state\.json", _State, common | {"server": self}),
        ]
        if client is not None:
            handlers += [
                (rf"{below}/", _Entrance, common | {"server": self}),
                (rf"{below}/v/neuroglancer/([\w.\-]*)", _Client, common | {"path": str(client)}),
                (rf"{below}/events/neuroglancer", _Events, common),
            ]
        self._application = Application(handlers, log_function=lambda _: None, default_handler_class=_Nothing,
                                        default_handler_args=common)  # fmt: skip
        self._over: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None

    @property
    def url(self) -> str:
        """Address of everything, with a slash at its end; it opens the viewer where there is one."""
        return f"{self.origin}/{self._secret}/"

    def address(self, name: str) -> str:
        """Return where the image of a name is served."""
        readable = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.") or "image"
        return f"{self.url}{self._names[name]}/{readable.removesuffix('.zarr').removesuffix('.ome')}.ome.zarr"

    def start(self) -> None:
        """Begin to answer."""
        ready = Event()
        self._thread = Thread(target=lambda: asyncio.run(self._answer(ready)), name="scalesr-view", daemon=True)
        self._thread.start()
        ready.wait()

    def stop(self) -> None:
        """Answer no more, and give the port back; a second time does nothing."""
        if self._thread is not None and self._thread.is_alive() and self._loop is not None and self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()
        for one in self._sockets:
            one.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _answer(self, ready: Event) -> None:
        server = HTTPServer(self._application)
        server.add_sockets(self._sockets)
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        ready.set()
        await self._over.wait()
        server.stop()
        await server.close_all_connections()


class _Guarded(RequestHandler):
    """Refuses strangers, and lets every page read the answer."""

    SUPPORTED_METHODS = ("GET", "HEAD", "OPTIONS")

    def initialize(self, hosts: set[str] | None) -> None:
        self._hosts = hosts

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Access-Control-Expose-Headers", "Accept-Ranges, Content-Length, Content-Range, ETag")
        self.set_header("X-Content-Type-Options", "nosniff")
        # The address holds the secret.
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-cache")

    def prepare(self) -> None:
        if self._hosts is not None and self.request.host.lower() not in self._hosts:
            raise HTTPError(403)

    def options(self, *_: str) -> None:
        """Answer a preflight."""
        self.set_header("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        self.set_header("Access-Control-Allow-Headers", "*")
        self.set_header("Access-Control-Max-Age", "3600")
        if self.request.headers.get("Access-Control-Request-Private-Network") == "true":
            self.set_header("Access-Control-Allow-Private-Network", "true")
        self.set_status(204)

    def write_error(self, status_code: int, **_: Any) -> None:
        """Say no more than the status."""
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{status_code} {self._reason}\n")


class _Nothing(_Guarded):
    """What is not there."""

    def get(self) -> None:
        # Browsers ask for the picture of any site, and would complain on its page.
        if self.request.path == "/favicon.ico":
            self.set_status(204)
            return
        raise HTTPError(404)

    head = get

    def options(self, *_: str) -> None:
        raise HTTPError(404)


class _State(_Guarded):
    """What the viewer is to show, for viewers elsewhere."""

    def initialize(self, hosts: set[str] | None, server: Server) -> None:  # type: ignore[override]
        super().initialize(hosts)
        self._server = server

    def get(self) -> None:
        self.write(self._server.state)

    head = get


class _Entrance(_State):
    """Opens the viewer with the state in its fragment."""

    def get(self) -> None:
        self.redirect(f"{self._server.url}v/neuroglancer/#!{quote(json.dumps(self._server.state))}")

    head = get


class _Events(_Guarded):
    """The line over which neuroglancer's client, built for Python, waits for news of its state: there are none."""

    async def get(self) -> None:
        self._gone = asyncio.Event()
        self.set_header("Content-Type", "text/event-stream")
        self.write(": no news\n\n")
        await self.flush()
        await self._gone.wait()

    def on_connection_close(self) -> None:
        """Wait no more."""
        self._gone.set()


class _Client(_Guarded, StaticFileHandler):
    """The built client of neuroglancer."""

    def initialize(self, hosts: set[str] | None, path: str) -> None:  # type: ignore[override]
        _Guarded.initialize(self, hosts)
        StaticFileHandler.initialize(self, path, default_filename="index.html")

    def parse_url_path(self, url_path: str) -> str:
        """Return the name of a file."""
        return url_path or "index.html"

    def get_content_type(self) -> str:
        """Return what a file is; what the machine's own tables say of scripts cannot be relied upon."""
        suffix = self.absolute_path.rpartition(".")[2] if self.absolute_path else ""
        return _KINDS.get(suffix) or super().get_content_type()


class _Objects(_Guarded):
    """The objects of images, as they are stored, piece by piece."""

    def initialize(  # type: ignore[override]
        self, hosts: set[str] | None, exhibits: tuple[Exhibit, ...], pool: ThreadPoolExecutor
    ) -> None:
        super().initialize(hosts)
        self._exhibits, self._pool = exhibits, pool

    async def get(self, number: str, key: str) -> None:
        try:
            await self._answer(int(number), key)
        except StreamClosedError:
            return  # whoever asked has gone away
        except (ScalesrError, OSError) as error:
            _LOG.warning("%s cannot be read: %s", key, without_secrets(str(error)))
            if self._headers_written:
                # A short answer must not be taken for a whole one.
                connection: Any = self.request.connection
                connection.stream.close()
                return
            self.clear()
            raise HTTPError(502) from error

    head = get

    async def _answer(self, number: int, key: str) -> None:
        loop = asyncio.get_running_loop()
        shown = self._exhibits[number] if number < len(self._exhibits) else None
        found = None if shown is None else await loop.run_in_executor(self._pool, shown.find, key)
        if shown is None or found is None:
            raise HTTPError(404)
        part = self._part(found)
        if part is None:
            return
        while part and self.request.method == "GET":
            piece = await loop.run_in_executor(self._pool, shown.read, key, part[:PIECE])
            if len(piece) != len(part[:PIECE]):
                raise OSError(f"it has become shorter than {found.size} bytes")
            self.write(piece)
            await self.flush()
            part = part[PIECE:]

    def _part(self, found: Found) -> range | None:
        """Write the headers, and return the bytes to send; ``None`` where there are none."""
        name = found.key.rpartition("/")[2]
        self.set_header("Content-Type", "application/json" if name in METADATA else "application/octet-stream")
        self.set_header("Accept-Ranges", "bytes")
        if found.tag is not None:
            self.set_header("Etag", found.tag)
            known = self.request.headers.get("If-None-Match", "")
            if known.strip() == "*" or found.tag in re.findall(r'"[^"]*"', known):
                self.set_status(304)
                return None
        asked = self.request.headers.get("Range")
        if self.request.headers.get("If-Range", found.tag) != found.tag:
            asked = None
        try:
            part = asked_range(asked, found.size)
        except OutOfRangeError:
            self.set_status(416)
            self.set_header("Content-Range", f"bytes */{found.size}")
            return None
        if part is not None:
            self.set_status(206)
            self.set_header("Content-Range", f"bytes {part.start}-{part.stop - 1}/{found.size}")
        whole = range(found.size) if part is None else part
        self.set_header("Content-Length", str(len(whole)))
        return whole

    def compute_etag(self) -> str | None:
        """Return None: the tag is of the object and not of what is sent of it."""
        return None
