"""Answers with the tensors it was sent, after a delay: the model parameter `delay_seconds`, 0 unless set."""

import asyncio

from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput


class Identity(MLModel):
    async def load(self) -> bool:
        extra = (self.settings.parameters and self.settings.parameters.extra) or {}
        self._delay = float(extra.get("delay_seconds", 0))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        await asyncio.sleep(self._delay)
        outputs = [ResponseOutput(**tensor.model_dump()) for tensor in payload.inputs]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
