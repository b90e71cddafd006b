"""A proxy that stands between a client and a store, counts, and makes trouble: answers of 500, silence, a cut cable."""

from __future__ import annotations

import asyncio
import random
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Trouble = Literal["500", "503", "slow", "reset", "short"]
"""An answer of 500 or 503, one that comes late, a connection that breaks before, or in the middle of, the answer."""

_BODY = b"<?xml version='1.0'?><Error><Code>%s</Code><Message>Please try again.</Message></Error>"
_ANSWERS = {
    "500": b"HTTP/1.1 500 Internal Server Error\r\n"
    + b"Content-Length: %d\r\n\r\n%s" % (len(_BODY % b"InternalError"), _BODY % b"InternalError"),
    "503": b"HTTP/1.1 503 Slow Down\r\n"
    + b"Content-Length: %d\r\n\r\n%s" % (len(_BODY % b"SlowDown"), _BODY % b"SlowDown"),
}


@dataclass
class Proxy:
    """What the proxy does; may be changed at any time."""

    port: int
    target: int
    share: float = 0.0
    """Which share of the requests gets trouble."""
    troubles: tuple[Trouble, ...] = ("500", "503", "slow", "reset", "short")
    delay: float = 0.3
    """Seconds by which a slow answer is late."""
    seed: int = 0
    requests: int = 0
    """Requests so far."""
    troubled: int = 0
    """Requests so far that got trouble."""
    lines: list[str] = field(default_factory=list)
    """First line of each request."""
    is_cut: bool = False
    _random: random.Random = field(default_factory=lambda: random.Random(0))
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop | None = None

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Cut all connections, and refuse new ones."""
        self.is_cut = True
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._abort)

    def _abort(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    def mend(self) -> None:
        """Let requests through again."""
        self.is_cut = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self._writers.add(writer)
        try:
            while not self.is_cut and await self._pass_on(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"expect: 100-continue" in head.lower():
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _body(reader, head)
        self.requests += 1
        self.lines.append(head.split(b"\r\n", 1)[0].decode())
        trouble = self._random.choice(self.troubles) if self._random.random() < self.share else None
        self.troubled += trouble is not None
        if trouble in ("500", "503"):
            writer.write(_ANSWERS[trouble])
            await writer.drain()
            return True
        if trouble == "reset":
            return False
        if trouble == "slow":
            await asyncio.sleep(self.delay)
        theirs, ours = await asyncio.open_connection("127.0.0.1", self.target, limit=2**24)
        try:
            # One connection for each request keeps the ends of answers simple.
            ours.write(_closing(head) + body)
            await ours.drain()
            answer = await theirs.read()
        finally:
            ours.close()
        if trouble == "short" and len(answer) > 1:
            writer.write(answer[: len(answer) // 2])
            await writer.drain()
            return False
        writer.write(answer)
        await writer.drain()
        return False


def _closing(head: bytes) -> bytes:
    lines = [line for line in head.split(b"\r\n") if line and not line.lower().startswith((b"connection:", b"expect:"))]
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:])
    }
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        parts = []
        while True:
            size = await reader.readuntil(b"\r\n")
            parts.append(size + await reader.readexactly(int(size.split(b";")[0], 16) + 2))
            if int(size.split(b";")[0], 16) == 0:
                return b"".join(parts)
    return await reader.readexactly(int(headers.get(b"content-length", b"0")))


async def _ended(tasks: set[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def proxy(target: int, *, port: int) -> Iterator[Proxy]:
    """Run a proxy in a thread of its own."""
    made = Proxy(port=port, target=target)
    loop = asyncio.new_event_loop()
    made._loop = loop
    ready = Event()

    async def run() -> None:
        server = await asyncio.start_server(made.serve, "127.0.0.1", port, limit=2**24)
        ready.set()
        with suppress(asyncio.CancelledError):
            await server.serve_forever()

    def main() -> None:
        task = loop.create_task(run())
        made_task.append(task)
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        rest = asyncio.all_tasks(loop)
        for one in rest:
            one.cancel()
        loop.run_until_complete(_ended(rest))
        loop.close()

    made_task: list[asyncio.Task[None]] = []
    thread = Thread(target=main, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield made
    finally:
        loop.call_soon_threadsafe(made_task[0].cancel)
        thread.join(10)
