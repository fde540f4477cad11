"""Pipelines as rows of the scheduler's database."""

import json
import sqlite3
from collections.abc import Callable

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.members.deployment import Deployment
from services.scheduler.core.pipelines.state import Pipeline, PipelineVersion
from services.scheduler.core.routing import NO_GATEWAY, Gateway, PipelinePlan

_PAST, _LEAVING, _CURRENT = 0, 1, 2
Write = Callable[[sqlite3.Connection], None]


def read_pipelines(db: sqlite3.Connection) -> dict[str, Pipeline]:
    """As they were last wanted, and with the routes that Envoy was last given."""
    pipelines: dict[str, Pipeline] = {}
    for name, deleted_at, at_gateways, gateways in db.execute(
        "SELECT name, deleted_at, at_gateways, gateways FROM pipeline"
    ):
        plan = PipelinePlan(tuple((host, http_port, grpc_port) for host, http_port, grpc_port in json.loads(gateways)))
        gateway = Deployment(ended=not at_gateways)
        # What is withdrawn is so with the first answer that an Envoy gets; a plan may not have come to it before.
        offered = frozenset[Gateway]() if plan == NO_GATEWAY else None
        pipelines[name] = Pipeline(
            name, deleted_at=deleted_at, gateway=gateway, published=plan, taken=plan, offered=offered
        )
    rows = db.execute(
        "SELECT pipeline, definition, created, generation, superseded, at_engines "
        "FROM pipeline_version ORDER BY position"
    )
    for name, definition, created, generation, superseded, at_engines in rows:
        version = PipelineVersion(pb.Pipeline.FromString(definition), created, bool(superseded))
        # What was not superseded was wanted until its gateways had let go, which they are asked about again. Of what is
        # past, nothing is left but what an engine that never answered may run.
        wanted = bool(at_engines and not superseded and generation != _PAST)
        version.engine = Deployment(version.number, wanted, ended=not at_engines)
        if generation == _PAST:
            pipelines[name].past.append(version)
        elif generation == _LEAVING:
            pipelines[name].leaving.append(version)
        else:
            pipelines[name].versions[version.number] = version
    return {name: pipeline for name, pipeline in pipelines.items() if pipeline.versions}


def write_pipeline(name: str, pipeline: Pipeline | None) -> Write:
    """A pipeline as it is now, or nothing of it."""
    if pipeline is None:
        return lambda db: _delete(db, name)
    row = (name, pipeline.deleted_at, not pipeline.gateway.ended, json.dumps(pipeline.published.gateways))
    versions = [
        (
            name,
            version.definition.uid,
            position,
            version.definition.SerializeToString(),
            version.created,
            _generation(pipeline, position),
            version.superseded,
            not version.engine.ended,
        )
        for position, version in enumerate(pipeline.all_versions())
    ]

    def write(db: sqlite3.Connection) -> None:
        _delete(db, name)
        db.execute("INSERT INTO pipeline VALUES (?, ?, ?, ?)", row)
        db.executemany("INSERT INTO pipeline_version VALUES (?, ?, ?, ?, ?, ?, ?, ?)", versions)

    return write


def _generation(pipeline: Pipeline, position: int) -> int:
    if position < len(pipeline.past):
        return _PAST
    return _LEAVING if position < len(pipeline.past) + len(pipeline.leaving) else _CURRENT


def _delete(db: sqlite3.Connection, name: str) -> None:
    db.execute("DELETE FROM pipeline WHERE name = ?", (name,))
