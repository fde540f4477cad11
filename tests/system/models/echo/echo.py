"""Gives its inputs back, and in `seen` the parameters and requested outputs that reached it, as JSON."""

import json

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Echo(MLModel):
    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        outputs = []
        for tensor in payload.inputs:
            if tensor.parameters is not None:
                tensor.parameters.headers = None
            copied = tensor.model_dump(include={"name", "shape", "datatype", "parameters"}, exclude_none=True)
            outputs.append(ResponseOutput(data=tensor.data, **copied))
        given = payload.parameters.model_dump(exclude={"headers"}) if payload.parameters else {}
        seen = {"parameters": given, "outputs": [output.name for output in payload.outputs or []]}
        outputs.append(StringCodec.encode_output("seen", [json.dumps(seen, default=str)]))
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=outputs)
