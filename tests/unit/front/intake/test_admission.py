import pytest

from springboard.endpoint.document import Limits
from springboard.front.errors import ClientGone, Overloaded
from springboard.front.intake.admission import Admission


def test_admission_is_bounded_by_requests_and_by_bytes_and_gives_everything_back() -> None:
    admission = Admission(Limits(max_body_bytes=100, max_object_bytes=100, queue_bytes=100, queue_requests=1))
    with admission.seat() as first:
        first.hold(60)
        first.count()
        with admission.seat() as second:
            with pytest.raises(Overloaded, match="queue_bytes"):
                second.hold(41)
            second.hold(40)
            with pytest.raises(Overloaded, match="queue_requests"):
                second.count()
    assert (admission.requests, admission.bytes) == (0, 0)
    with pytest.raises(ClientGone):
        first.hold(1)
    assert admission.bytes == 0
