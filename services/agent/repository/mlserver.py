"""A model as MLServer wants it on disk: `<internal>/1/` with `model-settings.json` in it."""

import json
import os
from pathlib import Path, PurePosixPath

from mlops.scheduler import scheduler_pb2

from services.agent.repository.artifact_version import SETTINGS_FILE, choose_mlserver_folder
from services.agent.repository.folders import list_folder
from services.agent.repository.mlserver_schema import check_settings
from services.agent.repository.mlserver_settings import (
    VERSION_ON_SERVER,
    EnvoyAddress,
    adapt_settings,
    generate_settings,
    parse_settings,
)


class MLServerLayout:
    def __init__(self, envoy: EnvoyAddress, parallel_workers: int) -> None:
        self._envoy = envoy
        self._parallel_workers = parallel_workers

    def build(
        self, download: Path, target: Path, internal: str, spec: scheduler_pb2.ModelSpec
    ) -> scheduler_pb2.ModelRuntimeInfo:
        wanted = spec.artifactVersion if spec.HasField("artifactVersion") else None
        chosen = download / choose_mlserver_folder(list_folder(download), wanted)
        listing = list_folder(chosen)

        def read(file: PurePosixPath) -> str:
            return (chosen / file).read_text(errors="replace")

        own = PurePosixPath(SETTINGS_FILE)
        if own in listing.files:
            settings = parse_settings(read(own))
        else:
            settings = generate_settings(spec.requirements, listing, read)
        adapted = adapt_settings(settings, internal, spec, self._envoy)
        check_settings(adapted)
        version = target / VERSION_ON_SERVER
        os.rename(chosen, version)
        (version / SETTINGS_FILE).write_text(json.dumps(adapted, indent=2))
        return scheduler_pb2.ModelRuntimeInfo(
            mlserver=scheduler_pb2.MLServerModelSettings(parallelWorkers=self._parallel_workers)
        )
