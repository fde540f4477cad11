"""How much is in flight at once, without a gateway."""

import pytest

from services.pipelinegateway.core.admission import Admission
from shared.errors import Overloaded


def test_requests_are_bounded_and_leave() -> None:
    refused: list[None] = []
    admission = Admission(2, 100, lambda: refused.append(None))
    with admission.enter():
        with admission.enter(), pytest.raises(Overloaded, match="2 requests are in flight"):
            admission.enter()
        with admission.enter():
            assert admission.requests == 2
    assert (admission.requests, len(refused)) == (0, 1)


def test_bytes_are_bounded_but_for_one_that_is_alone() -> None:
    admission = Admission(10, 100)
    with admission.enter() as first:
        first.hold(60)
        first.hold(40)  # it holds more already
        assert admission.bytes == 60
        with admission.enter() as second:
            second.hold(40)
            with pytest.raises(Overloaded, match="100 bytes"):
                second.hold(41)
            with pytest.raises(Overloaded, match="at most 100"):
                admission.enter()
        first.hold(5000)
        assert admission.bytes == 5000
        with pytest.raises(Overloaded):
            admission.enter()
    assert admission.bytes == 0
