"""The folders and files that the parts start from."""

import shutil
from pathlib import Path

from compose.process import broker, monitoring, parts, rendering, tracing, version1
from compose.process.home import REPOSITORY, Home
from compose.process.settings import Settings

_ENVOY = REPOSITORY / "compose" / "envoy"


def prepare(settings: Settings, home: Home) -> None:
    """Make what is missing and rewrite what changed. Raises InvalidInput for a wrong setting."""
    traced = tracing.config(settings)
    for folder in (home.logs, home.run, home.data / "scheduler"):
        folder.mkdir(parents=True, exist_ok=True)
    for server in ("mlserver", "triton"):
        parts.model_repository(home, server).mkdir(parents=True, exist_ok=True)
    home.supervisor_socket.parent.mkdir(mode=0o700, exist_ok=True)
    _copy_triton_backends(home)
    values = {
        **settings.values,
        "ENVOY_BIND_HOST": settings.bind_host,
        "ENVOY_LUA_DIR": str(_ENVOY),
        "SCHEDULER_XDS_HOST": settings.host,
        **tracing.envoy_values(settings),
        **version1.envoy_values(settings),
    }
    if traced is not None:
        write(tracing.config_file(home), tracing.file_content(traced))
    write(parts.envoy_config(home), rendering.envoy((_ENVOY / "envoy.yaml").read_text(), values))
    local = Path(settings["LOCAL_MODEL_FOLDER"] or home.samples).absolute()
    write(broker.config_file(home), broker.config(settings))
    write(monitoring.config_file(home), monitoring.config(settings, home))
    if broker.kind(settings) == "apache":
        broker.apache(settings, home).prepare()
    write(parts.agent_config(home), rendering.agent({"samples": home.samples, "models": local}))


def write(path: Path, text: str) -> None:
    """Write the file unless it holds the text already, so that whoever watches it sees changes only."""
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)


def _copy_triton_backends(home: Home) -> None:
    """Triton's Python backend with the program that runs models under Python 3.11, which its package keeps apart."""
    backends, package = parts.triton_backends(home), parts.triton_package(home) / "pytriton" / "tritonserver"
    if backends.is_dir():
        return
    fresh = backends.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(package / "backends", fresh)
    shutil.copy2(package / "python_backend_stubs" / "3.11" / "triton_python_backend_stub", fresh / "python")
    fresh.rename(backends)
