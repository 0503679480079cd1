"""A simulated fleet's control: the Auto Scaling group, CloudWatch's alarms, the balancer's health checks.

What AWS's pages say is done as they say (docs/fleet-capacity.md has the pages); where they say nothing the
setting's comment says that it is assumed. Each simulated host may stand for `scale` real ones.
"""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import simpy

from bench.fleet_hosts import Flags, Floats, Hosts, Routing, Service, Slots

Waiting = Generator[simpy.Event, Any, None]
Happening = Callable[["Fleet"], Waiting]

# RunInstances: so many at once, and so many a second after that.
LAUNCHES, LAUNCHES_A_SECOND = 1000.0, 2.0
# Of target tracking's two alarms: datapoints of a minute each, all of which have to be beyond the threshold.
HIGH, LOW, LOW_SHARE = 3, 15, 0.9
CONNECT_SECONDS, IDLE_SECONDS, NOTICE_SECONDS = 10.0, 60.0, 120.0
NEVER = math.inf


@dataclass(frozen=True)
class Cold:
    """How a host comes into service: seconds of each part, from its launch until it answers /ping."""

    name: str
    boot: float = 60.0  # assumed: until systemd starts what is enabled
    reads: float = 60.0  # assumed: a disk made from an image is slow where it is read for the first time
    configure: float = 0.0
    fetch: float = 0.0
    ready: float = 17.3  # measured: docs/measurements.md

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.boot + self.reads + self.configure + self.fetch + self.ready


# 565 MB at 50 MB/s, which is assumed; a run of configure.yml takes ten minutes, which is assumed.
BAKED = Cold("release in the image")
WEIGHTS = Cold("release from S3", fetch=11.3)
PLAIN = Cold("AWS's own image", configure=600.0, fetch=11.3)


@dataclass(frozen=True)
class Setup:
    """A fleet. `use` is the part of what a host can do at which target tracking keeps it."""

    least: int
    most: int
    service: Service = field(default_factory=Service)
    use: float = 0.6
    scaling: bool = True
    zones: int = 3
    spot: float = 0.0
    cold: Cold = BAKED
    routing: Routing = "round_robin"
    slow_start: float = 30.0
    retries: bool = True
    interval: float = 10.0
    healthy: int = 2
    unhealthy: int = 2
    deregistration: float = 90.0
    warmup: float = 60.0
    published: float = 60.0  # assumed: until CloudWatch has a minute's figure
    replaced: float = 30.0  # assumed: until the group acts on a target that the balancer calls unhealthy
    scale: int = 1
    tick: float = 1.0
    seed: int = 1

    @property
    def target(self) -> float:
        """ALBRequestCountPerTarget: requests a minute that a host shall get."""
        return 60 * self.use * self.service.capacity

    def needed(self, rate: float) -> int:
        """Return simulated hosts that this many requests a second for simulated hosts take at the target."""
        return min(max(math.ceil(60 * rate / self.target), self.least), self.most)


@dataclass
class Series:
    """The state at each tick: hosts are real ones, requests are sums since the begin, of simulated hosts."""

    at: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    needed: list[int] = field(default_factory=list)
    serving: list[int] = field(default_factory=list)
    running: list[int] = field(default_factory=list)
    offered: list[int] = field(default_factory=list)
    repeated: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)


