"""The outputs that a request names, out of a response that has more."""

from collections.abc import Sequence

from mlops.v2_dataplane.v2_dataplane_pb2 import ModelInferResponse

from shared.errors import InvalidInput
from shared.oip.tensors import with_raw


def select_outputs(response: ModelInferResponse, names: Sequence[str], whose: str) -> ModelInferResponse:
    """A response with these outputs, in this order; of several with one name, all.

    Raises InvalidInput that names an output which is not there, and those that are. `whose` outputs they are.
    """
    tensors = with_raw(response.outputs, response.raw_output_contents)
    wanted = []
    for name in dict.fromkeys(names):
        found = [each for each in tensors if each[0].name == name]
        if not found:
            given = ", ".join(dict.fromkeys(tensor.name for tensor, _ in tensors))
            raise InvalidInput(f"invalid output {name!r}: {whose} gives {given or 'none'}")
        wanted += found
    selected = ModelInferResponse()
    selected.CopyFrom(response)
    selected.ClearField("outputs")
    selected.ClearField("raw_output_contents")
    for tensor, raw in wanted:
        selected.outputs.append(tensor)
        if raw is not None:
            selected.raw_output_contents.append(raw)
    return selected
