"""The trial of a new release on some of the traffic, watched all the while."""

import time
from collections.abc import Callable, Iterator

from springboard.deploy import units as services
from springboard.deploy.figures import FrontAway, Sample, Window
from springboard.deploy.instances import Instance
from springboard.deploy.judge import Finding, findings, in_doubt, why_bad
from springboard.deploy.settings import Canary
from springboard.deploy.traffic import Traffic
from springboard.releases.manifest import ReferenceScores

_LOOK_SECONDS = 1.0
_READY_SECONDS = 60.0
# TorchServe replaces a worker that died within seconds; longer without any is more than that.
_DEAD_SECONDS = 15.0
# A front that restarts while large requests finish answers nobody that long.
_SILENT_SECONDS = 120.0


class Rejected(Exception):
    """The new release may not stay; the message names the figure."""


class Trial:
    """One new release beside the old one."""

    def __init__(
        self,
        traffic: Traffic,
        rules: Canary,
        old: Instance,
        new: Instance,
        reference: ReferenceScores | None,
        say: Callable[[str], None],
        ask: Callable[[], None] = lambda: None,
    ) -> None:
        """`ask` is called at each look, and may raise."""
        self._traffic, self._stable = traffic, traffic.stable
        self._rules = rules
        self._old, self._new = old, new
        self._reference = reference
        self._say = say
        self._ask = ask
        self._last = Sample(0, True, 0, {}, {})
        self._carried: dict[str, float] = {}
        self._heard = self._ready = 0.0

    @property
    def steps(self) -> list[tuple[int, float]]:
        """Weights in percent, and the seconds of each."""
        rules = self._rules
        later = [(weight, rules.step_seconds) for weight in sorted(rules.steps) if weight > rules.weight]
        return [(rules.weight, rules.bake_seconds), *later]

    def run(self, weight: int, seconds: float, hold: bool) -> None:
        """Give it `weight` percent for `seconds`; raise `Rejected` as soon as a figure tells against it.

        Longer while a figure is in doubt, and with `hold` where there were too few requests to tell.
        """
        self._say(f"{self._new.version} gets {weight} % of the traffic for {seconds:g} s")
        self._traffic.show([(self._stable, self._old, 100 - weight), ("canary", self._new, weight)])
        self._heard = self._ready = time.monotonic()
        window = Window(("canary", self._new.version), (self._stable, self._old.version), self._first())
        restarts = services.restarts(self._new.name)
        began = time.monotonic()
        end = began + seconds * self._rules.hold_bakes
        held = False
        while time.monotonic() < end:
            time.sleep(_LOOK_SECONDS)
            self._look(window, restarts)
            if time.monotonic() < began + seconds:
                continue
            if not (why := self._undecided(window, hold)):
                break
            if not held:
                held = True
                self._say(f"{why}: holding")
        self._conclude(window, hold, time.monotonic() - began)

    def _undecided(self, window: Window, hold: bool) -> str:
        if hold and not self._enough(window):
            return f"too few requests so far ({window.canary.attempts:.0f})"
        figure = in_doubt(self._findings(window))
        return f"in doubt, {figure}" if figure else ""

    def _enough(self, window: Window) -> bool:
        """Whether there were requests enough: of scores where the mean score is judged, else of any.

        Times are judged from as many scores on; where callers send few dives, nothing but errors is.
        """
        counted = [
            side.attempts if self._reference is None else side.scored
            for side in (window.canary, window.baseline)
        ]
        return min(counted) >= self._rules.min_attempts

    def _conclude(self, window: Window, hold: bool, lasted: float) -> None:
        canary, baseline, rules = window.canary, window.baseline, self._rules
        for finding in list(self._findings(window)):
            self._say(str(finding))
            self._carried[finding.name] = finding.p_value
        if hold and not self._enough(window) and not rules.accept_little_traffic:
            raise Rejected(
                f"too little traffic to judge it: {canary.attempts:.0f} attempts with {canary.scored:.0f} "
                f"scores in {lasted:.0f} s, the old release's {baseline.attempts:.0f} with "
                f"{baseline.scored:.0f}, and min_attempts is {rules.min_attempts} for each. Bake longer "
                "(bake_seconds), give it a larger weight, or set accept_little_traffic"
            )

    def _findings(self, window: Window) -> Iterator[Finding]:
        return findings(window.canary, window.baseline, self._rules, self._reference, self._carried)

    def _first(self) -> Sample:
        end = time.monotonic() + _READY_SECONDS
        while not (sample := self._read()).ready.get(("canary", self._new.version)):
            if time.monotonic() > end:
                raise Rejected(f"the front found none of its workers ready within {_READY_SECONDS:g} s")
            time.sleep(_LOOK_SECONDS / 4)
        self._ready = time.monotonic()
        return sample

    def _look(self, window: Window, restarts: int) -> None:
        sample = self._read()
        window.add(sample)
        if figure := why_bad(self._findings(window), self._rules):
            raise Rejected(figure)
        now = time.monotonic()
        if sample.ready.get(("canary", self._new.version)):
            self._ready = now
        if (died := services.restarts(self._new.name) - restarts) or not services.running(self._new.name):
            raise Rejected(
                f"restarts: its TorchServe died{f' {died} times' if died > 1 else ''}; read: "
                f"{services.where(self._new.name)}"
            )
        if now - self._ready > _DEAD_SECONDS:
            raise Rejected(f"workers_ready: none of its workers was ready for {_DEAD_SECONDS:g} s")

    def _read(self) -> Sample:
        """Return the front's figures, the last known ones while it restarts."""
        self._ask()
        try:
            self._last = self._traffic.front.read()
            self._heard = time.monotonic()
        except FrontAway:
            if time.monotonic() - self._heard > _SILENT_SECONDS:
                raise
        return self._last
