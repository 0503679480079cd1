"""The simulated fleet against closed forms, the front's own code, and what AWS documents."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from bench.fleet import load
from bench.fleet_hosts import Routing, Service
from bench.fleet_scaling import BAKED, Fleet, Setup, Waiting, told
from tests.stands.simulation import Load, Work, simulate

CLOSE = 0.04


def even(setup: Setup, part: float = 0.6, seconds: float = 1000.0) -> Fleet:
    """Return a fleet that got this part of what it can do for a while."""
    fleet = Fleet(setup, lambda _: part * setup.least * setup.service.capacity)
    fleet.run(seconds)
    return fleet


def fixed(service: Service, hosts: int = 100, **settings: Any) -> Setup:
    """Return as many hosts all the time."""
    return Setup(hosts, hosts, service=service, scaling=False, **settings)


def at_ten(what: Callable[[Fleet], None]) -> Callable[[Fleet], Waiting]:
    """Have it happen after ten minutes."""

    def happening(fleet: Fleet) -> Waiting:
        yield fleet.env.timeout(600)
        what(fleet)

    return happening


def p99(later_than: Callable[[float], float]) -> float:
    """Return where the probability of being later is 1 %."""
    low, high = 0.0, 12.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if later_than(middle) > 0.01 else (low, middle)
    return high


def in_mmc(servers: int, rate: float, work: float) -> Callable[[float], float]:
    """Return the probability of a response after t in M/M/c, by Erlang's C."""
    offered, mu = rate * work, 1 / work
    full = offered**servers / math.factorial(servers) / (1 - offered / servers)
    waits = full / (full + sum(offered**n / math.factorial(n) for n in range(servers)))
    spare = servers * mu - rate

    def later(t: float) -> float:
        both = (spare * math.exp(-mu * t) - mu * math.exp(-spare * t)) / (spare - mu)
        return (1 - waits) * math.exp(-mu * t) + waits * (both if servers > 1 else math.exp(-spare * t))

    return (lambda t: math.exp(-spare * t)) if servers == 1 else later


def in_md1(rate: float, work: float) -> Callable[[float], float]:
    """Return the probability of a response after t in M/D/1, by Erlang's series."""

    def later(t: float) -> float:
        wait = t - work
        if wait < 0:
            return 1.0
        terms = (rate * (n * work - wait) for n in range(int(wait / work) + 1))
        return 1 - (1 - rate * work) * sum(
            x**n / math.factorial(n) * math.exp(-x) for n, x in enumerate(terms)
        )

    return later


