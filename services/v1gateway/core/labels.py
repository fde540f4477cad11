"""The labels of the executor's metrics."""

from typing import Final, NamedTuple

from shared.names import split_internal_name

SERVER_LABELS: Final = ("deployment_name", "predictor_name", "predictor_version", "service", "method", "code")
MODEL_LABELS: Final = ("model_name", "model_image", "model_version")
PREDICTOR: Final = "default"
"""A deployment has one."""
PLACEHOLDER: Final = "NOT_IMPLEMENTED"
"""For what version 1 knew and this system does not have."""


class Model(NamedTuple):
    """What answered: as an image and its tag were, so are a model and its version."""

    name: str
    image: str
    version: str


NOTHING: Final = Model("", "", "")


def of_route(route: str) -> Model:
    """Of `:<model>_<version>:`, or of `:<pipeline>.pipeline:`, in front of which its models may stand."""
    last = route.strip(":, ").rpartition(":")[2]
    split = split_internal_name(last)
    if split is not None:
        return Model(split[0], split[0], str(split[1]))
    name = last.removesuffix(".pipeline")
    return Model(name, name, PLACEHOLDER) if name else NOTHING


def metric_code(code: str) -> str:
    """A gRPC code as metrics show it: `OK`, `InvalidArgument`."""
    if code == "OK":
        return code
    return "Canceled" if code == "CANCELLED" else code.title().replace("_", "")
