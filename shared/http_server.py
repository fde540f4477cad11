"""An HTTP server inside a service's own event loop."""

import asyncio

import uvicorn

from shared.ports import listening


class HttpServer:
    """An ASGI app on a port, as an async context manager inside a service's own event loop.

    At its end it takes no more connections and gives answers under way `grace_seconds`; idle connections of callers
    are kept for `idle_seconds`. Entering it raises Unavailable when the port is taken.
    """

    def __init__(self, app: object, host: str, port: int, grace_seconds: int = 1, idle_seconds: int = 5) -> None:
        self._host, self._port = host, port
        config = uvicorn.Config(
            app,  # type: ignore[arg-type]
            log_config=None,
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=grace_seconds,
            timeout_keep_alive=idle_seconds,
            # Proxied answers bring their own, and nothing here looks at forwarded addresses.
            proxy_headers=False,
            server_header=False,
            date_header=False,
        )
        self._server = uvicorn.Server(config)
        # The service owns the process's signals; uvicorn would otherwise take them over.
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "HttpServer":
        # The library's own way to take a port would end the process where it cannot.
        taken = listening(self._host, self._port)
        self._task = asyncio.create_task(self._server._serve([taken]), name="http-server")
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError(f"nothing listens on {self._host}:{self._port}")
            await asyncio.sleep(0.01)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await self._task
