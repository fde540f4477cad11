"""Batches that are being filled: one for each step and partition."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, Generic, TypeVar

from services.dataflow.core import batch_header
from services.dataflow.core.batch_header import Share
from services.dataflow.core.emitter import VISIT, Emitter
from services.dataflow.core.graph import Node
from services.dataflow.core.merging import Rows, merged
from services.dataflow.core.messages import Message
from services.dataflow.core.request import Request
from services.dataflow.core.timers import Timer, Timers
from shared.errors import InvalidInput
from shared.kafka.headers import BATCH, Headers

_Request = TypeVar("_Request", bound=Request)
_LONGEST_HEADER: Final = 250_000
"""Bytes of the header that names the members, about: a batch that needs more is sent before it is full."""


class Member(Generic[_Request]):
    __slots__ = ("headers", "request", "rows", "visit")

    def __init__(self, request: _Request, rows: Rows, headers: Headers, visit: int | None) -> None:
        self.request = request
        self.rows = rows
        self.headers = headers
        self.visit = visit


class _Batch(Generic[_Request]):
    __slots__ = ("members", "named", "rows", "timer")

    def __init__(self) -> None:
        self.members: list[Member[_Request]] = []
        self.rows = 0
        self.named = 0
        self.timer: Timer | None = None


class Batches(Generic[_Request]):
    """`sent` is told of each member once the batch that it is in has been emitted, `broken` what prevented that."""

    def __init__(
        self,
        emitter: Emitter,
        timers: Timers,
        join_window_ms: int,
        sent: Callable[[_Request, Node], None],
        broken: Callable[[_Request, Exception], None],
    ) -> None:
        self._emitter = emitter
        self._timers = timers
        self._join_window_ms = join_window_ms
        self._sent = sent
        self._broken = broken
        self._open: dict[tuple[int, int], _Batch[_Request]] = {}

    def add(self, request: _Request, node: Node, message: Message, headers: Headers, visit: int | None = None) -> None:
        """Raises InvalidInput when a tensor of the message is unreadable; then it is not added."""
        assert node.batch is not None
        member = Member(request, Rows(message), headers, visit)
        place = (node.index, self._emitter.partition_in(node.sink, request.partition))
        batch = self._open.get(place)
        named = 3 * len(request.key) + 20
        if batch is not None and not self._fits(batch, member, named):
            self._flush(place, node)
            batch = None
        if batch is None:
            batch = self._open[place] = _Batch()
        batch.members.append(member)
        batch.rows += member.rows.count
        batch.named += named
        if batch.rows >= node.batch.rows or member.rows.fits is None:
            self._flush(place, node)
        else:
            self._arm(place, node, batch, request)

    def drop(self, request: _Request, node: Node) -> bool:
        """Take a request out of the batch that it waits in, if it does."""
        place = (node.index, self._emitter.partition_in(node.sink, request.partition))
        batch = self._open.get(place)
        left = [member for member in batch.members if member.request is not request] if batch else []
        if batch is None or len(left) == len(batch.members):
            return False
        batch.members = left
        batch.rows = sum(member.rows.count for member in left)
        if not left:
            self._close(place)
        return True

    def _fits(self, batch: _Batch[_Request], member: Member[_Request], named: int) -> bool:
        fits = member.rows.fits is not None and member.rows.fits == batch.members[0].rows.fits
        return fits and batch.named + named <= _LONGEST_HEADER

    def _arm(self, place: tuple[int, int], node: Node, batch: _Batch[_Request], request: _Request) -> None:
        """A batch waits as long as its oldest member may; without a window, until half of a member's time is over."""
        assert node.batch is not None
        now = self._emitter.now
        if node.batch.window_ms is not None:
            due = now + node.batch.window_ms
        else:
            due = now + self._join_window_ms
            if request.deadline is not None:
                due = min(due, now + (request.deadline - now) // 2)
        if batch.timer is not None:
            if batch.timer.due <= due:
                return
            self._timers.cancel(batch.timer)
        batch.timer = self._timers.at(due, partial(self._flush, place, node))

    def _close(self, place: tuple[int, int]) -> _Batch[_Request]:
        batch = self._open.pop(place)
        if batch.timer is not None:
            self._timers.cancel(batch.timer)
        return batch

    def _flush(self, place: tuple[int, int], node: Node) -> None:
        members = self._close(place).members
        try:
            self._emit(node, members)
        except Exception as error:
            for member in members:
                self._broken(member.request, error)
            return
        for member in members:
            self._sent(member.request, node)

    def _emit(self, node: Node, members: Sequence[Member[_Request]]) -> None:
        try:
            message = merged([member.rows.message for member in members]) if len(members) > 1 else None
        except InvalidInput:
            # Contents that do not fit their datatype: the model says so to whom it concerns.
            message = None
        if message is None:
            for member in members:
                self._send(node, member, member.rows.message, _visit(member.visit))
        else:
            shares = [Share(member.request.key, member.rows.count, member.visit or 0) for member in members]
            header = (BATCH, batch_header.encode(shares))
            self._send(node, members[-1], message, [*_visit(members[-1].visit), header])

    def _send(self, node: Node, member: Member[_Request], message: Message, extra: Iterable[tuple[str, bytes]]) -> None:
        request = member.request
        self._emitter.send(
            node, request.key, request.partition, message.encoded(is_request=True), member.headers, extra
        )


def _visit(visit: int | None) -> list[tuple[str, bytes]]:
    return [] if visit is None else [(VISIT, str(visit).encode())]
