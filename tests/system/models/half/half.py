"""A quarter of its numbers in half precision, and their sum in double."""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Half(MLModel):
    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        numbers = NumpyCodec.decode_input(payload.inputs[0])
        quarter = NumpyCodec.encode_output("quarter", (numbers / 4).astype(np.float16))
        total = NumpyCodec.encode_output("total", np.array([numbers.sum()], dtype=np.float64))
        return InferenceResponse(model_name=self.name, outputs=[quarter, total])
