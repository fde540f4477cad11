"""The binary tensor extension of JSON requests and replies: tensors as raw bytes behind the JSON text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferRequest

from shared.errors import InvalidInput
from shared.oip.json_elements import shown, wrong

SIZE: Final = "binary_data_size"
"""Parameter of a tensor: its bytes behind the JSON text."""
_WANTED: Final = "binary_data"
_WANTED_BY_DEFAULT: Final = "binary_data_output"


@dataclass(frozen=True, slots=True)
class BinaryOutputs:
    """Which outputs a caller wants in binary form."""

    default: bool = False
    by_name: Mapping[str, bool] = field(default_factory=dict)

    def includes(self, name: str) -> bool:
        return self.by_name.get(name, self.default)


def take_binary_outputs(request: ModelInferRequest) -> BinaryOutputs:
    """What a request says about the form of its reply. Removes it from the request: it is not meant for models."""
    default = _take_flag(request.parameters, _WANTED_BY_DEFAULT, f"parameter {_WANTED_BY_DEFAULT}")
    by_name = {}
    for output in request.outputs:
        wanted = _take_flag(output.parameters, _WANTED, f"parameter {_WANTED} of output {shown(output.name)}")
        if wanted is not None:
            by_name[output.name] = wanted
    return BinaryOutputs(bool(default), by_name)


def _take_flag(parameters: Any, name: str, shown: str) -> bool | None:
    if name not in parameters:
        return None
    parameter = parameters[name]
    if parameter.WhichOneof("parameter_choice") != "bool_param":
        raise InvalidInput(f"invalid {shown}: write true or false")
    wanted = bool(parameter.bool_param)
    del parameters[name]
    return wanted


class BinaryPart:
    """The bytes behind the JSON text, taken tensor by tensor in order."""

    def __init__(self, body: bytes, header_length: int | None) -> None:
        """`header_length` is the length of the JSON text in bytes; None when it is the whole body.

        Raises InvalidInput when the body is shorter.
        """
        if header_length is not None and not 0 <= header_length <= len(body):
            raise wrong("Inference-Header-Content-Length", header_length, f"the body has {len(body)} bytes")
        self.text = body if header_length is None else body[:header_length]
        self._rest = memoryview(b"" if header_length is None else body)[len(self.text) :]

    def take(self, size: object, field: str) -> bytes:
        """The next `size` bytes. `field` names the size in errors. Raises InvalidInput."""
        if type(size) is not int or size < 0:
            raise wrong(field, size, "write the tensor's number of bytes")
        if size > len(self._rest):
            raise wrong(field, size, f"{len(self._rest)} bytes are left behind the JSON text")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return bytes(taken)

    def check_empty(self) -> None:
        """Raises InvalidInput when bytes are left that belong to no tensor."""
        if self._rest:
            raise InvalidInput(f"{len(self._rest)} bytes behind the JSON text belong to no input: set {SIZE}")


def join(text: bytes, tensors: Sequence[bytes]) -> tuple[bytes, int | None]:
    """A reply and the length of its JSON text; None when there are no tensors behind it."""
    return (b"".join([text, *tensors]), len(text)) if tensors else (text, None)