@pytest.mark.parametrize("servers", [1, 4])
def test_random_arrivals_at_exponential_workers_are_those_of_mmc(servers: int) -> None:
    service = Service(mean=0.5, exponential=True, workers=servers)
    fleet = even(fixed(service, 400 // servers, routing="random"), 0.7)
    expected = p99(in_mmc(servers, 0.7 * service.capacity, 0.5))
    assert fleet.hosts.ledger.quantile(0.99) == pytest.approx(expected, rel=CLOSE)


def test_random_arrivals_of_equal_dives_are_those_of_md1() -> None:
    service = Service(mean=0.5, sigma=0)
    fleet = even(fixed(service, 200, routing="random"), 0.7)
    expected = p99(in_md1(0.7 * service.capacity, 0.5))
    assert fleet.hosts.ledger.quantile(0.99) == pytest.approx(expected, rel=CLOSE)


@pytest.mark.parametrize(("offered", "seconds"), [(0.7, 8000), (2.0, 2000)])
def test_a_host_does_as_the_front_s_own_code(offered: float, seconds: float) -> None:
    real = simulate(Load(offered, seconds, (1,), work=Work(0.7, 0.3), seed=3))
    fleet = even(fixed(Service(0.7, 0.3), 20, routing="random", retries=False), offered)
    statuses, ledger = real.statuses(100), fleet.hosts.ledger
    assert ledger.answered / ledger.offered == pytest.approx(statuses[200] / statuses.total(), rel=CLOSE)
    for share in (0.5, 0.99):
        assert ledger.quantile(share) == pytest.approx(real.quantile(200, share, 100), rel=0.12)


@pytest.mark.parametrize("routing", ["random", "round_robin"])
def test_nothing_is_lost_without_faults(routing: Routing) -> None:
    setup = Setup(30, 30, routing=routing)
    fleet = even(setup)
    ledger = fleet.hosts.ledger
    assert (ledger.refused, ledger.failed, ledger.repeated) == (0, 0, 0)
    assert ledger.answered == ledger.offered > 20_000


def test_the_least_outstanding_target_is_the_quicker_one() -> None:
    service = Service()
    each = even(fixed(service, 20, routing="round_robin"), 0.8, 300)
    least = even(fixed(service, 20, routing="least_outstanding", slow_start=0), 0.8, 300)
    alone = even(fixed(service, 20, routing="random"), 0.8, 300)
    slow = [one.hosts.ledger.quantile(0.99) for one in (least, each, alone)]
    assert slow == sorted(slow)


@pytest.mark.parametrize("scale", [1, 20])
def test_a_part_of_the_hosts_stands_for_all(scale: int) -> None:
    setup = Setup(400 // scale, 400 // scale, scale=scale, scaling=False)
    fleet = Fleet(setup, lambda _: load(setup, 400))
    fleet.run(1000)
    found = told(fleet)
    assert found["offered"] == pytest.approx(400 * 0.6 / 0.7 * 1000, rel=0.02)
    assert found["p99"] == pytest.approx(2.05, rel=CLOSE)
    assert found["host_hours"] == pytest.approx(400 * 1000 / 3600)


@pytest.mark.parametrize(
    ("what", "lost"),
    [
        (lambda fleet: fleet.kill(5), True),
        (lambda fleet: fleet.storm(0.5), False),
        (lambda fleet: fleet.storm(0.5, drains=False), True),
        (lambda fleet: fleet.lose_zone(0), True),
    ],
)
def test_each_request_is_answered_lost_or_on_its_way(what: Callable[[Fleet], None], lost: bool) -> None:
    setup = Setup(30, 60, spot=0.8, unhealthy=5, interval=20)
    fleet = Fleet(setup, lambda _: load(setup, 30))
    fleet.run(2000, at_ten(what))
    ledger = fleet.hosts.ledger
    assert ledger.answered + ledger.refused + ledger.failed + fleet.hosts.waiting == ledger.offered
    assert bool(ledger.failed) is lost
    assert fleet.series.serving[-1] >= 30


def test_a_notice_without_draining_is_asked_again() -> None:
    setup = Setup(30, 60, spot=0.5)
    drained, cut = (Fleet(setup, lambda _: load(setup, 30)) for _ in range(2))
    drained.run(1500, at_ten(lambda fleet: fleet.storm(0.5)))
    cut.run(1500, at_ten(lambda fleet: fleet.storm(0.5, drains=False)))
    assert drained.hosts.ledger.repeated == 0 < cut.hosts.ledger.repeated


def changes(fleet: Fleet) -> list[tuple[float, int]]:
    """Return when how many more hosts ran."""
    series = fleet.series
    return [(at, b - a) for at, (a, b) in zip(series.at[1:], pairwise(series.running), strict=True) if a != b]


def test_three_minutes_above_the_target_are_one_step_out() -> None:
    setup = Setup(40, 99)
    fleet = Fleet(setup, lambda at: load(setup, 39.9 if at == 0 else 60))
    fleet.run(900)
    began, more = changes(fleet)[0]
    assert began == pytest.approx(3 * 60 + setup.published, abs=2)
    assert more == pytest.approx(21, abs=4)
    in_service = next(at for at, now in zip(fleet.series.at, fleet.series.serving, strict=True) if now > 40)
    latest = began + BAKED.seconds + setup.healthy * setup.interval
    assert latest - setup.interval - 2 <= in_service <= latest + 2
    assert all(abs(step) <= 4 for _, step in changes(fleet)[1:])


def test_fifteen_minutes_below_it_are_a_step_in_and_lose_nothing() -> None:
    setup = Setup(10, 99)
    fleet = Fleet(setup, lambda at: load(setup, 59.9 if at == 0 else 39))
    fleet.run(1300)
    began, less = changes(fleet)[0]
    assert began == pytest.approx(15 * 60 + setup.published + setup.deregistration, abs=2)
    assert less == pytest.approx(-20, abs=4)
    assert fleet.hosts.ledger.repeated == 0


def test_after_a_thousand_launches_two_a_second_go() -> None:
    setup = Setup(1, 15, scale=100)
    fleet = Fleet(setup, lambda at: load(setup, 100 if at == 0 else 1400))
    fleet.run(1500)
    serving = fleet.series.serving
    steps = [
        at
        for at, (a, b) in zip(fleet.series.at[1:], pairwise(serving), strict=True)
        for _ in range((b - a) // 100)
    ]
    assert steps[9] - steps[0] <= setup.interval + 2
    assert [b - a for a, b in pairwise(steps[10:])] == [pytest.approx(50, abs=setup.interval + 2)] * (
        len(steps) - 11
    )
