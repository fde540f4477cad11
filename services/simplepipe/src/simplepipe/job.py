"""A run that goes on and pushes meanwhile: `with collector.job("train") as job:`."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from types import TracebackType

import httpx

from simplepipe.answers import clock_of, groups_of, hides_groups
from simplepipe.core.requests import Request
from simplepipe.errors import GatewayRefused, GatewayUnavailable, SimplepipeError
from simplepipe.gateway import Gateway
from simplepipe.live import LiveMetrics
from simplepipe.sending import send

logger = logging.getLogger(__name__)


class Job(LiveMetrics):
    """Pushes when it begins, every `every` seconds from a thread of its own, and when it ends.

    A Pushgateway that is away when it begins or ends is an error, unless `lenient`; in between it is a warning in the
    log, since no training should end for want of a graph. A refusal, or another run that took the job's name, is raised
    by the next call. With `delete_on_finish` the group goes when the run ends.
    """

    def __init__(
        self, gateway: Gateway, name: str, grouping: dict[str, str], every: float, delete_on_finish: bool, lenient: bool
    ) -> None:
        super().__init__(gateway.url, name, grouping, every)
        self._gateway = gateway
        self._every = every
        self._delete_on_finish = delete_on_finish
        self._lenient = lenient
        self._ended = threading.Event()
        self._pushing = threading.Lock()
        self._open = ExitStack()

    def __enter__(self) -> Job:
        with ExitStack() as opened:
            self._client = opened.enter_context(httpx.Client(**self._gateway.client_options()))
            try:
                self.push()
            except GatewayUnavailable as away:
                if not self._lenient:
                    raise
                logger.warning("job %s: %s", self.name, away)
            self._open = opened.pop_all()
        self._thread = threading.Thread(target=self._push_again_and_again, name=f"simplepipe-{self.name}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        with self._open:
            try:
                self._finish(succeeded=kind is None)
            except SimplepipeError as problem:
                # What the run itself failed with says more.
                if kind is None and not (self._lenient and isinstance(problem, GatewayUnavailable)):
                    raise
                logger.warning("job %s: %s", self.name, problem)

    def push(self) -> None:
        """Push now, instead of within the next seconds.

        Raises JobInUse when another run holds the job, GatewayUnavailable and GatewayRefused.
        """
        if self.lost is not None:
            raise self.lost
        # One at a time, or an older one could arrive last.
        with self._pushing:
            self._refuse_when_taken()
            self._send(self.next_push())

    def _finish(self, succeeded: bool) -> None:
        if self.lost is not None:
            raise self.lost
        self._refuse_when_taken()
        self._send(self.removal() if self._delete_on_finish else self.last_push(succeeded))

    def _push_again_and_again(self) -> None:
        while not self._ended.wait(self._every):
            try:
                self.push()
            except GatewayUnavailable as away:
                logger.warning("job %s: %s; tried again in %g s", self.name, away, self._every)
            except SimplepipeError as final:
                self.lose(final)
                return

    def _refuse_when_taken(self) -> None:
        try:
            answer = self._send(self.look())
        except GatewayRefused as refusal:
            if not hides_groups(refusal.status):
                raise
            return
        self.check_holder(groups_of(answer.text), clock_of(answer.headers))

    def _send(self, request: Request) -> httpx.Response:
        return send(self._client, self._gateway, request)
