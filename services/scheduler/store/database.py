"""Desired state on disk: SQLite in WAL mode, one writer thread, many changes in one commit, failed ones tried again."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.members.deployment import Deployment
from services.scheduler.core.members.fleet import Kind
from services.scheduler.core.pipelines.state import Pipeline
from services.scheduler.core.state import Model, ReplicaKey, Server, State, Version
from services.scheduler.store.pipelines import Write, read_pipelines, write_pipeline
from services.scheduler.store.schema import migrate
from shared import timing
from shared.delays import exponential
from shared.errors import Unavailable
from shared.logs import logger

_FIRST_RETRY_SECONDS: Final = 0.2
_LONGEST_RETRY_SECONDS: Final = 10.0
_log = logger("store")

Key = tuple[str, str]
"""A table and what is written there: a later write of the same key takes the place of an earlier one."""


class Store:
    """Reads once, at start; afterwards only writes. Observed state is never stored: agents report it again.

    What could not be written stays to be written, and only a commit that holds it clears it: the disk catches up with
    the memory as soon as it takes anything. Until then `problem` says what is wrong, and `stored` stays behind.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        migrate(self._connection, path)
        self._path = path
        self.watchers: list[Callable[[], None]] = []
        """Called after every commit and every failed one."""
        self.saved = 0
        """Changes that were handed over, counted."""
        self.stored = 0
        """As many of them are on disk, in their order."""
        self.problem = ""
        """Why the last commit failed; empty after one that did not."""
        self._dirty: dict[Key, Write] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._committing = False
        self._retry: asyncio.TimerHandle | None = None
        self._delays = exponential(_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)

    @property
    def unwritten(self) -> int:
        """Models, servers, pipelines and kinds of members that differ from what is on disk."""
        return len(self._dirty)

    def restore(self) -> tuple[State, set[ReplicaKey]]:
        """The desired state, and the replicas that were registered when it was last written."""
        (created,) = self._connection.execute("SELECT created FROM origin").fetchone()
        state = State(adopts_until=created + timing.DELETED_KEPT)
        models = "SELECT name, deleted_at, at_gateways FROM model"
        for name, deleted_at, at_gateways in self._connection.execute(models):
            state.models[name] = Model(name, deleted_at=deleted_at, gateway=Deployment(ended=not at_gateways))
        rows = self._connection.execute("SELECT model, number, definition, created, server, runtime_info FROM version")
        for name, number, definition, created, server, info in rows:
            version = Version(number, pb.Model.FromString(definition), created, server)
            version.runtime_info = pb.ModelRuntimeInfo.FromString(info) if info is not None else None
            state.models[name].versions[number] = version
        for name in [name for name, model in state.models.items() if not model.versions]:
            del state.models[name]
        servers = "SELECT name, shared, expected, minimum, maximum, kubernetes_meta FROM server"
        for name, shared, expected, minimum, maximum, meta in self._connection.execute(servers):
            server_meta = pb.KubernetesMeta.FromString(meta) if meta is not None else None
            state.servers[name] = Server(name, bool(shared), expected, minimum, maximum, server_meta)
        replicas = {ReplicaKey(*row) for row in self._connection.execute("SELECT server, replica FROM replica")}
        return state, replicas

    def restore_pipelines(self) -> dict[str, Pipeline]:
        """All pipelines by name."""
        return read_pipelines(self._connection)

    def restore_members(self) -> dict[Kind, set[str]]:
        """Who was connected when it was last written, by kind."""
        members: dict[Kind, set[str]] = {kind: set() for kind in Kind}
        for kind, name in self._connection.execute("SELECT kind, name FROM member"):
            members[Kind(kind)].add(name)
        return members

    def save_model(self, name: str, model: Model | None) -> asyncio.Future[None]:
        """Write a model as it is now, or forget it. The future is done when it is on disk."""
        if model is None:
            return self._submit(("model", name), lambda db: _delete(db, "model", name))
        versions = [
            (
                name,
                version.number,
                version.definition.SerializeToString(),
                version.created,
                version.server,
                version.runtime_info.SerializeToString() if version.runtime_info is not None else None,
            )
            for version in model.versions.values()
        ]
        row = (name, model.deleted_at, not model.gateway.ended)

        def write(db: sqlite3.Connection) -> None:
            _delete(db, "model", name)
            db.execute("INSERT INTO model VALUES (?, ?, ?)", row)
            db.executemany("INSERT INTO version VALUES (?, ?, ?, ?, ?, ?)", versions)

        return self._submit(("model", name), write)

    def save_server(self, name: str, server: Server | None) -> asyncio.Future[None]:
        """Write a server's bounds and known replicas as they are now, or forget it."""
        if server is None:
            return self._submit(("server", name), lambda db: _delete(db, "server", name))
        meta = server.kubernetes_meta.SerializeToString() if server.kubernetes_meta is not None else None
        row = (name, server.shared, server.expected, server.minimum, server.maximum, meta)
        replicas = [(name, index) for index in server.replicas]

        def write(db: sqlite3.Connection) -> None:
            _delete(db, "server", name)
            db.execute("INSERT INTO server VALUES (?, ?, ?, ?, ?, ?)", row)
            db.executemany("INSERT INTO replica VALUES (?, ?)", replicas)

        return self._submit(("server", name), write)

    def save_pipeline(self, name: str, pipeline: Pipeline | None) -> asyncio.Future[None]:
        """Write a pipeline as it is now, or forget it."""
        return self._submit(("pipeline", name), write_pipeline(name, pipeline))

    def save_members(self, kind: Kind, names: Iterable[str]) -> asyncio.Future[None]:
        """Write down who is to be waited for after a restart."""
        rows = [(kind.value, name) for name in names]

        def write(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM member WHERE kind = ?", (kind.value,))
            db.executemany("INSERT INTO member VALUES (?, ?)", rows)

        return self._submit(("members", kind.value), write)

    def _submit(self, key: Key, write: Write) -> asyncio.Future[None]:
        """The future ends with the first commit that tries it; Unavailable when that one fails."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self.saved += 1
        self._dirty[key] = write
        self._waiting.append(done)
        if not self._committing:
            self._committing = True
            loop.call_soon(self._flush, loop)
        return done

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        taken, self._dirty = self._dirty, {}
        waiting, self._waiting = self._waiting, []
        up_to = self.saved
        committed = loop.run_in_executor(self._writer, self._commit, list(taken.values()))
        committed.add_done_callback(lambda result: self._committed(taken, waiting, up_to, result, loop))

    def _commit(self, writes: list[Write]) -> None:
        with _transaction(self._connection) as db:
            for write in writes:
                write(db)

    def _committed(
        self,
        taken: dict[Key, Write],
        waiting: list[asyncio.Future[None]],
        up_to: int,
        result: asyncio.Future[None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        error = result.exception()
        if error is None:
            if self.problem:
                _log.info("written", changes=len(taken))
            self.stored, self.problem = up_to, ""
            self._delays = exponential(_FIRST_RETRY_SECONDS, _LONGEST_RETRY_SECONDS)
        else:
            self._dirty = taken | self._dirty
            if str(error) != self.problem:
                _log.error("not written", reason=str(error), path=str(self._path), changes=len(self._dirty))
            self.problem = str(error)
        for done in waiting:
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(Unavailable(self._sentence()))
                done.exception()  # not everyone who changes something waits for it
        self._committing = bool(self._waiting)
        if self._committing:
            self._flush(loop)
        elif self._dirty:
            self._retry = loop.call_later(next(self._delays), self._try_again, loop)
        for watch in self.watchers:
            watch()

    def _try_again(self, loop: asyncio.AbstractEventLoop) -> None:
        self._retry = None
        if not self._committing:
            self._committing = True
            self._flush(loop)

    def _sentence(self) -> str:
        return (
            f"the change is not on disk yet ({self.problem}): make {self._path} writable or free space there; "
            "it is tried again by itself, and until then no server, gateway or engine is instructed"
        )

    def close(self) -> None:
        """Finish what is being written."""
        if self._retry is not None:
            self._retry.cancel()
        self._writer.shutdown(wait=True)
        self._connection.close()


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk may have ended it already
            db.execute("ROLLBACK")
        raise


def _delete(db: sqlite3.Connection, table: str, name: str) -> None:
    db.execute(f"DELETE FROM {table} WHERE name = ?", (name,))
