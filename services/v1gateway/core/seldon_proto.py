"""Seldon messages in protobuf."""

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import orjson
from google.protobuf import json_format, struct_pb2
from version1 import prediction_pb2 as pb

from services.v1gateway.core import convention as c
from services.v1gateway.core import tensor_proto
from services.v1gateway.core.message import Array, Feedback, Message, array, python_values, rows
from shared.errors import InvalidInput, NotImplementedYet
from shared.oip.json_elements import Elements

_TYPES: Final = {name: pb.Metric.MetricType.Value(name) for name in ("COUNTER", "GAUGE", "TIMER")}


def read(request: pb.SeldonMessage, of: str = "") -> Message:
    """Raises InvalidInput that names field and value."""
    kind = request.WhichOneof("data_oneof")
    meta = _meta_of(request.meta)
    if kind is None:
        raise InvalidInput(f"invalid {of or 'message'}: write one of data, strData, binData, jsonData, not none")
    if kind == "customData":
        raise NotImplementedYet("customData is not served: use data, strData, binData or jsonData")
    if kind == "data":
        return _data(request.data, f"{of}data", meta)
    if kind == c.JSON:
        return Message(kind, json_format.MessageToDict(request.jsonData), meta=meta)
    return Message(kind, getattr(request, kind), meta=meta)


def _data(data: pb.DefaultData, field: str, meta: dict[str, Any]) -> Message:
    kind = data.WhichOneof("data_oneof")
    payload: Array
    if kind == c.TENSOR:
        shape, values = list(data.tensor.shape), list(data.tensor.values)
        if min(shape, default=0) < 0 or len(values) != int(np.prod(shape, dtype=object)):
            raise InvalidInput(
                f"invalid {field}.tensor: it has {len(values)} values, which do not fill its shape {shape}"
            )
        payload = Array(Elements(values, frozenset({float}), f"{field}.tensor.values"), shape)
    elif kind == c.NDARRAY:
        payload = array(json_format.MessageToDict(data.ndarray), f"{field}.ndarray")
    elif kind == c.TFTENSOR:
        payload = tensor_proto.read(data.tftensor, f"{field}.tftensor")
    else:
        raise InvalidInput(f"invalid {field}: write one of {', '.join(c.ARRAYS)}, not none")
    return Message(kind, payload, tuple(data.names), meta)


def _meta_of(meta: pb.Meta) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if meta.puid:
        found["puid"] = meta.puid
    if meta.tags:
        found["tags"] = {name: json_format.MessageToDict(value) for name, value in meta.tags.items()}
    return found


def feedback(told: pb.Feedback) -> Feedback:
    """Raises InvalidInput."""
    parts = {name: _part(told, name) for name in ("request", "response", "truth")}
    routing = next(iter(told.response.meta.routing.values()), None)
    return Feedback(**parts, reward=float(told.reward), routing=routing)


def _part(told: pb.Feedback, name: str) -> Message | None:
    part = getattr(told, name)
    return read(part, f"{name}.") if part.WhichOneof("data_oneof") else None


def write(answer: Message) -> pb.SeldonMessage:
    made = pb.SeldonMessage()
    if answer.kind in c.ARRAYS:
        made.data.names.extend(answer.names)
        if answer.kind == c.TENSOR:
            made.data.tensor.shape.extend(answer.payload.shape)
            made.data.tensor.values.extend(_floats(answer.payload.values))
        elif answer.kind == c.TFTENSOR:
            made.data.tftensor.CopyFrom(tensor_proto.write(answer.payload))
        else:
            listed = rows(python_values(answer.payload), answer.payload.shape)
            made.data.ndarray.CopyFrom(json_format.ParseDict(listed, struct_pb2.ListValue()))
    elif answer.kind == c.JSON:
        plain = orjson.loads(orjson.dumps(answer.payload, option=orjson.OPT_SERIALIZE_NUMPY))
        made.jsonData.CopyFrom(json_format.ParseDict(plain, struct_pb2.Value()))
    elif answer.kind:
        setattr(made, answer.kind, answer.payload)
    _write_meta(made.meta, answer.meta)
    return made


def _floats(values: Any) -> Iterable[float]:
    return map(float, values)


def _write_meta(target: pb.Meta, meta: dict[str, Any]) -> None:
    target.puid = str(meta.get("puid", ""))
    for name, value in meta.get("tags", {}).items():
        target.tags[name].CopyFrom(json_format.ParseDict(value, struct_pb2.Value()))
    for metric in meta.get("metrics", ()):
        tags = {name: str(value) for name, value in (metric.get("tags") or {}).items()}
        target.metrics.add(key=metric["key"], type=_TYPES[metric["type"]], value=metric["value"], tags=tags)
