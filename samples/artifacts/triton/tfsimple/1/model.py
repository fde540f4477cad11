"""OUTPUT0 = INPUT0 + INPUT1, OUTPUT1 = INPUT0 - INPUT1."""

import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        left = triton.get_input_tensor_by_name(request, "INPUT0").as_numpy()
        right = triton.get_input_tensor_by_name(request, "INPUT1").as_numpy()
        outputs = [triton.Tensor("OUTPUT0", left + right), triton.Tensor("OUTPUT1", left - right)]
        return triton.InferenceResponse(outputs)
