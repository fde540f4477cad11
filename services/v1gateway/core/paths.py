"""Which call a path is, and for which deployment."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Action(Enum):
    """A call of one of the two protocols, or of neither."""

    PREDICTIONS = "predictions"
    FEEDBACK = "feedback"
    STATUS = "status"
    METADATA = "metadata"
    DOC = "doc"
    TF_PREDICT = "tf-predict"
    TF_STATUS = "tf-status"
    TF_METADATA = "tf-metadata"
    LIVE = "live"
    READY = "ready"
    PROMETHEUS = "prometheus"

    @property
    def is_tensorflow(self) -> bool:
        return self.value.startswith("tf-")

    @property
    def service(self) -> str:
        """As the metrics call it."""
        return {"tf-predict": "predictions"}.get(self.value, self.value.removeprefix("tf-"))

    @property
    def method(self) -> str:
        return "POST" if self in _POSTED else "GET"


_POSTED: Final = frozenset({Action.PREDICTIONS, Action.FEEDBACK, Action.TF_PREDICT})
_SCOPED: Final = re.compile(r"/seldon/(?P<namespace>[^/]+)/(?P<deployment>[^/]+)(?P<rest>/.*)")
_ENGINE: Final = re.compile(
    r"/api/v(?:1\.0|0\.1)/(?:(?P<bare>predictions|feedback)|(?P<about>status|metadata)(?:/(?P<model>[^/]+))?"
    r"|doc(?:/(?P<file>[^/]*))?)/?"
)
_TENSORFLOW: Final = re.compile(
    r"/v1/models/(?P<model>[^/:]+)(?:/versions/(?P<version>\d+))?/?(?P<verb>:predict|metadata)?/?"
)
_PLAIN: Final = {
    "/live": Action.LIVE,
    "/ready": Action.READY,
    "/prometheus": Action.PROMETHEUS,
    "/metrics": Action.PROMETHEUS,
}


@dataclass(frozen=True, slots=True)
class Call:
    """`deployment` is empty where the path does not say; `model` is the one inside it that is asked about."""

    action: Action
    deployment: str = ""
    model: str = ""
    version: str = ""
    file: str = ""


def parse(path: str) -> Call | None:
    """None for a path that is no call."""
    if path in _PLAIN:
        return Call(_PLAIN[path])
    deployment = ""
    if scoped := _SCOPED.fullmatch(path):
        deployment, path = scoped["deployment"], scoped["rest"]
    if engine := _ENGINE.fullmatch(path):
        if engine["bare"]:
            return Call(Action(engine["bare"]), deployment)
        if engine["about"]:
            return Call(Action(engine["about"]), deployment, engine["model"] or "")
        return Call(Action.DOC, deployment, file=engine["file"] or "")
    if found := _TENSORFLOW.fullmatch(path):
        action = {":predict": Action.TF_PREDICT, "metadata": Action.TF_METADATA}.get(found["verb"], Action.TF_STATUS)
        return Call(action, deployment or found["model"], found["model"], found["version"] or "")
    return None
