"""The rclone program, through the rclone-python library: copies with a deadline, and remotes in a file of our own."""

import asyncio
import contextlib
import json
import logging
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rclone_python import rclone, utils

from services.agent.storage.uris import Remote
from shared.errors import DeadlineExceeded, SeldonError, Unavailable
from shared.logs import logger

_log = logger("rclone")

# The library hands one string to a shell. So every part of it is quoted here, and the shell's first act is to write
# down its process id and become rclone: this makes a copy something that can be ended. Without the note to write it
# to, the call was given up before it began.
_LAUNCH = 'test -e "$0" || exit 1; echo "$$" >"$0"; exec "$@"'
_TRANSFER_OPTIONS = (
    "--retries=2",
    "--low-level-retries=3",
    "--contimeout=15s",
    "--timeout=60s",
    "--create-empty-src-dirs",
)
_OPENING_FAILED = re.compile(r'Failed to create file system for "(?:[^"\\]|\\.)*": ', re.DOTALL)
_PARALLEL_COPIES = 8


class DownloadFailed(SeldonError):
    """rclone could not copy an artifact; the sentence holds the URI and what rclone said."""


@dataclass(frozen=True)
class _Result:
    status: int
    output: str
    log: str


class Rclone:
    """One rclone program with one configuration file. Calls run in threads of their own, a few at a time."""

    def __init__(self, folder: Path) -> None:
        """`folder` is for the configuration file and for notes of running processes."""
        self._folder = folder
        self._config = folder / "rclone.conf"
        self._threads = ThreadPoolExecutor(_PARALLEL_COPIES, thread_name_prefix="rclone")
        self._calls = 0
        self.remote_types: Mapping[str, str] = {}
        """Types of the remotes in the configuration file, by name."""
        rclone.set_log_level(logging.WARNING)  # its debug lines hold whole commands, credentials included
        rclone.set_executable_file(f"exec sh -c {shlex.quote(_LAUNCH)}", validate=False)

    def prepare(self) -> None:
        """Make the folder and end what an earlier process of ours left running. Blocks: run it in a thread."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._config.touch(mode=0o600)
        for note in self._folder.glob("*.pid"):
            _end_process(note, str(self._folder))
            note.unlink(missing_ok=True)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def version(self, deadline: float = 30.0) -> str:
        """The program's first line about itself. Raises Unavailable when it does not run."""
        result = await self._run(["version"], deadline)
        if result.status != 0:
            raise Unavailable(f"rclone does not run: {_last_message(result.log)}")
        return result.output.partition("\n")[0]

    async def copy(self, source: str, destination: Path, uri: str, deadline: float) -> None:
        """Copy a remote or local folder, or one file, into the local folder `destination`.

        `uri` stands for `source` in messages, since that may hold credentials; `deadline` is in seconds.
        Raises DownloadFailed with rclone's own words, DeadlineExceeded when time is up.
        """
        try:
            result = await self._run(["copy", *_TRANSFER_OPTIONS, "--", source, str(destination)], deadline)
        except TimeoutError:
            raise DeadlineExceeded(f"download of {uri} was not finished after {deadline:.0f} s") from None
        if result.status != 0:
            said = _OPENING_FAILED.sub("", _last_message(result.log)).replace(source, uri)
            raise DownloadFailed(f"download of {uri} failed: rclone says: {said}")

    async def replace_remotes(self, remotes: Sequence[Remote]) -> list[str]:
        """Make `remotes` the only ones. Gives a sentence for each that rclone refuses; those are left out."""
        fresh = self._folder / "rclone.conf.new"
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        problems: list[str] = []
        for remote in remotes:
            options = [f"{key}={value}" for key, value in remote.parameters.items()]
            arguments = ["config", "create", "--non-interactive", "--", remote.name, remote.type, *options]
            result = await self._run(arguments, deadline=60.0, config=fresh)
            if result.status != 0:
                problems.append(f"rclone refuses remote {remote.name!r}: {_last_message(result.log)}")
        os.replace(fresh, self._config)
        self.remote_types = {remote.name: remote.type for remote in remotes}
        return problems

    async def _run(self, arguments: Sequence[str], deadline: float, config: Path | None = None) -> _Result:
        """Raises TimeoutError after `deadline` seconds; ends the process then, and when the caller is cancelled."""
        self._calls += 1
        note = self._folder / f"{os.getpid()}-{self._calls}.pid"
        command = [str(note), _executable(), f"--config={config or self._config}", "--use-json-log", *arguments]
        note.touch()
        quoted = [shlex.quote(argument) for argument in command]
        call = asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: utils.run_rclone_cmd(quoted[0], args=quoted[1:], raise_errors=False)
        )
        try:
            async with asyncio.timeout(deadline):
                status, output, log = await asyncio.shield(call)
            return _Result(status, output, log)
        finally:
            if not call.done():
                _end_process(note, str(self._folder))
                call.cancel()
            note.unlink(missing_ok=True)


def _executable() -> str:
    """rclone beside this Python (as the wheel installs it), else from the PATH."""
    beside = Path(sys.executable).with_name("rclone")
    return str(beside) if beside.is_file() else shutil.which("rclone") or "rclone"


def _end_process(note: Path, mark: str) -> None:
    """End the process whose id the note holds, if it still is one of ours: its command line names `mark`."""
    with contextlib.suppress(OSError, ValueError):
        process = int(note.read_text())
        if mark.encode() in Path(f"/proc/{process}/cmdline").read_bytes():
            os.kill(process, signal.SIGKILL)


def _last_message(log: str) -> str:
    """The last line of rclone's log, without its technical frame."""
    for line in reversed(log.strip().splitlines()):
        try:
            message = json.loads(line)["msg"]
        except (ValueError, KeyError, TypeError):
            message = line
        if isinstance(message, str) and message.strip():
            return message.strip()
    return "nothing"
