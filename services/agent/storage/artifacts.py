"""Artifacts on this disk: copied from wherever they are stored into a folder that is removed after use."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from mlops.scheduler import scheduler_pb2

from services.agent.storage.rclone import DownloadFailed, Rclone
from services.agent.storage.uris import download_folder, source_of
from shared.threads import to_its_end


class Artifacts:
    """Downloads below one folder, never two into the same place at once."""

    def __init__(self, folder: Path, rclone: Rclone) -> None:
        self._folder = folder
        self._rclone = rclone
        self._locks: dict[Path, asyncio.Lock] = {}

    def prepare(self) -> None:
        """Remove what an earlier process left. Blocks: run it in a thread."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)

    @contextlib.asynccontextmanager
    async def downloaded(self, internal: str, spec: scheduler_pb2.ModelSpec, deadline: float) -> AsyncIterator[Path]:
        """The artifact's folder, for as long as the context lasts; `deadline` in seconds is for the download alone.

        Raises InvalidInput, DownloadFailed or DeadlineExceeded, each with the URI and the cause.
        """
        source = source_of(spec.uri, spec.storageConfig, self._rclone.remote_types)
        destination = self._folder / download_folder(internal, spec.uri)
        lock = self._locks.setdefault(destination, asyncio.Lock())
        async with lock:
            try:
                if source.startswith("/"):
                    # Starting a program for each local folder costs more than its copy.
                    await to_its_end(_copy_local, Path(source), destination)
                else:
                    await self._rclone.copy(source, destination, spec.uri, deadline)
                if not await asyncio.to_thread(_has_files, destination):
                    raise DownloadFailed(f"found nothing at {spec.uri}")
                yield destination
            finally:
                await asyncio.to_thread(shutil.rmtree, destination, ignore_errors=True)
                self._locks.pop(destination, None)


def _copy_local(source: Path, destination: Path) -> None:
    if destination.is_relative_to(source.resolve()):
        raise DownloadFailed(f"{source} contains the agent's own folder: name the folder of the model itself")
    try:
        if source.is_dir():
            shutil.copytree(source, destination, ignore_dangling_symlinks=True, dirs_exist_ok=True)
        else:
            destination.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, destination)
    except FileNotFoundError as error:
        raise DownloadFailed(f"found nothing at {source}: {error.strerror}") from None
    except shutil.Error as error:
        # It lists every file; the first reason will do.
        raise DownloadFailed(f"copy of {source} failed: {error.args[0][0][2]}") from None
    except OSError as error:
        raise DownloadFailed(f"copy of {source} failed: {error}") from None


def _has_files(folder: Path) -> bool:
    return any(path.is_file() for path in folder.rglob("*"))
