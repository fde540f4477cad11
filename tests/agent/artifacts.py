"""Small real models that tests load, and their definitions."""

from pathlib import Path

from mlops.agent import agent_pb2
from mlops.scheduler import scheduler_pb2

_MLSERVER_DOUBLE = """\
from mlserver import MLModel
from mlserver.types import InferenceResponse, ResponseOutput


class Double(MLModel):
    async def predict(self, payload):
        outputs = [
            ResponseOutput(name="y", shape=i.shape, datatype=i.datatype, data=[2 * x for x in i.data])
            for i in payload.inputs
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)

    async def predict_stream(self, payloads):
        async for payload in payloads:
            for _ in range(3):
                yield await self.predict(payload)
"""

_TRITON_DOUBLE = """\
import numpy as np
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb.get_input_tensor_by_name(request, "x").as_numpy()
            answers.append(pb.InferenceResponse([pb.Tensor("y", (2 * x).astype(np.int32))]))
        return answers
"""

_TRITON_CONFIG = """\
# A comment with name: "wrong" in it.
backend: "python"
name: "double"
input [ { name: "x" data_type: TYPE_INT32 dims: [ 3 ] } ]
output [ { name: "y" data_type: TYPE_INT32 dims: [ 3 ] } ]
instance_group [ { count: 1 kind: KIND_CPU } ]
"""


def mlserver_double(folder: Path) -> Path:
    """A Python model without settings, to be found through requirement `python`."""
    folder.mkdir(parents=True)
    (folder / "double.py").write_text(_MLSERVER_DOUBLE)
    return folder


def triton_double(folder: Path) -> Path:
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.py").write_text(_TRITON_DOUBLE)
    (folder / "config.pbtxt").write_text(_TRITON_CONFIG)
    return folder


def definition(
    name: str, uri: str, *requirements: str, version: int = 1, memory_bytes: int = 1000
) -> agent_pb2.ModelVersion:
    spec = scheduler_pb2.ModelSpec(uri=uri, requirements=requirements, memoryBytes=memory_bytes)
    model = scheduler_pb2.Model(meta=scheduler_pb2.MetaData(name=name), modelSpec=spec)
    return agent_pb2.ModelVersion(model=model, version=version)
