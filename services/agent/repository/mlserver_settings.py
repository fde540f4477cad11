"""`model-settings.json` of MLServer: generated when missing, adapted when present; fields it does not know stay."""

import ast
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from mlops.scheduler import scheduler_pb2

from services.agent.repository.artifact_version import Listing
from shared.errors import InvalidInput

VERSION_ON_SERVER = "1"
_CA_PATH = "/mnt/certs/ca.crt"

Settings = dict[str, Any]

_FILE_RUNTIMES = {
    "sklearn": (("*.joblib", "*.pkl", "*.pickle"), "mlserver_sklearn.SKLearnModel"),
    "xgboost": (("*.json", "*.bst"), "mlserver_xgboost.XGBoostModel"),
    "lightgbm": (("*.bst",), "mlserver_lightgbm.LightGBMModel"),
}
_FOLDER_RUNTIMES = {
    "mlflow": "mlserver_mlflow.MLflowRuntime",
    "alibi-detect": "mlserver_alibi_detect.AlibiDetectRuntime",
    "seldon-v1": "seldon_v1.runtime.V1Runtime",
}


@dataclass(frozen=True)
class EnvoyAddress:
    """Where explainers and LLM runtimes call other models."""

    host: str
    port: int
    tls: bool = False

    def infer_uri(self, model: str, pipeline: str) -> str:
        kind, name = ("models", model) if model else ("pipelines", pipeline)
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}/v2/{kind}/{name}/infer"


def parse_settings(text: str) -> Settings:
    """The user's own file. Raises InvalidInput when it is not a JSON object."""
    try:
        settings = json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"model-settings.json is not JSON: {error}") from None
    if not isinstance(settings, dict):
        raise InvalidInput("model-settings.json is not a JSON object")
    if not isinstance(settings.get("parameters") or {}, dict):
        raise InvalidInput("model-settings.json has parameters that are not a JSON object")
    return settings


def generate_settings(requirements: Sequence[str], listing: Listing, read: Callable[[PurePosixPath], str]) -> Settings:
    """Settings for an artifact without any, from the first requirement that names a known runtime.

    `read` gives the text of a file. Raises InvalidInput when no requirement helps or the file it needs is missing.
    """
    for requirement in (item.strip() for item in requirements):
        if requirement in _FILE_RUNTIMES:
            patterns, implementation = _FILE_RUNTIMES[requirement]
            return _settings(implementation, _first_file(requirement, listing, patterns))
        if requirement in _FOLDER_RUNTIMES:
            return _settings(_FOLDER_RUNTIMES[requirement], "./")
        if requirement == "alibi-explain":
            folder = min((folder for folder in listing.folders if len(folder.parts) == 1), default=None)
            if folder is None:
                raise InvalidInput(
                    f"the artifact has no {_expected('alibi-explain', 'a sub-folder with the explainer')}"
                )
            return {**_settings("mlserver_alibi_explain.AlibiExplainRuntime", f"./{folder}"), "parallel_workers": 0}
        if requirement == "python":
            return {"implementation": _python_class(listing, read), "parameters": {}}
    known = ", ".join([*_FILE_RUNTIMES, *_FOLDER_RUNTIMES, "alibi-explain", "python"])
    raise InvalidInput(
        f"the artifact has no model-settings.json and none can be made from the requirements {list(requirements)}: "
        f"add the file, or a requirement out of {known}"
    )


def _settings(implementation: str, uri: str) -> Settings:
    return {"implementation": implementation, "parameters": {"uri": uri}}


def _expected(requirement: str, what: str) -> str:
    return f"model-settings.json and not {what}, which requirement {requirement!r} needs to go without it"


def _first_file(requirement: str, listing: Listing, patterns: Sequence[str]) -> str:
    for pattern in patterns:
        found = [file for file in listing.files if file.match(pattern)]
        if found:
            return f"./{min(found, key=lambda file: (len(file.parts), file))}"
    raise InvalidInput(f"the artifact has no {_expected(requirement, ' or '.join(patterns))}")


def _python_class(listing: Listing, read: Callable[[PurePosixPath], str]) -> str:
    for file in sorted(file for file in listing.files if len(file.parts) == 1 and file.suffix == ".py"):
        try:
            tree = ast.parse(read(file))
        except SyntaxError as error:
            raise InvalidInput(f"{file} is not valid Python: {error.msg} in line {error.lineno}") from None
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and any(_is_mlmodel(base) for base in node.bases):
                return f"{file.stem}.{node.name}"
    raise InvalidInput(f"the artifact has no {_expected('python', 'a *.py file with a class derived from MLModel')}")


def _is_mlmodel(base: ast.expr) -> bool:
    name = base.attr if isinstance(base, ast.Attribute) else base.id if isinstance(base, ast.Name) else ""
    return name == "MLModel"


def adapt_settings(settings: Settings, internal: str, spec: scheduler_pb2.ModelSpec, envoy: EnvoyAddress) -> Settings:
    """The same settings under the internal name, version 1, with what the model's manifest adds.

    Every other field stays, known here or not. Raises InvalidInput for an explainer or LLM without exactly one
    reference.
    """
    adapted: Settings = {**settings, "name": internal}
    parameters: Settings = {**(settings.get("parameters") or {}), "version": VERSION_ON_SERVER}
    extra = {**(parameters.get("extra") or {})}
    kind = spec.WhichOneof("model_spec")
    if kind is not None:
        reference = spec.explainer if kind == "explainer" else spec.llm
        if not reference.modelRef and not reference.pipelineRef:
            raise InvalidInput(f"{kind} has neither modelRef nor pipelineRef: name what it calls")
        if reference.modelRef and reference.pipelineRef:
            raise InvalidInput(f"{kind} has both modelRef and pipelineRef: name one thing that it calls")
        adapted["parallel_workers"] = 0
        extra["infer_uri"] = envoy.infer_uri(reference.modelRef, reference.pipelineRef)
        if kind == "explainer":
            extra["explainer_type"] = spec.explainer.type
        if envoy.tls:
            extra["ssl_verify_path"] = _CA_PATH
    extra.update({parameter.name: parameter.value for parameter in spec.parameters})
    if extra:
        parameters["extra"] = extra
    adapted["parameters"] = parameters
    return adapted


def parallel_workers(variable: str) -> int:
    """Copies of a model that MLServer holds, from MLSERVER_PARALLEL_WORKERS; 0 means one in the server itself."""
    text = variable.strip()
    return max(int(text), 1) if text.isascii() and text.isdecimal() else 1
