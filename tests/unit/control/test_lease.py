"""Of several hosts one acts at a time, whatever their clocks say and whenever one of them dies."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, cast

import pytest
from mypy_boto3_s3 import S3Client

from springboard.control.lease import EXPIRES_SECONDS, Lease, LeaseLost
from springboard.control.store import Prefix
from tests.stands.objects import Objects


class Clock:
    """Each host's own: they agree on how long a second is, and on nothing else."""

    def __init__(self, offset: float) -> None:
        self.now = offset

    def __call__(self) -> float:
        return self.now


class Hosts:
    """Some that want the lease, and the time that goes by for all of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int = 2) -> None:
        # Renewed where a test says so, not by the real time.
        monkeypatch.setattr(Lease, "_keep", lambda *_: None)
        self.objects = Objects()
        self.clocks = [Clock(1000.0 * one - 500) for one in range(number)]
        store = Prefix("s3://models/control", cast("S3Client", self.objects))
        self.leases = [Lease(store, clock) for clock in self.clocks]
        self.dead = ExitStack()

    def pass_by(self, seconds: float) -> None:
        for clock in self.clocks:
            clock.now += seconds

    def take(self, number: int) -> bool:
        """Have one of them hold it, to no end; False where it does not get it."""
        return self.dead.enter_context(self.leases[number].held())

    def acts(self, number: int) -> bool:
        """Whether one that got it takes it for its own."""
        lease = self.leases[number]
        try:
            lease.ask()
        except LeaseLost:
            return False
        return lease._held


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    hosts = Hosts(monkeypatch)
    with hosts.dead:
        yield hosts


def test_it_goes_from_one_to_the_next_at_once(hosts: Hosts) -> None:
    one, two = hosts.leases
    with one.held() as ours:
        assert ours
        one.ask()
        assert not two.free()
        with two.held() as theirs:
            assert not theirs
    assert two.free()
    assert hosts.take(1)
    one.ask()  # it asks for nothing now


def test_a_dead_one_s_is_another_s_once_it_was_unchanged_for_long(hosts: Hosts) -> None:
    assert hosts.take(0)
    assert not hosts.take(1)
    hosts.pass_by(EXPIRES_SECONDS / 2)
    assert not hosts.take(1)
    hosts.pass_by(EXPIRES_SECONDS / 2)
    assert not hosts.acts(0)
    assert not hosts.take(1)
    hosts.pass_by(1)
    assert hosts.take(1)
    assert hosts.acts(1)
    hosts.leases[0].renew()  # it comes back, and learns of it
    assert not hosts.acts(0)
    assert hosts.acts(1)


@pytest.mark.parametrize("text", [b"[]", b"{}", b'"x"', b'{"token": {}}'])
def test_one_of_another_shape_expires_as_all_do(hosts: Hosts, text: bytes) -> None:
    hosts.objects.held["control/lease/agents.json"] = text
    assert not hosts.take(0)
    hosts.pass_by(EXPIRES_SECONDS + 1)
    assert hosts.take(0)
    assert hosts.acts(0)


@pytest.mark.parametrize("text", [b"x", b"\xff\xfe", b"[" * 100_000])
def test_one_that_is_no_json_is_named_and_lost_by_who_has_it(
    hosts: Hosts, text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    said = "s3://models/control/lease/agents.json is no JSON"
    assert hosts.take(0)
    held = hosts.objects.held["control/lease/agents.json"]
    hosts.objects.held["control/lease/agents.json"] = text
    hosts.leases[0].renew()
    assert said in caplog.text
    hosts.pass_by(EXPIRES_SECONDS)
    assert not hosts.acts(0)
    with pytest.raises(ValueError, match=said):
        hosts.take(1)
    hosts.objects.held["control/lease/agents.json"] = held


def test_its_time_goes_on_while_a_machine_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "clock_gettime", {time.CLOCK_BOOTTIME: 0.0}.__getitem__)
    lease = Lease(Prefix("s3://models/control", cast("S3Client", Objects())))
    with lease.held():
        lease.ask()
        monkeypatch.setattr(time, "clock_gettime", {time.CLOCK_BOOTTIME: EXPIRES_SECONDS}.__getitem__)
        with pytest.raises(LeaseLost):
            lease.ask()


def test_what_is_renewed_stays(hosts: Hosts) -> None:
    assert hosts.take(0)
    for _ in range(20):
        hosts.pass_by(EXPIRES_SECONDS / 6)
        hosts.leases[0].renew()
        assert hosts.acts(0)
        assert not hosts.take(1)


def test_without_s3_it_is_lost_before_another_can_have_it(
    hosts: Hosts, caplog: pytest.LogCaptureFixture
) -> None:
    assert hosts.take(0)
    assert not hosts.take(1)
    hosts.objects.away = True
    hosts.pass_by(EXPIRES_SECONDS / 2)
    hosts.leases[0].renew()
    assert "the lease is not written, and expires unless it is soon: S3 could not be reached" in caplog.text
    assert hosts.acts(0)
    hosts.pass_by(EXPIRES_SECONDS / 2)
    hosts.leases[0].renew()
    assert not hosts.acts(0)
    hosts.objects.away = False


def test_one_that_was_written_though_nobody_heard_of_it_is_ours(hosts: Hosts) -> None:
    assert hosts.take(0)
    put = hosts.objects.put_object

    def lost(**asked: Any) -> None:
        put(**asked)
        hosts.objects._reach()

    hosts.objects.put_object = lost  # type: ignore[assignment, method-assign]
    hosts.objects.before_put = lambda: setattr(hosts.objects, "away", True)
    hosts.leases[0].renew()
    hosts.objects.away, hosts.objects.before_put = False, lambda: None
    hosts.leases[0].renew()
    assert hosts.acts(0)


def test_of_two_who_find_it_free_one_gets_it(hosts: Hosts) -> None:
    def quicker() -> None:
        hosts.objects.before_put = lambda: None
        assert hosts.take(1)

    hosts.objects.before_put = quicker  # once the first has looked
    assert not hosts.take(0)
    assert hosts.acts(1)


def test_there_are_never_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three hosts that take, renew, stall and lose their way to S3 as it happens."""
    chance, taken = random.Random(4), set[int]()
    hosts = Hosts(monkeypatch, 3)
    with hosts.dead:
        for _ in range(3000):
            number = chance.randrange(3)
            hosts.objects.away = chance.random() < 0.3
            try:
                if hosts.leases[number]._held:
                    hosts.leases[number].renew()
                elif hosts.take(number):
                    taken.add(number)
            except Exception:  # noqa: BLE001 - S3 is away
                assert hosts.objects.away
            hosts.objects.away = False
            if not hosts.acts(number):
                hosts.leases[number]._held = False  # as its holder would
            assert sum(map(hosts.acts, range(3))) <= 1
            hosts.pass_by(chance.choice([0.5, 5, 20, 45]))
    assert taken == {0, 1, 2}
