"""The runtime itself: `implementation: seldon_v1.runtime.V1Runtime`, or the requirement `seldon-v1`."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from mlserver import MLModel
from mlserver.errors import MLServerError
from mlserver.types import InferenceRequest, InferenceResponse, Parameters
from mlserver.utils import get_model_uri

from . import convention as c
from . import messages, page, user_class
from .series import BadMetric, entries, labels_of

_OWN_PARAMETERS = frozenset({"class"})


class V1Runtime(MLModel):  # type: ignore[misc]
    """One object of the user's class, asked in a thread of its own.

    One call at a time, because such classes keep in themselves what `tags` and `metrics` say about the last
    prediction; and beside the event loop, because they may take their time.
    """

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._settings.platform = c.PLATFORM
        self._labels = labels_of(self.name)
        self._user: Any = None
        self._thread: ThreadPoolExecutor | None = None

    async def load(self) -> bool:
        folder = Path(await get_model_uri(self._settings))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=self.name)
        self._user = await self._aside(self._make, folder)
        return True

    def _make(self, folder: Path) -> Any:
        folder = folder if folder.is_dir() else folder.parent
        extra = dict((self._settings.parameters and self._settings.parameters.extra) or {})
        kind = user_class.find(folder, extra.get("class"), f"seldon_v1_model_{self.name}")
        user = user_class.make(kind, {name: value for name, value in extra.items() if name not in _OWN_PARAMETERS})
        if callable(getattr(user, "load", None)):
            user.load()
        return user

    async def unload(self) -> bool:
        if self._thread is not None:
            self._thread.shutdown(wait=False)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        try:
            return await self._aside(self._answer, payload)
        except MLServerError:
            raise
        except Exception as error:
            # Its own status, where the user's exception has one, as version 1 let them.
            status = getattr(error, "status_code", 500)
            status = status if isinstance(status, int) and 400 <= status < 600 else 500
            sentence = f"class {type(self._user).__name__} failed: {type(error).__name__}: {error}"
            raise MLServerError(sentence, status) from error

    async def _aside(self, function: Any, argument: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, argument)

    def _answer(self, payload: InferenceRequest) -> InferenceResponse:
        if not payload.inputs:
            raise MLServerError("the request has no input: a version 1 class is given one tensor")
        if messages.parameter(payload, c.CALL) == c.FEEDBACK:
            return self._feedback(payload)
        asked = payload.inputs[0]
        meta = json.loads(messages.parameter(payload, c.META) or "{}")
        result = user_class.predict(self._user, messages.features(asked), messages.names(asked), meta)
        return self._response(result, asked, meta)

    def _feedback(self, payload: InferenceRequest) -> InferenceResponse:
        asked = payload.inputs[0]
        truth = next((messages.features(each) for each in payload.inputs[1:] if each.name == c.TRUTH), None)
        reward = float(messages.parameter(payload, c.REWARD) or 0)
        routing = messages.parameter(payload, c.ROUTING)
        result = user_class.send_feedback(
            self._user, messages.features(asked), messages.names(asked), reward, truth, routing
        )
        if result is None or result.data is None:
            if result is not None:
                self._report(result.metrics)
            return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[])
        return self._response(result, asked, {})

    def _response(self, result: user_class.Result, asked: Any, meta: dict[str, Any]) -> InferenceResponse:
        output = messages.output(
            result.data,
            lambda shape: user_class.class_names(self._user, shape),
            messages.parameter(asked, c.KIND) or c.NDARRAY,
        )
        # Only when there is an answer: a call that failed reports nothing.
        self._report(result.metrics)
        said = {name: meta[name] for name in ("puid", "tags") if meta.get(name)}
        if result.tags:
            said["tags"] = {**said.get("tags", {}), **result.tags}
        if result.metrics:
            said["metrics"] = list(result.metrics)
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            outputs=[output],
            parameters=Parameters(**{c.META: json.dumps(said, default=messages.plain)}) if said else None,
        )

    def _report(self, reported: Any) -> None:
        if not reported:
            return
        try:
            page.report(self._labels, entries(reported))
        except BadMetric as error:
            raise MLServerError(f"model {self.name}: {error}", 500) from None
