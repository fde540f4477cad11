"""The real rclone through the adapter: hostile names, failures, deadlines, remotes."""

import asyncio
import http.server
import json
import os
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from mlops.scheduler import scheduler_pb2

from services.agent.storage.artifacts import Artifacts
from services.agent.storage.rclone import DownloadFailed, Rclone
from services.agent.storage.remotes import RemotesFile
from services.agent.storage.uris import Remote
from shared.errors import DeadlineExceeded


@pytest.fixture
async def rclone(tmp_path: Path) -> AsyncIterator[Rclone]:
    made = Rclone(tmp_path / "rclone-state")
    made.prepare()
    yield made
    made.close()


@pytest.fixture
def artifacts(tmp_path: Path, rclone: Rclone) -> Artifacts:
    made = Artifacts(tmp_path / "downloads", rclone)
    made.prepare()
    return made


def inline(uri: str, **parameters: str) -> scheduler_pb2.ModelSpec:
    document = json.dumps({"name": "mine", "type": "local", "parameters": parameters})
    return scheduler_pb2.ModelSpec(uri=uri, storageConfig=scheduler_pb2.StorageConfig(storageRcloneConfig=document))


@pytest.mark.parametrize(
    "name", ["plain", "a b", "$(touch oops)", "`touch oops`", "x;touch oops", "a'b\"c", "--version", "a\nb"]
)
async def test_no_name_is_read_as_a_command(name: str, tmp_path: Path, artifacts: Artifacts) -> None:
    source = tmp_path / "source" / name
    source.mkdir(parents=True)
    (source / "model.txt").write_text("hello")
    async with artifacts.downloaded("m_1", inline(f"mine:{source}", description=name), 30.0) as folder:
        assert (folder / "model.txt").read_text() == "hello"
    assert not folder.exists()
    assert not os.path.exists("oops")  # noqa: ASYNC240


async def test_a_local_folder_and_a_single_file(tmp_path: Path, artifacts: Artifacts) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.txt").write_text("hello")
    for uri in (f"{source}/model.txt", f"file://{source}/model.txt", f"{source}"):
        async with artifacts.downloaded("m_1", scheduler_pb2.ModelSpec(uri=uri), 30.0) as folder:
            assert (folder / "model.txt").read_text() == "hello"
        assert not folder.exists()


async def test_failures_name_uri_and_reason_and_no_credentials(tmp_path: Path, artifacts: Artifacts) -> None:
    (tmp_path / "empty").mkdir()
    for spec, words in (
        (inline(f"mine:{tmp_path}/missing"), "directory not found"),
        (inline(f"mine:{tmp_path}/empty"), "found nothing"),
        (scheduler_pb2.ModelSpec(uri=f"{tmp_path}/empty"), "found nothing"),
        (inline("mine:/x", copy_links="perhaps", encoding="None"), 'config item "copy_links" = "perhaps"'),
        (scheduler_pb2.ModelSpec(uri=str(tmp_path)), "contains the agent's own folder"),
        (scheduler_pb2.ModelSpec(uri="nowhere:bucket"), "didn't find section in config file"),
    ):
        with pytest.raises(DownloadFailed) as caught:
            async with artifacts.downloaded("m_1", spec, 30.0):
                pass
        assert spec.uri in str(caught.value)
        assert words in str(caught.value)
        assert ":local" not in str(caught.value)
    assert not any((tmp_path / "downloads").iterdir())


@pytest.mark.parametrize("uri", ["web://models/iris", "web:models/iris"])
@pytest.mark.parametrize("where", ["in the model", "in the configuration file"])
async def test_a_web_server_is_a_remote_like_any_other(
    where: str, uri: str, tmp_path: Path, artifacts: Artifacts, rclone: Rclone
) -> None:
    (tmp_path / "www" / "models" / "iris").mkdir(parents=True)
    (tmp_path / "www" / "models" / "iris" / "model.txt").write_text("hello")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "www")))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    parameters = {"url": f"http://127.0.0.1:{server.server_port}"}
    spec = scheduler_pb2.ModelSpec(uri=uri)
    if where == "in the model":
        spec.storageConfig.storageRcloneConfig = json.dumps({"name": "web", "type": "http", "parameters": parameters})
    else:
        assert await rclone.replace_remotes([Remote("web", "http", parameters)]) == []
    try:
        async with artifacts.downloaded("m_1", spec, 30.0) as folder:
            assert (folder / "model.txt").read_text() == "hello"
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()


async def test_a_download_that_takes_too_long_is_ended(tmp_path: Path, artifacts: Artifacts) -> None:
    asked, silent = threading.Event(), threading.Event()

    class Silent(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.set()
            silent.wait()

        def do_GET(self) -> None:
            self.do_HEAD()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    document = json.dumps(
        {"name": "web", "type": "http", "parameters": {"url": f"http://127.0.0.1:{server.server_port}"}}
    )
    storage = scheduler_pb2.StorageConfig(storageRcloneConfig=document)
    spec = scheduler_pb2.ModelSpec(uri="web:folder/", storageConfig=storage)
    try:
        with pytest.raises(DeadlineExceeded, match="web:folder/"):
            async with artifacts.downloaded("m_1", spec, 2.0):
                pass
        assert asked.is_set()

        async def download() -> None:
            async with artifacts.downloaded("m_1", spec, 600.0):
                pass

        asked.clear()
        task = asyncio.create_task(download())
        await asyncio.to_thread(asked.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(10):
            while await asyncio.to_thread(_processes_naming, str(tmp_path / "rclone-state")):
                pass
    finally:
        silent.set()
        await asyncio.to_thread(server.shutdown)
        server.server_close()


def _processes_naming(text: str) -> list[str]:
    """Command lines of running processes that hold `text`; an ended process has none any more."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


async def test_remotes_follow_the_configuration_file(tmp_path: Path, rclone: Rclone) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "model.txt").write_text("hello")
    file = tmp_path / "agent.yaml"
    remotes = RemotesFile(tmp_path, rclone)
    await remotes.apply()
    with pytest.raises(DownloadFailed):
        await rclone.copy(f"disk:{tmp_path}/source", tmp_path / "a", "disk:source", 30.0)
    file.write_text('rclone: {config: [\'{"name": "disk", "type": "local", "parameters": {}}\']}')
    await remotes.apply()
    await rclone.copy(f"disk:{tmp_path}/source", tmp_path / "a", "disk:source", 30.0)
    assert (tmp_path / "a" / "model.txt").exists()
    file.write_text("rclone: {config: []}")
    await remotes.apply()
    with pytest.raises(DownloadFailed):
        await rclone.copy(f"disk:{tmp_path}/source", tmp_path / "b", "disk:source", 30.0)


async def test_a_remote_that_rclone_refuses_leaves_the_others(tmp_path: Path, rclone: Rclone) -> None:
    remotes = [Remote("bad", "nosuchtype", {}), Remote("disk", "local", {"description": "a b'c\"d"})]
    (problem,) = await rclone.replace_remotes(remotes)
    assert "'bad'" in problem
    config = (tmp_path / "rclone-state" / "rclone.conf").read_text()
    assert "[disk]" in config
    assert "description = a b'c\"d" in config
