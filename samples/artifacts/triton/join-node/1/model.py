"""OUTPUT1 = INPUT1 + INPUT2."""

import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        left = triton.get_input_tensor_by_name(request, "INPUT1").as_numpy()
        right = triton.get_input_tensor_by_name(request, "INPUT2").as_numpy()
        return triton.InferenceResponse([triton.Tensor("OUTPUT1", left + right)])
