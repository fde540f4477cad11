"""How many calls are taken at once, and how many bytes of them: told to a caller before its body is read."""

from collections.abc import Callable
from types import TracebackType
from typing import Final

from shared.errors import Overloaded


class Admission:
    """`most_requests` and `most_bytes` bound what is in flight. A call that is alone may be of any size.

    `refused` is called for each call that is not taken.
    """

    def __init__(self, most_requests: int, most_bytes: int, refused: Callable[[], None] = lambda: None) -> None:
        self._most_requests: Final = most_requests
        self._most_bytes: Final = most_bytes
        self._refused: Final = refused
        self.requests = 0
        self.bytes = 0

    def enter(self) -> "Admitted":
        """A call whose body is not read yet. Raises Overloaded when no more are taken."""
        if self.requests >= self._most_requests:
            self._refused()
            raise Overloaded(f"{self._most_requests} requests are in flight already: try again later")
        if self.bytes >= self._most_bytes:
            raise self._too_many_bytes()
        return Admitted(self)

    def grow(self, held: int, size: int) -> None:
        """`size` more bytes of a call that holds `held`. Raises Overloaded when they are too many."""
        if self.bytes + size > self._most_bytes and self.bytes > held:
            raise self._too_many_bytes()
        self.bytes += size

    def _too_many_bytes(self) -> Overloaded:
        self._refused()
        return Overloaded(
            f"{self.bytes} bytes of requests are in flight already, at most {self._most_bytes} are taken: "
            "try again later"
        )


class Admitted:
    """One call, in flight while the block runs."""

    __slots__ = ("_admission", "_bytes")

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._bytes = 0

    def __enter__(self) -> "Admitted":
        self._admission.requests += 1
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._admission.requests -= 1
        self._admission.bytes -= self._bytes

    def hold(self, size: int) -> None:
        """The call holds `size` bytes altogether from now on, or as many as before if those are more.

        Raises Overloaded.
        """
        if size > self._bytes:
            self._admission.grow(self._bytes, size - self._bytes)
            self._bytes = size
