"""The model repository on disk that the agent fills and the inference server reads."""

import os
import shutil
from pathlib import Path, PurePosixPath
from typing import Protocol

from mlops.scheduler import scheduler_pb2

from services.agent.repository.artifact_version import Listing


class Layout(Protocol):
    """How one kind of inference server wants a model on disk."""

    def build(
        self, download: Path, target: Path, internal: str, spec: scheduler_pb2.ModelSpec
    ) -> scheduler_pb2.ModelRuntimeInfo:
        """Move the artifact from `download` into the new folder `target`. Raises InvalidInput naming what is wrong."""


class Repository:
    """Folders below `<agent folder>/models`, one per internal name; each appears and disappears as a whole.

    Every method blocks on the disk: run it in a thread.
    """

    def __init__(self, agent_folder: Path, layout: Layout) -> None:
        self.models = agent_folder / "models"
        # Outside the repository: MLServer reads every settings file below it, finished or not.
        self._staging = agent_folder / "staging"
        self._layout = layout

    def prepare(self) -> None:
        """Make the folders, writable for the inference server's user, and remove half-built models."""
        shutil.rmtree(self._staging, ignore_errors=True)
        for folder in (self.models, self._staging):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o777)

    def names(self) -> frozenset[str]:
        return frozenset(folder.name for folder in self.models.iterdir() if folder.is_dir())

    def build(self, download: Path, internal: str, spec: scheduler_pb2.ModelSpec) -> scheduler_pb2.ModelRuntimeInfo:
        """Put a downloaded artifact into the repository, in place of an older one of that name."""
        built = self._staging / internal
        shutil.rmtree(built, ignore_errors=True)
        built.mkdir()
        try:
            runtime = self._layout.build(download, built, internal, spec)
            self.remove(internal)
            os.rename(built, self.models / internal)
        finally:
            shutil.rmtree(built, ignore_errors=True)
        return runtime

    def remove(self, internal: str) -> None:
        """Take a model out of the repository at once, then delete its files."""
        folder = self.models / internal
        if not folder.exists():
            return
        removed = self._staging / f"{internal}.removed"
        shutil.rmtree(removed, ignore_errors=True)
        os.rename(folder, removed)
        shutil.rmtree(removed, ignore_errors=True)


def list_folder(folder: Path) -> Listing:
    """Everything below `folder`, as relative paths."""
    files: set[PurePosixPath] = set()
    folders: set[PurePosixPath] = set()
    for path in folder.rglob("*"):
        relative = PurePosixPath(path.relative_to(folder))
        (folders if path.is_dir() else files).add(relative)
    return Listing(frozenset(files), frozenset(folders))
