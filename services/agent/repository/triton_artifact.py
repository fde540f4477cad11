"""Whether an artifact has the file that its Triton backend loads: asked before the server sees it, because the server
may wait for ever for a file that is not there."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from inference_server.triton_pb2 import ModelConfig

from services.agent.repository.artifact_version import ROOT, TRITON_CONFIG, Listing
from shared.errors import InvalidInput

_SAVED_MODEL: Final = "model.savedmodel"
_GRAPH: Final = "model.graphdef"
_OF_BACKEND: Final[Mapping[str, Sequence[str]]] = {
    "python": ("model.py",),
    "onnxruntime": ("model.onnx",),
    "tensorflow": (_SAVED_MODEL, _GRAPH),
    "tensorrt": ("model.plan",),
    "pytorch": ("model.pt", "model.pt2", "model.py"),
    "openvino": ("model.xml",),
    "fil": ("xgboost.model", "xgboost.json", "xgboost.ubj", "model.txt", "checkpoint.tl"),
    "dali": ("model.dali", "dali.py"),
    "vllm": ("model.json",),
}
"""One of these has to be in the version folder. Backends that are not named here may want anything, or nothing."""
_OF_PLATFORM: Final[Mapping[str, Sequence[str]]] = {
    "onnxruntime_onnx": _OF_BACKEND["onnxruntime"],
    "tensorflow_savedmodel": (_SAVED_MODEL,),
    "tensorflow_graphdef": (_GRAPH,),
    "tensorrt_plan": _OF_BACKEND["tensorrt"],
    "pytorch_libtorch": ("model.pt",),
}
_GUESSED_FROM: Final = tuple(
    dict.fromkeys(name for backend in ("onnxruntime", "tensorflow", "tensorrt", "pytorch", "openvino", "python")
                  for name in _OF_BACKEND[backend])
)  # fmt: skip
"""Without backend and platform Triton looks for a file of one of these names, or `model.<backend>`."""
_MOST_NAMED: Final = 5


def check_artifact(config: ModelConfig, listing: Listing, version: PurePosixPath) -> None:
    """Raise InvalidInput when the version folder lacks what its backend loads.

    `listing` is the whole artifact, `version` the folder in it that was chosen; the sentence names the missing file and
    what is there instead.
    """
    wanted, reason = _wanted(config)
    # A model may be a folder too: a saved model, or an ONNX model with its weights beside it.
    there = {_below(path, version) for path in listing.files | listing.folders}
    if not wanted or any(PurePosixPath(name) in there for name in wanted):
        return
    if not config.backend and not config.platform and any(_is_guess(path) for path in there if path is not None):
        return
    missing = " or ".join(wanted)
    where = "the artifact" if version == ROOT else f"version folder {version}"
    raise InvalidInput(f"{where} has no {missing}, which {reason}{_instead(listing, version, wanted)}")


def _wanted(config: ModelConfig) -> tuple[tuple[str, ...], str]:
    """Names of which one has to be there, and why."""
    if config.platform == "ensemble" or config.backend == "ensemble":
        return (), ""
    by_device = tuple(config.cc_model_filenames.values())
    if config.backend:
        names = _OF_BACKEND.get(config.backend, ())
        if config.backend == "tensorflow":
            names = _OF_PLATFORM.get(config.platform, names)
        reason = f"backend {config.backend!r} needs"
    elif config.platform:
        names = _OF_PLATFORM.get(config.platform, ())
        reason = f"platform {config.platform!r} needs"
    else:
        names, reason = _GUESSED_FROM, f"Triton needs, as no {TRITON_CONFIG} names a backend"
    if names and config.default_model_filename:
        return (config.default_model_filename, *by_device), f"{TRITON_CONFIG} names as its file"
    return (*by_device, *names), reason


def _below(path: PurePosixPath, folder: PurePosixPath) -> PurePosixPath | None:
    return path.relative_to(folder) if folder in path.parents else None


def _is_guess(path: PurePosixPath) -> bool:
    return len(path.parts) == 1 and path.stem == "model" and bool(path.suffix)


def _instead(listing: Listing, version: PurePosixPath, wanted: Sequence[str]) -> str:
    elsewhere = sorted(path for path in listing.files | listing.folders if path.name in wanted)
    if elsewhere:
        advice = "name a version folder by a number above 0, such as 1, and put it directly in there"
        return f": found {_named(elsewhere)}; {advice}"
    files = listing.files if version == ROOT else {path for path in listing.files if version in path.parents}
    others = sorted(path for path in files if path.name != TRITON_CONFIG)
    return f": found {_named(others) if others else 'no files'}"


def _named(paths: Sequence[PurePosixPath]) -> str:
    shown = ", ".join(str(path) for path in paths[:_MOST_NAMED])
    more = len(paths) - _MOST_NAMED
    return f"{shown} and {more} more" if more > 0 else shown