class Fleet:
    """A fleet at work. `rate(seconds)` are requests a second for the whole of it."""

    def __init__(self, setup: Setup, rate: Callable[[float], float]) -> None:
        self.setup, self._rate = setup, rate
        slots = 2 * setup.most + 8
        self.env = simpy.Environment()
        self.hosts = Hosts(setup.service, slots, setup.seed, setup.routing, setup.slow_start, setup.retries)
        self.series = Series()
        self.host_seconds = 0.0
        self._rng = np.random.default_rng(setup.seed + 1)
        self._zone, self._spot = np.zeros(slots, np.int64), np.zeros(slots, bool)
        # `_runs` is billed; a `_member` counts for the group; `_life` tells a slot's hosts apart.
        self._runs, self._member = np.zeros(slots, bool), np.zeros(slots, bool)
        self._life, self._warm = np.zeros(slots, np.int64), np.full(slots, -np.inf)
        self._open = list(range(setup.zones))
        self._launched = -NEVER
        self._points: list[float] = []
        self.desired = setup.needed(rate(0.0) / setup.scale)
        for _ in range(self.desired):
            self.hosts.start(np.array([self._place()]), -NEVER)

    def run(self, seconds: float, *happenings: Happening) -> None:
        """Let time pass."""
        for process in (self._flow, self._minutes):
            self.env.process(process())
        for happening in happenings:
            self.env.process(happening(self))
        self.env.run(until=seconds)

    # What happens to it

    def lose_zone(self, zone: int) -> None:
        """Have a zone's hosts vanish without a word, and nothing start there any more."""
        self._open.remove(zone)
        self._vanish(self._runs & (self._zone == zone), held=IDLE_SECONDS, asked=CONNECT_SECONDS)

    def kill(self, count: int) -> None:
        """Have some hosts' processes die: connections are reset."""
        serving = np.flatnonzero(self.hosts.in_rotation)
        chosen = np.zeros(self._runs.size, bool)
        chosen[self._rng.permutation(serving)[:count]] = True
        self._vanish(chosen)

    def storm(self, part: float, drains: bool = True) -> None:
        """Have EC2 take back a part of the spot hosts: a notice now, and the end two minutes later."""
        spot = np.flatnonzero(self._member & self._spot)
        taken = self._rng.permutation(spot)[: round(part * spot.size)]
        for slot in taken:
            self.env.process(self._taken(int(slot), drains))
        if drains:
            self._member[taken] = False
            self._balance()

    def _taken(self, slot: int, drains: bool) -> Waiting:
        life = self._life[slot]
        if drains:
            self.hosts.in_rotation[slot] = False
        yield self.env.timeout(NOTICE_SECONDS)
        if self._life[slot] == life:
            one = np.zeros(self._runs.size, bool)
            one[slot] = True
            self._vanish(one, asked=CONNECT_SECONDS)

    def _vanish(self, gone: Flags, held: float = 0.0, asked: float = 0.0) -> None:
        slots = np.flatnonzero(gone & self._runs)
        self.hosts.kill(slots, self.env.now, held, asked)
        self._runs[slots] = False
        seen = self.hosts.in_rotation[slots]
        for slot in slots[seen]:
            self.env.process(self._noticed(int(slot)))
        self._forget(slots[~seen])
        self._balance()

    def _noticed(self, slot: int) -> Waiting:
        setup, life = self.setup, self._life[slot]
        yield self.env.timeout(setup.interval * (setup.unhealthy - self._rng.random()))
        self.hosts.in_rotation[slot] = False
        yield self.env.timeout(setup.replaced)
        if self._life[slot] == life:
            self._forget(np.array([slot]))
            self._balance()

    def _forget(self, slots: Slots) -> None:
        self._runs[slots] = self._member[slots] = False
        self._life[slots] += 1

    # The group

    def _place(self) -> int:
        """Return a slot for a host in the zone that has the fewest."""
        free = np.flatnonzero(~self._runs & ~self._member & ~self.hosts.in_rotation)
        slot = int(free[0])
        counts = np.bincount(self._zone[self._member], minlength=self.setup.zones)
        self._zone[slot] = min(self._open, key=lambda zone: counts[zone])
        spots = int((self._spot & self._member).sum())
        self._spot[slot] = spots < self.setup.spot * (int(self._member.sum()) + 1)
        self._runs[slot] = self._member[slot] = True
        self._life[slot] += 1
        self._warm[slot] = -NEVER
        return slot

    def _balance(self) -> None:
        """Have the group come to its desired size; a host that goes is of the zone that has the most."""
        members = int(self._member.sum())
        for _ in range(self.desired - members):
            self.env.process(self._launch(self._place()))
        for _ in range(members - self.desired):
            counts = np.bincount(self._zone[self._member], minlength=self.setup.zones)
            candidates = np.flatnonzero(self._member & (self._zone == counts.argmax()))
            slot = int(candidates[-1])
            self._member[slot] = self.hosts.in_rotation[slot] = False
            self.env.process(self._drained(slot))

    def _launch(self, slot: int) -> Waiting:
        setup, life = self.setup, self._life[slot]
        self._warm[slot] = NEVER
        every = setup.scale / LAUNCHES_A_SECOND
        self._launched = max(self._launched, self.env.now - LAUNCHES / LAUNCHES_A_SECOND) + every
        yield self.env.timeout(max(self._launched - self.env.now, 0) + setup.cold.seconds)
        yield self.env.timeout(setup.interval * (setup.healthy - self._rng.random()))
        if self._life[slot] == life and self._member[slot]:
            self.hosts.start(np.array([slot]), self.env.now)
            self._warm[slot] = self.env.now + setup.warmup

    def _drained(self, slot: int) -> Waiting:
        life = self._life[slot]
        yield self.env.timeout(self.setup.deregistration)
        if self._life[slot] == life:
            self.hosts.kill(np.array([slot]), self.env.now)
            self._forget(np.array([slot]))

    # Time

    def _flow(self) -> Waiting:
        setup, ledger, series = self.setup, self.hosts.ledger, self.series
        while True:
            rate = self._rate(self.env.now)
            self.hosts.advance(self.env.now, setup.tick, rate / setup.scale)
            self.host_seconds += float(self._runs.sum()) * setup.tick * setup.scale
            series.at.append(self.env.now)
            series.rate.append(rate)
            series.needed.append(setup.needed(rate / setup.scale) * setup.scale)
            series.serving.append(int((self.hosts.in_rotation & self._runs).sum()) * setup.scale)
            series.running.append(int(self._runs.sum()) * setup.scale)
            series.offered.append(ledger.offered)
            series.repeated.append(ledger.repeated)
            series.lost.append(ledger.refused + ledger.failed)
            yield self.env.timeout(setup.tick)

    def _minutes(self) -> Waiting:
        while self.setup.scaling:
            before = self.hosts.asked
            yield self.env.timeout(60)
            asked = self.hosts.asked - before
            self.env.process(self._alarms(asked / max(int(self.hosts.in_rotation.sum()), 1), asked))

    def _alarms(self, point: float, asked: int) -> Waiting:
        yield self.env.timeout(self.setup.published)
        setup, points = self.setup, self._points
        points.append(point)
        wanted = min(max(math.ceil(asked / setup.target), setup.least), setup.most)
        if len(points) >= HIGH and min(points[-HIGH:]) > setup.target:
            self.desired = max(self.desired, wanted)
        warming = (self._warm[self._member] > self.env.now).any()
        if len(points) >= LOW and max(points[-LOW:]) < LOW_SHARE * setup.target and not warming:
            self.desired = min(self.desired, wanted)
        self._balance()


