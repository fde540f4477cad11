"""A user's class as the version 1 wrapper knows it: found in its folder, made, and asked."""

import importlib.util
import inspect
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


class BadClass(ValueError):
    """The folder has no class that can be used; the text says what to do."""


def find(folder: Path, named: str | None, module_name: str) -> type:
    """The class `Module.Class` if it is named, else the one that has its file's name. Raises BadClass.

    `module_name` is what Python shall call its module: models may have files of equal names.
    """
    if named is not None:
        stem, _, name = named.rpartition(".")
        file = folder / f"{stem or name}.py"
        if not file.is_file():
            raise BadClass(f"parameter class {named!r}: the artifact has no {file.name}")
        return _class_in(_load(file, module_name), name, file)
    files = sorted(folder.glob("*.py"))
    for file in files:
        module = _load(file, module_name) if f"class {file.stem}" in file.read_text(errors="replace") else None
        if module is not None and isinstance(getattr(module, file.stem, None), type):
            return _class_in(module, file.stem, file)
    found = ", ".join(file.name for file in files) or "no *.py file"
    raise BadClass(
        f"the artifact has {found}, and no file MODEL.py with a class MODEL: name them alike, or set the model's "
        "parameter class to Module.Class"
    )


def _load(file: Path, module_name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    # Its neighbours are imported by their bare names, as when it was started from its own folder.
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(file.parent))
    return module


def _class_in(module: ModuleType, name: str, file: Path) -> type:
    found = getattr(module, name, None)
    if not isinstance(found, type):
        raise BadClass(f"{file.name} has no class {name}")
    return found


def make(kind: type, parameters: Mapping[str, Any]) -> Any:
    """An object, given those parameters that its constructor has. Text becomes a number or a truth value where it is
    annotated or preset so."""
    wanted = inspect.signature(kind).parameters
    anything = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in wanted.values())
    arguments = {}
    for name, value in parameters.items():
        if name in wanted:
            arguments[name] = _typed(value, wanted[name])
        elif anything:
            arguments[name] = value
    return kind(**arguments)


def _typed(value: Any, parameter: inspect.Parameter) -> Any:
    annotated = {"int": int, "float": float, "bool": bool}.get(parameter.annotation, parameter.annotation)
    kind = annotated if annotated in (int, float, bool) else type(parameter.default)
    if isinstance(value, str) and kind in (int, float, bool):
        read = json.loads(value.lower() if kind is bool else value)
        return kind(read)
    return value


class Result:
    """What a call gave: the payload, and what belongs to the reply's `meta`."""

    __slots__ = ("data", "metrics", "tags")

    def __init__(self, data: Any, tags: dict[str, Any], metrics: Any) -> None:
        self.data = data
        self.tags = tags
        self.metrics = metrics


def predict(user: Any, features: Any, names: list[str], meta: dict[str, Any]) -> Result:
    """`predict` with or without `meta`, whichever it takes, then `tags` and `metrics`."""
    if not callable(getattr(user, "predict", None)):
        raise BadClass(f"class {type(user).__name__} has no method predict")
    return _result(user, _with(user.predict, (features, names), "meta", meta))


def send_feedback(
    user: Any, features: Any, names: list[str], reward: float, truth: Any, routing: int | None
) -> Result | None:
    """None when the class does not want feedback."""
    if not callable(getattr(user, "send_feedback", None)):
        return None
    return _result(user, _with(user.send_feedback, (features, names, reward, truth), "routing", routing))


def class_names(user: Any, shape: tuple[int, ...]) -> list[str]:
    """Of the columns of an answer: the class's own, or `t:0`, `t:1`, ...; none for what has no columns."""
    if len(shape) < 2:
        return []
    own = getattr(user, "class_names", None)
    if own is not None:
        return [str(name) for name in (own() if callable(own) else own)]
    return [f"t:{column}" for column in range(shape[1])]


def _with(method: Callable[..., Any], arguments: tuple[Any, ...], name: str, value: Any) -> Any:
    # By its signature, not by trying: a TypeError may as well come out of the user's own code.
    try:
        inspect.signature(method).bind(*arguments, **{name: value})
    except TypeError:
        return method(*arguments)
    return method(*arguments, **{name: value})


def _result(user: Any, answer: Any) -> Result:
    tags, metrics = getattr(user, "tags", None), getattr(user, "metrics", None)
    return Result(
        answer,
        dict(tags() or {}) if callable(tags) else {},
        (metrics() or []) if callable(metrics) else [],
    )


def as_array(data: Any) -> "np.ndarray[Any, Any]":
    """An answer that is an array or a list. Raises BadClass for anything else, and for rows of unequal length."""
    if not isinstance(data, np.ndarray | list | tuple):
        raise BadClass(f"predict returned {type(data).__name__}: return an array, a list, str, bytes or a dict")
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise BadClass(f"predict returned lists that are no array: {error}") from None
    if array.dtype == object:
        raise BadClass("predict returned an array of objects: return numbers or texts")
    return array
