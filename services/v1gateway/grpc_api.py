"""The gRPC side: the Seldon service and TensorFlow Serving's."""

from typing import Any, Final

import grpc
import grpc.aio
from version1 import (
    predict_pb2,
    prediction_pb2,
    prediction_pb2_grpc,
    prediction_service_pb2,
    prediction_service_pb2_grpc,
)

from services.v1gateway.core import seldon_proto
from services.v1gateway.core import tensorflow as tf
from services.v1gateway.destinations import code_name
from services.v1gateway.gateway import Asked, Gateway, check_model, passed
from shared.errors import InvalidInput, SeldonError
from shared.names import HEADER_ROUTE
from shared.rpc import server, server_options, unlimited

_SELDON: Final = prediction_pb2.DESCRIPTOR.services_by_name["Seldon"].full_name
_TENSORFLOW: Final = prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"].full_name
_UNARY: Final = "unary"
"""The method, as the executor's metrics call it."""


class _Calls:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def _counted(self, context: Any, service: str, work: Any) -> Any:
        received = [(name, value) for name, value in context.invocation_metadata() or () if isinstance(value, str)]
        call = Asked(service, _UNARY, True, passed(received))
        try:
            answer = await self._gateway.counted(call, work(received, call))
        except SeldonError as error:
            # The model's own code, also where it is none of our own errors'.
            await context.abort(grpc.StatusCode[code_name(error)], str(error))
        if call.route:
            await context.send_initial_metadata(((HEADER_ROUTE, call.route),))
        return answer


class SeldonService(_Calls, prediction_pb2_grpc.SeldonServicer):
    async def Predict(self, request: prediction_pb2.SeldonMessage, context: Any) -> Any:
        async def work(received: list[tuple[str, str]], call: Asked) -> prediction_pb2.SeldonMessage:
            deployment = self._gateway.deployment("", received)
            self._gateway.known(deployment, call)
            message = seldon_proto.read(request)
            return seldon_proto.write(await self._gateway.predict(deployment, message, call))

        return await self._counted(context, "predictions", work)

    async def SendFeedback(self, request: prediction_pb2.Feedback, context: Any) -> Any:
        async def work(received: list[tuple[str, str]], call: Asked) -> prediction_pb2.SeldonMessage:
            deployment = self._gateway.deployment("", received)
            self._gateway.known(deployment, call)
            told = seldon_proto.feedback(request)
            return seldon_proto.write(await self._gateway.feedback(deployment, told, call))

        return await self._counted(context, "feedback", work)


class TensorflowService(_Calls, prediction_service_pb2_grpc.PredictionServiceServicer):
    async def Predict(self, request: predict_pb2.PredictRequest, context: Any) -> Any:
        async def work(received: list[tuple[str, str]], call: Asked) -> predict_pb2.PredictResponse:
            spec = request.model_spec
            if spec.version_label:
                raise InvalidInput("invalid version_label: versions have numbers here")
            deployment = self._gateway.deployment(spec.name, received)
            self._gateway.known(deployment, call)
            question = tf.question_of(request)
            found = await self._gateway.about(deployment, call)
            check_model(found, spec.name, str(spec.version.value) if spec.HasField("version") else "")
            answer = await self._gateway.ask_tensorflow(deployment, question, call)
            return tf.answer_of(answer, request, call.of[2])

        return await self._counted(context, "predictions", work)


def make_server(gateway: Gateway) -> grpc.aio.Server:
    made = server([_SELDON, _TENSORFLOW], unlimited(server_options()))
    prediction_pb2_grpc.add_SeldonServicer_to_server(SeldonService(gateway), made)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(TensorflowService(gateway), made)
    return made
