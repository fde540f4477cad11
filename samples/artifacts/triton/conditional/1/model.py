"""Passes INPUT0 on as OUTPUT0 when CHOICE is 0, otherwise INPUT1 as OUTPUT1; the other output is absent."""

import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        choice = triton.get_input_tensor_by_name(request, "CHOICE").as_numpy().item()
        branch = "0" if choice == 0 else "1"
        values = triton.get_input_tensor_by_name(request, f"INPUT{branch}").as_numpy()
        return triton.InferenceResponse([triton.Tensor(f"OUTPUT{branch}", values)])
