"""What is saved comes back, and a database never holds half of a change, however its process ends."""

import asyncio
import os
import sqlite3
import sys
import time
from pathlib import Path

import pytest
from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.members.deployment import Deployment
from services.scheduler.core.members.fleet import Kind
from services.scheduler.core.pipelines.state import Pipeline, PipelineVersion
from services.scheduler.core.routing import PipelinePlan
from services.scheduler.core.state import Model, ReplicaKey, Server, Version
from services.scheduler.store.database import Store
from shared import timing
from shared.errors import Unavailable
from tests.scheduler.builders import model, pipeline, replica

ROOT = Path(__file__).resolve().parents[2]


def some_model() -> Model:
    info = pb.ModelRuntimeInfo(mlserver=pb.MLServerModelSettings(parallelWorkers=4))
    first = Version(3, model("iris"), created=12.5, server="ml", runtime_info=info)
    return Model("iris", {3: first, 4: Version(4, model("iris", "b"), created=13.5)}, deleted_at=14.5)


def some_server() -> Server:
    meta = pb.KubernetesMeta(namespace="seldon", generation=7)
    return Server("ml", False, 2, 1, 5, meta, {0: replica(1), 3: replica(2)})


async def test_restored_equals_saved(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    await asyncio.gather(store.save_model("iris", some_model()), store.save_server("ml", some_server()))
    store.close()
    state, known = Store(tmp_path / "s.db").restore()
    assert state.models == {"iris": some_model()}
    saved = some_server()
    saved.replicas = {}
    assert state.servers == {"ml": saved}
    assert known == {ReplicaKey("ml", 0), ReplicaKey("ml", 3)}


def test_a_database_remembers_when_it_was_made(tmp_path: Path) -> None:
    before = time.time()
    stores = [Store(tmp_path / "s.db") for _ in range(2)]
    first, again = (store.restore()[0].adopts_until - timing.DELETED_KEPT for store in stores)
    for store in stores:
        store.close()
    assert first == again
    assert before - 1 <= first <= time.time() + 1


async def test_last_write_wins_and_forgotten_is_gone(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    writes = [store.save_model("iris", some_model()), store.save_model("wine", Model("wine", some_model().versions))]
    writes += [store.save_model("iris", None), store.save_server("ml", some_server()), store.save_server("ml", None)]
    shrunk = Model("wine", {9: Version(9, model("wine"), created=1.0)})
    writes.append(store.save_model("wine", shrunk))
    await asyncio.gather(*writes)
    store.close()
    state, known = Store(tmp_path / "s.db").restore()
    assert state.models == {"wine": shrunk}
    assert state.servers == {}
    assert known == set()


async def test_many_changes_at_once_are_all_written(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    watcher = sqlite3.connect(tmp_path / "s.db")
    writes = [store.save_model(f"m{n}", Model(f"m{n}", {1: Version(1, model(f"m{n}"), 1.0)})) for n in range(500)]
    await asyncio.gather(*writes)
    assert watcher.execute("SELECT count(*) FROM version").fetchone() == (500,)
    watcher.close()
    store.close()


async def test_a_failed_write_is_told_to_whoever_waits_for_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    intruder = sqlite3.connect(tmp_path / "s.db")
    intruder.execute("DROP TABLE version")
    intruder.commit()
    intruder.close()
    with pytest.raises(Unavailable, match=r"not on disk yet \(no such table: version\): make .*s\.db writable"):
        await store.save_model("iris", some_model())
    store.close()


def test_a_database_of_another_version_is_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "s.db")
    other.execute("PRAGMA user_version=99")
    other.close()
    with pytest.raises(RuntimeError, match="schema 99"):
        Store(tmp_path / "s.db")


async def test_pipelines_and_members_come_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    saved = some_pipeline()
    await asyncio.gather(
        store.save_pipeline("alpha", saved),
        store.save_pipeline("beta", Pipeline("beta", {1: some_version(1)})),
        store.save_pipeline("beta", None),
        store.save_members(Kind.ENGINE, ["flow-0", "flow-1"]),
        store.save_members(Kind.MODEL_GATEWAY, ["mgw-0"]),
        store.save_members(Kind.MODEL_GATEWAY, []),
    )
    store.close()
    store = Store(tmp_path / "s.db")
    assert store.restore_pipelines() == {"alpha": saved}
    known = {Kind.ENGINE: {"flow-0", "flow-1"}, Kind.MODEL_GATEWAY: set(), Kind.PIPELINE_GATEWAY: set()}
    assert store.restore_members() == known
    store.close()


def some_version(number: int, *, superseded: bool = False, ended: bool = False) -> PipelineVersion:
    definition = pipeline("alpha", "iris")
    definition.version, definition.uid = number, f"uid{number}"
    engine = Deployment(number, wanted=not (superseded or ended), ended=ended)
    return PipelineVersion(definition, 10.0 + number, superseded, engine)


def some_pipeline() -> Pipeline:
    plan = PipelinePlan((("10.0.0.1", 9010, 9011),))
    return Pipeline(
        "alpha",
        {1: some_version(1, superseded=True), 2: some_version(2)},
        deleted_at=15.5,
        leaving=[some_version(4)],
        past=[some_version(7, ended=True), some_version(3, ended=True)],
        gateway=Deployment(ended=False),
        published=plan,
        taken=plan,
        offered=None,
    )


async def test_models_of_a_database_without_pipelines_are_kept(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "s.db")
    old.executescript(
        """
        CREATE TABLE model (name TEXT PRIMARY KEY, deleted_at REAL);
        CREATE TABLE version (
            model TEXT NOT NULL REFERENCES model ON DELETE CASCADE, number INTEGER NOT NULL,
            definition BLOB NOT NULL, created REAL NOT NULL, server TEXT, runtime_info BLOB,
            PRIMARY KEY (model, number)
        );
        CREATE TABLE server (
            name TEXT PRIMARY KEY, shared INTEGER NOT NULL, expected INTEGER NOT NULL,
            minimum INTEGER NOT NULL, maximum INTEGER NOT NULL, kubernetes_meta BLOB
        );
        CREATE TABLE replica (
            server TEXT NOT NULL REFERENCES server ON DELETE CASCADE, replica INTEGER NOT NULL,
            PRIMARY KEY (server, replica)
        );
        PRAGMA user_version=1;
        """
    )
    old.execute("INSERT INTO model VALUES ('iris', NULL)")
    definition = model("iris").SerializeToString()
    old.execute("INSERT INTO version VALUES ('iris', 3, ?, 12.5, 'ml', NULL)", (definition,))
    old.commit()
    old.close()
    store = Store(tmp_path / "s.db")
    state, _ = store.restore()
    assert state.models == {"iris": Model("iris", {3: Version(3, model("iris"), 12.5, "ml")})}
    assert state.adopts_until == timing.DELETED_KEPT  # of an old database it is not known when it was made
    assert store.restore_pipelines() == {}
    await store.save_pipeline("alpha", some_pipeline())
    store.close()
    again = Store(tmp_path / "s.db")
    assert set(again.restore_pipelines()) == {"alpha"}
    again.close()


# Writes generation after generation of one model, all its versions in one save, and says when each is on disk.
_WRITER = """
import asyncio, sys
from pathlib import Path
from services.scheduler.core.state import Model, Version
from services.scheduler.store.database import Store
from shared.errors import Unavailable
from tests.scheduler.builders import model

async def main():
    store = Store(Path(sys.argv[1]))
    for generation in range(1, 1_000_000):
        numbers = range(generation, generation + 5)
        saved = Model("iris", {n: Version(n, model("iris", str(generation)), 1.0) for n in numbers})
        await store.save_model("iris", saved)
        print(generation, flush=True)

asyncio.run(main())
"""


async def test_killed_while_writing(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for _ in range(3):
        writer = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _WRITER, str(tmp_path / "s.db"),
            cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert writer.stdout is not None
        for _ in range(20):
            told = int(await writer.stdout.readline())
        writer.kill()
        remaining = (await writer.stdout.read()).split()
        await writer.wait()
        told = int(remaining[-1]) if remaining and remaining[-1].isdigit() else told
        store = Store(tmp_path / "s.db")
        state, _ = store.restore()
        store.close()
        versions = state.models["iris"].versions
        first = min(versions)
        assert sorted(versions) == list(range(first, first + 5))
        assert {version.definition.modelSpec.uri for version in versions.values()} == {str(first)}
        assert first >= told, "what was reported as written is not there"


async def test_what_could_not_be_written_is_written_with_the_next_commit_that_can(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    stored = asyncio.Event()
    store.watchers.append(lambda: stored.set() if store.stored == store.saved else None)
    limit = "PRAGMA max_page_count"
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"{limit}={pages}")  # the database cannot grow: as on a full disk
    long = Model("long", {1: Version(1, model("long", "x" * 100_000), 1.0)})
    with pytest.raises(Unavailable, match="database or disk is full"):
        await store.save_model("long", long)
    assert (store.problem, store.unwritten, store.stored) == ("database or disk is full", 1, 0)
    with pytest.raises(Unavailable):
        await store.save_model("iris", some_model())
    assert store.unwritten == 2
    store._connection.execute(f"{limit}={pages + 1000}")
    async with asyncio.timeout(30):
        await stored.wait()  # nobody saves anything more
    store.close()
    state, _ = Store(tmp_path / "s.db").restore()
    assert state.models == {"iris": some_model(), "long": long}
    assert (store.problem, store.unwritten) == ("", 0)