def told(fleet: Fleet) -> dict[str, Any]:
    """Return what a run showed: shares of what was offered, seconds, hours.

    `p50` and `p99` are from a client's first try to its answer. `lag` is the longest spell with fewer than
    90 % of the hosts that the target takes, `overloaded` all the time in which more came in than they can do.
    """
    ledger, series, setup = fleet.hosts.ledger, fleet.series, fleet.setup
    offered = max(ledger.offered, 1)
    short = np.array(series.serving) < 0.9 * np.array(series.needed)
    overloaded = np.array(series.serving) * setup.service.capacity < np.array(series.rate)
    return {
        "offered": ledger.offered * setup.scale,
        "answered": ledger.answered * setup.scale,
        "p50": ledger.quantile(0.5),
        "p99": ledger.quantile(0.99),
        "repeated": ledger.repeated / offered,
        "refused": ledger.refused / offered,
        "failed": ledger.failed / offered,
        "lag": _longest(short) * setup.tick,
        "overloaded": float(overloaded.sum()) * setup.tick,
        "most": max(series.running),
        "host_hours": fleet.host_seconds / 3600,
        "hours_per_million": fleet.host_seconds / 3600 / max(ledger.answered * setup.scale, 1) * 1e6,
    }


def _longest(flags: Flags) -> int:
    edges: Floats = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(int), [0])))).astype(float)
    return int((edges[1::2] - edges[::2]).max(initial=0))
