"""From a list or its JSON to metrics: all of them are right, or none is given."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from simplepipe.core.metric import Metric
from simplepipe.errors import InvalidFile, InvalidMetrics, Problem

logger = logging.getLogger(__name__)
_FORMAT = 'write a JSON list, as in [{"name": "a", "description": "b", "value": 1, "metric_type": "gauge"}]'
_SAID = {
    "missing": "is missing: add it",
    "string_type": "is {input!r}: write text",
    "value_error": "is {input!r}: {reason}",
}


def parse_metrics(metrics: Sequence[Any]) -> list[Metric]:
    """Metrics from a list of dictionaries. Raises InvalidMetrics with every problem of every one of them."""
    if not isinstance(metrics, (list, tuple)):
        raise InvalidFile(f"metrics are a list, and this is {_kind(metrics)}: {_FORMAT}")
    made: list[Metric] = []
    problems: list[Problem] = []
    for index, written in enumerate(metrics):
        try:
            made.append(written if isinstance(written, Metric) else _metric(written, index))
        except InvalidMetrics as wrong:
            problems += wrong.problems
    if problems:
        raise InvalidMetrics(problems)
    return made


def decoded(content: bytes, called: str) -> Any:
    """What JSON says; `called` is the file's name. Raises InvalidFile for what is no JSON, or has a name twice."""
    try:
        return json.loads(content, parse_constant=_refuse_constant, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else error
        raise InvalidFile(f"{called} is not JSON: {reason}; {_FORMAT}") from None


def problems_of(error: ValidationError, name: object, index: int = 0) -> list[Problem]:
    """What pydantic found, one for each field."""
    called = name if isinstance(name, str) else ""
    found: dict[str, Problem] = {}
    for detail in error.errors(include_url=False):
        field = str(detail["loc"][0]) if detail["loc"] else "metric"
        said = _SAID.get(detail["type"], "is {input!r}: {message}")
        reason = str(detail.get("ctx", {}).get("error", ""))
        text = said.format(input=_short(detail["input"]), reason=reason, message=detail["msg"])
        found.setdefault(field, Problem(index, called, field, text))
    return list(found.values())


class _Shown(str):
    """A text whose representation is itself."""

    def __repr__(self) -> str:
        return str(self)


def _short(value: object) -> _Shown:
    shown = repr(value)
    return _Shown(shown if len(shown) <= 60 else f"{shown[:57]}...")


def _metric(written: Any, index: int) -> Metric:
    if not isinstance(written, dict):
        raise InvalidMetrics([Problem(index, "", f"is {_kind(written)}:", "write an object")])
    name = written.get("name")
    if unknown := written.keys() - Metric.model_fields.keys():
        logger.warning(
            "metric %d %r: what is written as %s is not used", index + 1, name, ", ".join(sorted(map(str, unknown)))
        )
    try:
        return Metric.model_validate(written)
    except ValidationError as error:
        raise InvalidMetrics(problems_of(error, name, index)) from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON: write a finite one")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is written twice in one object")
    return made


def _kind(value: object) -> str:
    kinds = {dict: "an object", str: "text", bool: "true or false", type(None): "null", list: "a list"}
    return kinds.get(type(value), "a number" if isinstance(value, (int, float)) else f"a {type(value).__name__}")
