"""Asks a model through tritonclient's gRPC client and prints what came back as JSON.

A program of its own: tritonclient registers the inference protocol's messages under the same names as our own code,
and one process can hold only one of the two.

    python -m tests.system.tritonclient_grpc ADDRESS MODEL DATATYPE SHAPE VALUES INPUT... [--compression gzip]
"""

import argparse
import json

import numpy as np
import tritonclient.grpc
from tritonclient.utils import triton_to_np_dtype


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("model")
    parser.add_argument("datatype")
    parser.add_argument("shape", type=json.loads)
    parser.add_argument("values", type=json.loads)
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--compression")
    asked = parser.parse_args()

    values = np.array(asked.values, dtype=triton_to_np_dtype(asked.datatype)).reshape(asked.shape)
    tensors = []
    for name in asked.inputs:
        tensor = tritonclient.grpc.InferInput(name, asked.shape, asked.datatype)
        tensor.set_data_from_numpy(values)
        tensors.append(tensor)
    headers = {"seldon-model": asked.model}
    with tritonclient.grpc.InferenceServerClient(asked.address) as client:
        result = client.infer(asked.model, tensors, headers=headers, compression_algorithm=asked.compression)
        metadata = client.get_model_metadata(asked.model, headers=headers)
        ready = client.is_model_ready(asked.model, headers=headers)
    answer = result.get_response()
    outputs = {output.name: result.as_numpy(output.name).tolist() for output in answer.outputs}
    inputs = [entry.name for entry in metadata.inputs]
    print(json.dumps({"model": answer.model_name, "outputs": outputs, "inputs": inputs, "ready": ready}))


if __name__ == "__main__":
    main()
