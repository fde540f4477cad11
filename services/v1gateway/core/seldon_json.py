"""Seldon messages in JSON."""

import base64
import binascii
import contextlib
from typing import Any, Final

import orjson

from services.v1gateway.core import convention as c
from services.v1gateway.core.message import Feedback, Message, Result, array, filled, numeric, python_values, rows
from services.v1gateway.core.tensor_proto import from_json as tensor_from_json
from services.v1gateway.core.tensor_proto import to_json as tensor_to_json
from shared.errors import InvalidInput
from shared.oip.json_elements import is_text, wrong

_KINDS: Final = (c.STRING, c.BINARY, c.JSON)
_SHAPES: Final = ("data", *_KINDS)
_EXAMPLE: Final = '{"data": {"ndarray": [[1.0, 2.0]]}}'


def load(body: bytes) -> dict[str, Any]:
    """Raises InvalidInput for what is not a JSON object."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"the request is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise wrong("request", document, f"write a JSON object such as {_EXAMPLE}")
    return document


def read(body: bytes) -> Message:
    """Raises InvalidInput that names field and value for anything that is no message with a payload."""
    return message(load(body), "")


def message(document: dict[str, Any], of: str) -> Message:
    """`of` is what stands before its fields' names in errors. Raises InvalidInput."""
    present = [kind for kind in _SHAPES if kind in document]
    if len(present) != 1:
        found = " and ".join(present) or "none"
        raise InvalidInput(f"invalid {of or 'message'}: write one of {', '.join(_SHAPES)}, not {found}: {_EXAMPLE}")
    kind, value = present[0], document[present[0]]
    meta = _meta(document.get("meta"), f"{of}meta")
    if kind == "data":
        return _data(value, f"{of}data", meta)
    if kind == c.BINARY:
        return Message(kind, _binary(value, f"{of}{kind}"), meta=meta)
    if kind == c.STRING and not is_text(value):
        raise wrong(f"{of}{kind}", value, "write a string")
    return Message(kind, value, meta=meta)


def _data(data: object, field: str, meta: dict[str, Any]) -> Message:
    if not isinstance(data, dict):
        raise wrong(field, data, 'write an object such as {"ndarray": [[1.0, 2.0]]}')
    present = [kind for kind in c.ARRAYS if kind in data]
    if len(present) != 1:
        raise InvalidInput(
            f"invalid {field}: write one of {', '.join(c.ARRAYS)}, not {' and '.join(present) or 'none'}"
        )
    names = data.get("names") or []
    if not isinstance(names, list) or not all(map(is_text, names)):
        raise wrong(f"{field}.names", names, "write a list of strings")
    kind = present[0]
    value, field = data[kind], f"{field}.{kind}"
    if kind == c.TENSOR:
        if not isinstance(value, dict):
            raise wrong(field, value, 'write an object such as {"shape": [1, 2], "values": [1.0, 2.0]}')
        payload = filled(value.get("values"), value.get("shape"), field)
    elif kind == c.TFTENSOR:
        payload = tensor_from_json(value, field)
    else:
        payload = array(value, field)
    return Message(kind, payload, tuple(names), meta)


def _meta(meta: object, field: str) -> dict[str, Any]:
    if meta is None:
        return {}
    if not isinstance(meta, dict):
        raise wrong(field, meta, "write an object")
    return meta


def _binary(value: object, field: str) -> bytes:
    if isinstance(value, str):
        with contextlib.suppress(binascii.Error, ValueError):
            return base64.b64decode(value, validate=True)
    raise wrong(field, value, "write a string in base64")


def feedback(body: bytes) -> Feedback:
    """Raises InvalidInput."""
    document = load(body)
    parts: dict[str, Message | None] = {}
    for name in ("request", "response", "truth"):
        part = document.get(name)
        if part is not None and not isinstance(part, dict):
            raise wrong(name, part, "write a message")
        parts[name] = message(part, f"{name}.") if part and any(kind in part for kind in _SHAPES) else None
    reward = document.get("reward", 0)
    if isinstance(reward, bool) or not isinstance(reward, int | float):
        raise wrong("reward", reward, "write a number")
    meta = (document.get("response") or {}).get("meta")
    routing = meta.get("routing") if isinstance(meta, dict) else None
    chosen = next(iter(routing.values()), None) if isinstance(routing, dict) else None
    return Feedback(**parts, reward=float(reward), routing=chosen if type(chosen) is int else None)


def write(answer: Message) -> bytes:
    """Names, payload and meta, in this order."""
    document: dict[str, Any] = {}
    if answer.kind in c.ARRAYS:
        document["data"] = {"names": list(answer.names), answer.kind: _written(answer.kind, answer.payload)}
    elif answer.kind == c.BINARY:
        document[c.BINARY] = base64.b64encode(answer.payload).decode()
    elif answer.kind:
        document[answer.kind] = answer.payload
    document["meta"] = answer.meta
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _written(kind: str, result: Result) -> Any:
    if kind == c.TFTENSOR:
        return tensor_to_json(result)
    if kind == c.TENSOR:
        return {"shape": result.shape, "values": python_values(result)}
    is_bytes = not numeric(result.datatype) and result.datatype != "BOOL"
    return rows(python_values(result) if is_bytes else result.values, result.shape)


def failure(status: int, reason: str, sentence: str) -> bytes:
    """What version 1 answers when it fails; `reason` is the name of a gRPC code."""
    return orjson.dumps({"status": {"code": status, "info": sentence, "reason": reason, "status": "FAILURE"}})
