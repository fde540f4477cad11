"""What subscribers and the log are told of pipelines: every change of what can be seen of one, once."""

from collections import Counter

from mlops.scheduler import scheduler_pb2 as pb

from services.scheduler.core.decisions import Core
from services.scheduler.core.pipelines.status import pipeline_status
from services.scheduler.feeds.feed import Feed
from services.scheduler.metrics import PIPELINES
from shared.logs import logger

_STATUS = pb.PipelineVersionState.PipelineStatus
_log = logger("pipelines")


class PipelineNews:
    """The latest versions as they were last told."""

    def __init__(self, core: Core) -> None:
        self.feed: Feed[pb.PipelineStatusResponse] = Feed()
        self._core = core
        self._told: dict[str, pb.PipelineStatusResponse] = {}
        self._counts: Counter[str] = Counter()

    def status(self, name: str, *, all_versions: bool = False) -> pb.PipelineStatusResponse | None:
        """None for an unknown name."""
        control = self._core.pipelines
        pipeline = control.pipelines.by_name.get(name)
        if pipeline is None:
            return None
        state, gateways = self._core.models.state, self._core.model_gateways
        return pipeline_status(control.pipelines, pipeline, state, gateways, all_versions=all_versions)

    def all(self, *, all_versions: bool = False) -> list[pb.PipelineStatusResponse]:
        names = list(self._core.pipelines.pipelines.by_name)
        return [made for name in names if (made := self.status(name, all_versions=all_versions)) is not None]

    def changed(self, name: str) -> None:
        """Something happened to a pipeline, whether or not it can be seen."""
        before, now = self._told.pop(name, None), self.status(name)
        if now is not None:
            self._told[name] = now
        if now == before:
            return
        self._count(before, now)
        if now is None:
            return
        state = now.versions[0].state
        _log.info(
            "pipeline",
            pipeline=name,
            version=state.pipelineVersion,
            status=_STATUS.Name(state.status),
            reason=state.reason,
            gateway_status=_STATUS.Name(state.pipelineGwStatus),
            gateway_reason=state.pipelineGwReason,
            models_ready=state.modelsReady,
        )
        self.feed.publish(lambda: now)

    def _count(self, before: pb.PipelineStatusResponse | None, now: pb.PipelineStatusResponse | None) -> None:
        for status_then, change in ((before, -1), (now, 1)):
            if status_then is not None:
                status = _STATUS.Name(status_then.versions[0].state.status)
                self._counts[status] += change
                PIPELINES.labels(status).set(self._counts[status])
