"""Tells whether the rows of a request come from another distribution than the rows the model was made with.

A Kolmogorov-Smirnov test of every column against the reference rows; `is_drift` is 1 when a column's p-value is below
0.05 divided by the number of columns (Bonferroni's correction). One answer for all rows of a request.
"""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri
from scipy.stats import ks_2samp

SIGNIFICANCE = 0.05


class Drift(MLModel):
    async def load(self) -> bool:
        self._reference = np.load(await get_model_uri(self.settings))
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = NumpyCodec.decode_input(payload.inputs[0])
        columns = self._reference.shape[1]
        if rows.ndim != 2 or rows.shape[1] != columns:
            raise InferenceError(f"tensor {payload.inputs[0].name!r} has shape {list(rows.shape)}, not [n, {columns}]")
        p_values = np.array([ks_2samp(self._reference[:, n], rows[:, n]).pvalue for n in range(columns)])
        drifted = np.array([[int(p_values.min() < SIGNIFICANCE / columns)]])
        outputs = [
            NumpyCodec.encode_output("is_drift", drifted),
            NumpyCodec.encode_output("p_val", p_values[np.newaxis]),
        ]
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)
