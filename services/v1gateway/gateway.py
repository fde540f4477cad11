"""Calls of both protocols, whatever they came by: found, converted, asked, and counted."""

import time
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from mlops.v2_dataplane import v2_dataplane_pb2 as oip

from services.v1gateway.core import convention, labels
from services.v1gateway.core import oip as seldon
from services.v1gateway.core import tensorflow as tf
from services.v1gateway.core.message import Feedback, Message
from services.v1gateway.destinations import Destination, Destinations, Metadata, code_name
from services.v1gateway.metrics import ExecutorMetrics
from shared.errors import InvalidInput, NotFound, SeldonError
from shared.names import HEADER_MODEL

DEPLOYMENT: Final = "seldon-deployment"
"""Header and metadata key that names the deployment; `seldon` and `seldon-model` stand in for it."""
_NAMES: Final = (DEPLOYMENT, "seldon", HEADER_MODEL)
OWN_SCOPE: Final = ".v1"
"""What Envoy makes of the header seldon-model on calls that it leads here."""
_PASSED: Final = frozenset({"traceparent", "tracestate", "baggage"})
_OF_ONE_HOP: Final = ("x-envoy-", "x-forwarded-", "x-seldon-")
_Value = TypeVar("_Value")


@dataclass(slots=True)
class Asked:
    """One call, for the metrics. `of` are deployment, predictor and its version, once they are known to exist."""

    service: str
    method: str
    is_grpc: bool
    passed: Metadata
    of: tuple[str, str, str] = ("", labels.PREDICTOR, labels.PLACEHOLDER)
    route: str = ""

    def code(self, error: SeldonError | None) -> str:
        if self.is_grpc:
            return labels.metric_code(code_name(error) if error else "OK")
        return str(error.http_status if error else 200)


class Gateway:
    """Everything but the wire."""

    def __init__(self, destinations: Destinations, metrics: ExecutorMetrics, default: str) -> None:
        self._destinations = destinations
        self._metrics = metrics
        self._default = default

    def deployment(self, named: str, headers: Iterable[tuple[str, str]]) -> str:
        """Of the path, else of a header, else the setting's. Raises InvalidInput when none says one."""
        if named:
            return named
        found = dict(headers)
        for name in _NAMES:
            if found.get(name) and found[name] != OWN_SCOPE:
                return found[name]
        if self._default:
            return self._default
        raise InvalidInput(
            f"the call names no deployment: set the header {DEPLOYMENT}, use a path "
            "/seldon/NAMESPACE/DEPLOYMENT/api/v1.0/..., or set V1_GATEWAY_DEPLOYMENT"
        )

    async def find(self, deployment: str, call: Asked) -> Destination:
        """Raises NotFound for an unknown one."""
        found = await self._destinations.find(deployment)
        model = labels.of_route(found.route)
        call.of, call.route = (deployment, labels.PREDICTOR, model.version), found.route
        return found

    def known(self, deployment: str, call: Asked) -> None:
        """Let the metrics name a deployment that has answered before, whatever becomes of this call."""
        known = self._destinations.known(deployment)
        if known is not None:
            call.of = (deployment, labels.PREDICTOR, labels.of_route(known.route).version)

    async def predict(self, deployment: str, message: Message, call: Asked) -> Message:
        """Raises InvalidInput, NotFound, Refused and what else `Destinations` does."""
        found = await self.find(deployment, call)
        request = seldon.request(message, found.about.inputs)
        return seldon.answer(await self._ask(found, request, call), message)

    async def ask_tensorflow(self, deployment: str, question: tf.Question, call: Asked) -> oip.ModelInferResponse:
        """Raises as `predict` does."""
        found = await self.find(deployment, call)
        return await self._ask(found, tf.request(question, found.about.inputs), call)

    async def feedback(self, deployment: str, told: Feedback, call: Asked) -> Message:
        """Counted for every deployment; told to the model when it is of version 1. Raises as `predict` does."""
        found = await self.find(deployment, call)
        request = None
        if found.about.platform == convention.PLATFORM:
            request = seldon.feedback(told, found.about.inputs)
        answer = Message("", None)
        if request is not None and told.request is not None:
            answer = seldon.answer(await self._ask(found, request, call), told.request)
        self._metrics.told(call.of, labels.of_route(call.route), told.reward)
        return answer

    async def about(self, deployment: str, call: Asked) -> Destination:
        """Raises NotFound for an unknown one."""
        return await self.find(deployment, call)

    async def _ask(self, found: Destination, request: oip.ModelInferRequest, call: Asked) -> oip.ModelInferResponse:
        started, failed = time.perf_counter(), None
        try:
            response, call.route = await self._destinations.ask(found, request, call.passed)
        except SeldonError as error:
            failed = error
            raise
        finally:
            model, code = labels.of_route(call.route), call.code(failed)
            seconds = time.perf_counter() - started
            self._metrics.asked(call.of, call.service, call.method, code, model, seconds)
        return response

    async def counted(self, call: Asked, work: Awaitable[_Value]) -> _Value:
        """The result of the whole call, which counts with its code. Raises what it raises."""
        started = time.perf_counter()
        code = "Internal" if call.is_grpc else "500"
        try:
            result = await work
            code = call.code(None)
            return result
        except SeldonError as error:
            code = call.code(error)
            raise
        finally:
            self._metrics.served(call.of, call.service, call.method, code, time.perf_counter() - started)


def passed(headers: Iterable[tuple[str, str]]) -> Metadata:
    """The headers of a caller that go on: its `x-` headers and its trace."""
    return [
        (name, value)
        for name, value in headers
        if (name in _PASSED or (name.startswith("x-") and not name.startswith(_OF_ONE_HOP)))
        and value.isascii()
        and value.isprintable()
        and not name.endswith("-bin")
    ]


def check_model(found: Destination, model: str, version: str = "") -> None:
    """Raises NotFound when a path names a model, or a version, that is not the deployment's own."""
    route = labels.of_route(found.route)
    if model and model not in (found.deployment, route.name):
        raise NotFound(f"deployment {found.deployment!r} has no model {model!r}: it has {route.name!r}")
    if version and version != route.version:
        raise NotFound(f"version {version} of {found.deployment!r} does not answer: version {route.version} does")


def describe(found: Destination) -> dict[str, Any]:
    """A model's metadata in its version 1 form."""
    tensors = {
        side: [{"name": each.name, "datatype": each.datatype, "shape": list(each.shape)} for each in described]
        for side, described in (("inputs", found.about.inputs), ("outputs", found.about.outputs))
    }
    versions = list(found.about.versions) or [labels.of_route(found.route).version]
    name = found.about.name if found.is_pipeline else labels.of_route(found.route).name
    return {"name": name, "versions": versions, "platform": found.about.platform, **tensors}


def describe_graph(found: Destination) -> dict[str, Any]:
    """A deployment's metadata: its only node, and what goes in and comes out."""
    node = describe(found)
    return {
        "name": found.deployment,
        "models": {node["name"]: {name: node[name] for name in ("name", "platform", "versions", "inputs", "outputs")}},
        "graphinputs": node["inputs"],
        "graphoutputs": node["outputs"],
    }
