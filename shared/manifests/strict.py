"""What all manifest schemas share: strict types, letter case ignored in keys, errors that name the nearest field."""

from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails, PydanticCustomError

Uint32 = Annotated[int, Field(ge=0, le=2**32 - 1)]
Replicas = Annotated[int, Field(ge=0, le=2**31 - 1)]
Names = list[Annotated[str, BeforeValidator(lambda entry: "" if entry is None else entry)]]
"""A list of names. An entry with nothing behind its dash is an empty name: what that means, the scheduler says."""


class StrictModel(BaseModel):
    """A mapping whose unknown keys are errors. A key with the value null counts as absent."""

    model_config = ConfigDict(alias_generator=to_camel, strict=True, extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _match_keys(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = {field.alias.lower(): field.alias for field in cls.model_fields.values() if field.alias}
        matched: dict[str, Any] = {}
        for key, value in data.items():
            alias = known.get(str(key).lower())
            if alias is None:
                raise _unknown_field(str(key), list(known.values()))
            if alias in matched:
                raise PydanticCustomError("twice", 'field "{field}" is given twice', {"field": alias})
            matched[alias] = value
        return {key: value for key, value in matched.items() if value is not None}


def _unknown_field(key: str, known: list[str]) -> PydanticCustomError:
    lower = {name.lower(): name for name in known}
    near = get_close_matches(key.lower(), lower, n=1, cutoff=0.6)
    fix = f'did you mean "{lower[near[0]]}"?' if near else f"known fields: {', '.join(known)}"
    return PydanticCustomError("unknown_field", 'json: unknown field "{field}"', {"field": key, "fix": fix})


def first_problem(error: ValidationError, document: int) -> str:
    """One sentence for the first problem: what, at which field path, in which document, and the fix when known."""
    problem = error.errors()[0]
    path = _path(problem["loc"])
    details = problem.get("ctx", {})
    if problem["type"] == "unknown_field":
        path = f"{path}.{details['field']}".lstrip(".")
        return f"{problem['msg']} at {path} in document {document}: {details['fix']}"
    where = f"document {document}: {path}" if path else f"document {document}"
    return f"{where}: {_sentence(problem)}"


def _sentence(problem: ErrorDetails) -> str:
    kind = problem["type"]
    if kind == "missing":
        return "this field is required"
    if kind == "value_error":
        return str(problem["ctx"]["error"])
    if kind == "twice":
        return problem["msg"]
    return f"{problem['msg']}, got {problem['input']!r}"


def _path(location: tuple[int | str, ...]) -> str:
    """`('spec', 'steps', 0, 'name')` as `spec.steps[0].name`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")
