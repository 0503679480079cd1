import hashlib

from springboard.front.scheduling.strikes import Strikes


def test_strikes_are_forgotten_by_success_by_time_and_by_number() -> None:
    one, two, three = (hashlib.sha256(bytes([i])).digest() for i in range(3))
    strikes = Strikes(size=2)
    for release in ("1.0.0", "1.1.0", "1.1.0"):
        strikes.add(one, release)
    assert strikes.count(one) == {"1.0.0": 1, "1.1.0": 2}
    strikes.clear(one)
    assert not strikes
    for body in (one, two, three):
        strikes.add(body, "1.0.0")
    assert [strikes.count(body).total() for body in (one, two, three)] == [0, 1, 1]
    forgetful = Strikes(memory_seconds=-1)
    forgetful.add(one, "1.0.0")
    assert not forgetful.count(one)
