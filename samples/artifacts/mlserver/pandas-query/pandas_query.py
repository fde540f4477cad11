"""Passes on the rows of a request for which a pandas query holds; the query is the model parameter `query`."""

import numpy as np
import pandas as pd
from mlserver import MLModel
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.errors import InferenceError, MLServerError
from mlserver.types import InferenceRequest, InferenceResponse, RequestInput, ResponseOutput


class PandasQuery(MLModel):
    """Tensors of one common length are columns; otherwise the request is one row and each tensor a cell of it.

    The reply holds the matching rows under their own names, datatypes and shapes, and a `status` per row.
    """

    async def load(self) -> bool:
        extra = (self.settings.parameters and self.settings.parameters.extra) or {}
        if not extra.get("query"):
            raise MLServerError("model parameter 'query' is missing: set it under spec.parameters of the Model")
        self._query = str(extra["query"])
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        columns = {tensor.name: NumpyCodec.decode_input(tensor) for tensor in payload.inputs}
        tabular = len({len(values) for values in columns.values()}) == 1
        table = columns if tabular else {name: values[np.newaxis] for name, values in columns.items()}
        chosen = self._matching_rows(table)
        if chosen.size == 0:
            outputs = [StringCodec.encode_output("status", [f"no row satisfies {self._query}"])]
        else:
            kept = {name: values[chosen] for name, values in columns.items()} if tabular else columns
            outputs = [_output(tensor, kept[tensor.name]) for tensor in payload.inputs]
            outputs.append(StringCodec.encode_output("status", [f"row satisfies {self._query}"] * chosen.size))
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=outputs)

    def _matching_rows(self, table: dict[str, np.ndarray]) -> np.ndarray:
        frame = pd.DataFrame({name: [_cell(row) for row in rows] for name, rows in table.items()})
        try:
            return frame.query(self._query).index.to_numpy()
        except Exception as error:
            raise InferenceError(f"query {self._query!r} does not fit tensors {sorted(table)}: {error}") from error


def _cell(row: np.ndarray) -> object:
    return row.item() if np.size(row) == 1 else row


def _output(tensor: RequestInput, values: np.ndarray) -> ResponseOutput:
    """Built by hand because the numpy codec would give a flat tensor a second dimension."""
    return ResponseOutput(
        name=tensor.name, datatype=tensor.datatype, shape=list(values.shape), data=values.ravel().tolist()
    )
