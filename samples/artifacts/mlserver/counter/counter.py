"""Adds one and says with the name of an empty tensor whether a loop should go round again."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.types import InferenceRequest, InferenceResponse

LAST = 10


class Counter(MLModel):
    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        result = NumpyCodec.decode_input(payload.inputs[0]) + 1
        signal = "continue" if (result < LAST).all() else "stop"
        outputs = [NumpyCodec.encode_output("output", result), StringCodec.encode_output(signal, [""])]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
