"""What MLServer accepts as `model-settings.json`: of a model whose file it refuses it says no more than "not found"."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from shared.errors import InvalidInput

_MOST_NAMED: Final = 3
_SHOWN_LENGTH: Final = 60


class _Part(BaseModel):
    # Fields of other versions of MLServer, and of runtimes, are none of our business.
    model_config = ConfigDict(extra="ignore", protected_namespaces=())


class _TensorParameters(_Part):
    content_type: str | None = None
    headers: dict[str, Any] | None = None


class _Tensor(_Part):
    name: str
    datatype: Literal[
        "BOOL",
        "UINT8",
        "UINT16",
        "UINT32",
        "UINT64",
        "INT8",
        "INT16",
        "INT32",
        "INT64",
        "FP16",
        "FP32",
        "FP64",
        "BYTES",
    ]
    shape: list[int]
    parameters: _TensorParameters | None = None


class _Parameters(_Part):
    uri: str | None = None
    version: str | None = None
    environment_path: str | None = None
    environment_tarball: str | None = None
    inference_pool_gid: str | None = None
    autogenerate_inference_pool_gid: bool = False
    format: str | None = None
    content_type: str | None = None
    extra: dict[str, Any] | None = None


class _Settings(_Part):
    implementation: str
    name: str = ""
    platform: str = ""
    versions: list[str] = []
    inputs: list[_Tensor] = []
    outputs: list[_Tensor] = []
    parallel_workers: int | None = None
    warm_workers: bool = False
    max_batch_size: int = 0
    max_batch_time: float = 0.0
    parameters: _Parameters | None = None
    cache_enabled: bool = False


def check_settings(settings: dict[str, Any]) -> None:
    """Raise InvalidInput naming file, field and value for settings that MLServer would refuse."""
    try:
        _Settings.model_validate(settings)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        named = [_sentence(problem["loc"], problem["msg"], problem["input"]) for problem in problems[:_MOST_NAMED]]
        if len(problems) > _MOST_NAMED:
            named.append(f"and {len(problems) - _MOST_NAMED} more")
        raise InvalidInput(f"MLServer would refuse model-settings.json: {'; '.join(named)}") from None


def _sentence(place: tuple[str | int, ...], said: str, value: object) -> str:
    field = ".".join(str(part) for part in place)
    if said == "Field required":
        return f"{field} is missing"
    shown = repr(value)
    cut = shown if len(shown) <= _SHOWN_LENGTH else f"{shown[:_SHOWN_LENGTH]}..."
    return f"{field} {cut}: {said[:1].lower()}{said[1:]}"
