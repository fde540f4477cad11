"""A TCP line between two peers that can go dumb: its connections stay open, and nothing gets through any more."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

_CHUNK = 64 * 1024


class Line:
    """Listens on `port` and leads to `target` on this machine."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._heard = asyncio.Event()
        self._heard.set()
        self._pumps: set[asyncio.Task[None]] = set()

    def go_dumb(self) -> None:
        """From now on bytes are taken and kept, also those of new connections."""
        self._heard.clear()

    def mend(self) -> None:
        """New connections work; the old ones are as broken as after a power cut."""
        for pump in self._pumps:
            pump.cancel()
        self._heard.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pump = asyncio.current_task()
        assert pump is not None
        self._pumps.add(pump)
        try:
            await self._heard.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            async with contextlib.AsyncExitStack() as stack:
                stack.callback(back.close)
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pump(reader, back))
                    both.create_task(self._pump(there, writer))
        except (asyncio.CancelledError, OSError, ExceptionGroup):
            pass  # how connections end here
        finally:
            self._pumps.discard(pump)
            writer.close()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(_CHUNK):
            await self._heard.wait()
            sink.write(data)
            await sink.drain()
        # One side hung up. On a dumb line the other side does not hear of that either.
        await self._heard.wait()
        raise ConnectionResetError


@contextlib.asynccontextmanager
async def line_to(target: int) -> AsyncIterator[Line]:
    """A line to port `target`, which need not be open yet."""
    line = Line(target)
    server = await asyncio.start_server(line._connected, "127.0.0.1", 0)
    line.port = server.sockets[0].getsockname()[1]
    try:
        yield line
    finally:
        server.close()
        line.mend()
        await asyncio.gather(*line._pumps, return_exceptions=True)
