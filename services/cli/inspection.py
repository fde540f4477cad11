"""What `pipeline inspect` reads and how it shows a record; no input or output here."""

import base64
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest, ModelInferResponse

from shared.errors import InvalidInput
from shared.kafka.framing import message_start
from shared.kafka.headers import ERROR, PIPELINE, REQUEST_ID, Headers, text, values
from shared.kafka.names import TopicNames
from shared.oip.tensors import type_inputs, type_outputs

_DIRECTIONS: Final = ("inputs", "outputs")


@dataclass(frozen=True, slots=True)
class Expression:
    """`<pipeline>[.<step>][.inputs|.outputs[.<tensor>]]`."""

    pipeline: str
    step: str | None = None
    direction: str | None = None
    tensor: str | None = None


@dataclass(frozen=True, slots=True)
class View:
    """Which records are shown, and how."""

    expression: Expression
    request_id: str = ""
    with_headers: bool = False
    truncate: bool = False
    """Leave out what tensors contain."""

    def wants(self, key: bytes | None, headers: Headers) -> bool:
        mine = self.expression.pipeline.encode() in values(headers, PIPELINE)
        return mine and (not self.request_id or has_request_id(key, headers, self.request_id))


@dataclass(frozen=True, slots=True)
class Message:
    """One record as it is shown."""

    key: str
    headers: dict[str, list[str]]
    value: Any


def parse_expression(expression: str) -> Expression:
    """Raises InvalidInput."""
    parts = expression.split(".")
    if len(parts) > 4 or not all(parts):
        raise InvalidInput(
            f"Bad pipeline specifier {expression}: "
            "use <pipeline>, <pipeline>.(inputs|outputs) or <pipeline>.<step>[.(inputs|outputs)[.<tensor>]]"
        )
    if len(parts) == 1:
        return Expression(parts[0])
    if parts[1] in _DIRECTIONS and len(parts) < 4:
        return Expression(parts[0], None, *parts[1:])
    if len(parts) > 2 and parts[2] not in _DIRECTIONS:
        raise InvalidInput(f"Need to specify either inputs or outputs for a step, got {parts[2]!r} in {expression}")
    return Expression(*parts)


def topics_of(expression: Expression, steps: Sequence[str], names: TopicNames) -> list[str]:
    """The topics to read, in the order in which they are shown. Raises InvalidInput for a step that is none."""
    pipeline, step, direction = expression.pipeline, expression.step, expression.direction
    own = [names.pipeline_inputs(pipeline), names.pipeline_outputs(pipeline)]
    if step is not None and step not in steps:
        raise InvalidInput(
            f"Failed to find step with name {step} in pipeline {pipeline}: its steps are {', '.join(steps)}"
        )
    if step is None and direction is None:
        of_steps = [topic for each in steps for topic in (names.model_inputs(each), names.model_outputs(each))]
        return [*of_steps, *own, names.errors]
    both = own if step is None else [names.model_inputs(step), names.model_outputs(step)]
    return both if direction is None else [both[_DIRECTIONS.index(direction)]]


def has_request_id(key: bytes | None, headers: Headers, request_id: str) -> bool:
    """Whether a record belongs to a request: by its whole key, by an id in it, or by its header.

    A key ends in the caller's id and one of the gateway's own that makes it unique, or in the latter alone.
    """
    whole = _key(key)
    ids = whole.split(".", 2)[-1]
    callers, _, own = ids.rpartition(".")
    given = (value.decode(errors="replace") for value in values(headers, REQUEST_ID))
    return request_id in (whole, ids, callers, own, *given)


def message_of(view: View, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> Message:
    """Never fails: what cannot be read is shown as `error`, with the bytes as `base64`."""
    grouped: dict[str, list[str]] = {}
    for name, content in headers:
        grouped.setdefault(name, []).append(content.decode(errors="replace"))
    shown: Any
    if text(headers, ERROR) is not None:
        shown = {"error": (value or b"").decode(errors="replace")}
    else:
        shown = _value(view, topic, value or b"")
    return Message(_key(key), grouped, shown)


def _key(key: bytes | None) -> str:
    return (key or b"").decode(errors="replace")


def _value(view: View, topic: str, value: bytes) -> Any:
    payload = value[message_start(value) :]
    try:
        return _decoded(view, topic, payload)
    except (DecodeError, InvalidInput) as error:
        written = _json(payload)
        return {"error": str(error), "base64": base64.b64encode(value).decode()} if written is None else written


def _decoded(view: View, topic: str, payload: bytes) -> dict[str, Any]:
    message: ModelInferRequest | ModelInferResponse
    if topic.endswith(".outputs"):
        message = type_outputs(ModelInferResponse.FromString(payload))
        tensors: Any = message.outputs
    else:
        message = type_inputs(ModelInferRequest.FromString(payload))
        tensors = message.inputs
    wanted = view.expression.tensor
    for number in reversed(range(len(tensors))):
        if wanted not in (None, tensors[number].name):
            del tensors[number]
        elif view.truncate:
            tensors[number].ClearField("contents")
    return MessageToDict(message)


def _json(payload: bytes) -> dict[str, Any] | None:
    """Some producers write JSON."""
    try:
        document = json.loads(payload)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def raw_lines(view: View, topic: str, messages: Sequence[Message]) -> Iterator[str]:
    """The form for people: a line for each record, and one that ends the topic."""
    yield f"Topic: {topic}"
    for message in messages:
        headers = "".join(f"\t{name}=[{' '.join(given)}]" for name, given in message.headers.items())
        yield f"{message.key}\t{json.dumps(message.value)}{headers if view.with_headers else ''}"
    yield "-" * 16


def json_document(view: View, read: Sequence[tuple[str, Sequence[Message]]]) -> str:
    """The form for programs."""
    topics = [
        {
            "name": topic,
            "msgs": [
                {"headers": each.headers if view.with_headers else None, "key": each.key, "value": each.value}
                for each in messages
            ]
            or None,
        }
        for topic, messages in read
    ]
    return json.dumps({"topics": topics})
