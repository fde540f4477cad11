"""The page about the REST calls, and the same as an OpenAPI document."""

from typing import Any, Final

_PREDICTIONS: Final = {"data": {"ndarray": [[1.0, 2.0, 5.0]]}}
_FEEDBACK: Final = {"request": _PREDICTIONS, "reward": 1.0}
_CALLS: Final = (
    ("post", "/api/v1.0/predictions", "Ask the deployment for a prediction", _PREDICTIONS),
    ("post", "/api/v1.0/feedback", "Tell the deployment what became of a prediction", _FEEDBACK),
    ("get", "/api/v1.0/status/{model}", "Does the model answer?", None),
    ("get", "/api/v1.0/metadata", "What the deployment takes and gives", None),
    ("get", "/api/v1.0/metadata/{model}", "What the model takes and gives", None),
    ("post", "/v1/models/{model}:predict", "Ask in TensorFlow's protocol", {"instances": [1.0, 2.0, 5.0]}),
    ("get", "/v1/models/{model}", "Does the model answer?", None),
    ("get", "/v1/models/{model}/metadata", "What the model takes and gives", None),
    ("get", "/live", "Does this gateway run?", None),
    ("get", "/ready", "Can it answer?", None),
    ("get", "/prometheus", "Its metrics", None),
)
FILE: Final = "seldon.json"


def openapi(version: str) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for method, path, text, example in _CALLS:
        call: dict[str, Any] = {"summary": text, "responses": {"200": {"description": "done"}}}
        if "{model}" in path:
            call["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]
        if example is not None:
            content = {"application/json": {"schema": {"type": "object"}, "example": example}}
            call["requestBody"] = {"required": True, "content": content}
        paths.setdefault(path, {})[method] = call
    return {"openapi": "3.0.3", "info": {"title": "Version 1 protocols", "version": version}, "paths": paths}


def page() -> str:
    """HTML."""
    rows = "".join(
        f"<tr><td>{method.upper()}</td><td><code>{path}</code></td><td>{text}</td></tr>"
        for method, path, text, _ in _CALLS
    )
    return (
        "<!doctype html><html><head><meta charset='utf-8'><title>Version 1 protocols</title></head><body>"
        f"<h1>Version 1 protocols</h1><table>{rows}</table>"
        f"<p>The same as <a href='{FILE}'>OpenAPI</a>. Paths may begin with /seldon/NAMESPACE/DEPLOYMENT.</p>"
        "</body></html>"
    )
