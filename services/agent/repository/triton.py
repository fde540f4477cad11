"""A model as Triton wants it on disk: `<internal>/config.pbtxt` and the artifact in `<internal>/1/`."""

import os
import shutil
from pathlib import Path

from mlops.scheduler import scheduler_pb2

from services.agent.repository.artifact_version import ROOT, TRITON_CONFIG, choose_triton_folder
from services.agent.repository.folders import list_folder
from services.agent.repository.triton_artifact import check_artifact
from services.agent.repository.triton_config import cpu_instances, parse_config, with_name
from shared.errors import InvalidInput

_VERSION = "1"


class TritonLayout:
    def build(
        self, download: Path, target: Path, internal: str, spec: scheduler_pb2.ModelSpec
    ) -> scheduler_pb2.ModelRuntimeInfo:
        wanted = spec.artifactVersion if spec.HasField("artifactVersion") else None
        listing = list_folder(download)
        chosen = choose_triton_folder(listing, wanted)
        beside = download if chosen == ROOT else (download / chosen).parent
        own = _read(beside / TRITON_CONFIG)
        config = parse_config(own)
        check_artifact(config, listing, chosen)
        for file in sorted(path for path in beside.iterdir() if path.is_file()):
            _share(file, target / file.name)
        os.rename(download / chosen, target / _VERSION)
        (target / _VERSION / TRITON_CONFIG).unlink(missing_ok=True)
        target_config = target / TRITON_CONFIG
        # It may be the user's own file under a second name.
        target_config.unlink(missing_ok=True)
        target_config.write_text(with_name(own, internal))
        cpu = scheduler_pb2.TritonCPU(instanceCount=cpu_instances(config))
        return scheduler_pb2.ModelRuntimeInfo(triton=scheduler_pb2.TritonModelConfig(cpu=[cpu]))


def _read(config: Path) -> str:
    try:
        return config.read_text() if config.exists() else ""
    except UnicodeDecodeError:
        raise InvalidInput("config.pbtxt is not UTF-8 text") from None


def _share(file: Path, target: Path) -> None:
    """The same file in a second place, without a second copy where the disk allows it."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copy2(file, target)
