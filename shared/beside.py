"""Work on large messages in processes beside this one, where it stops nobody. On small ones it is done where it stands.

A thread would not do: parsers of JSON and protobuf keep the interpreter to themselves until they are through.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, Final, TypeVar

from shared.errors import Unavailable
from shared.logs import logger

LARGE: Final = 512 * 1024
"""Bytes above which work goes elsewhere: less takes no longer than the way there and back."""
_PR_SET_PDEATHSIG: Final = 1
_log = logger("beside")
_Result = TypeVar("_Result")


class Beside:
    """The processes start with the first large message, and end with `close`."""

    def __init__(self, processes: int | None = None) -> None:
        """`processes` work at the same time; by default half as many as there are processors."""
        self._processes: Final = processes or max(1, (os.cpu_count() or 1) // 2)
        self._pool: ProcessPoolExecutor | None = None

    async def run(self, size: int, work: Callable[..., _Result], *arguments: Any) -> _Result:
        """What `work` returns or raises. It and its arguments have to be such that another process can be told of them.

        `size` is that of the message, in bytes. Raises Unavailable when the process that had it has died.
        """
        if size <= LARGE:
            return work(*arguments)
        pool = self._pool = self._pool or ProcessPoolExecutor(
            self._processes, mp_context=get_context("spawn"), initializer=_begin, initargs=(os.getpid(),)
        )
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)
        except BrokenProcessPool:
            if self._pool is pool:
                self._pool = None
            _log.error("a process for large messages died", size=size)
            raise Unavailable(f"the process that worked on the message of {size} bytes died: try again") from None

    async def close(self) -> None:
        """Returns when the processes have ended; what they had not begun is not done."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            await asyncio.to_thread(pool.shutdown, wait=True, cancel_futures=True)


def _begin(parent: int) -> None:
    """In each process: leave it to the parent to say when it is over, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
