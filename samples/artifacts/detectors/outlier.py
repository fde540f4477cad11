"""Tells for every row of a request whether it lies outside the rows the model was made with.

The Mahalanobis distance of a row, squared, is compared with the largest one of the reference rows. `is_outlier` holds
1 or 0 for each row.
"""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri


class Outlier(MLModel):
    async def load(self) -> bool:
        reference = np.load(await get_model_uri(self.settings))
        self._centre = reference.mean(axis=0)
        self._precision = np.linalg.pinv(np.cov(reference, rowvar=False))
        self._farthest = self._distances(reference).max()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        columns = self._centre.size
        if rows.ndim != 2 or rows.shape[1] != columns:
            raise InferenceError(f"tensor {payload.inputs[0].name!r} has shape {list(rows.shape)}, not [n, {columns}]")
        outside = (self._distances(rows) > self._farthest).astype(np.int64)
        outputs = [NumpyCodec.encode_output("is_outlier", outside[np.newaxis])]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)

    def _distances(self, rows: np.ndarray) -> np.ndarray:
        """Squared."""
        offsets = rows - self._centre
        return np.einsum("ij,jk,ik->i", offsets, self._precision, offsets)
