"""Carries out what is planned: brings a host from the release it serves to another one, or back."""

import time
from collections.abc import Callable
from functools import cached_property
from typing import NoReturn

from springboard.deploy import assemble, told
from springboard.deploy import plan as planning
from springboard.deploy import state as deployment
from springboard.deploy import units as services
from springboard.deploy.canary import Trial
from springboard.deploy.company import Company
from springboard.deploy.instances import Instance, InstanceError
from springboard.deploy.keeper import Keeper, Trouble
from springboard.deploy.layout import Layout
from springboard.deploy.plan import (
    Abreast,
    Fetch,
    Mirror,
    Plan,
    Replace,
    RolloutError,
    Settle,
    Stay,
)
from springboard.deploy.settings import Host
from springboard.deploy.starting import Starter, cause
from springboard.deploy.state import UNDOING, Place, State, Unfinished
from springboard.deploy.stop import Stopped
from springboard.releases.manifest import Manifest
from springboard.releases.registry import Registry


class Rollout:
    """Deployments on one host. Whoever calls holds the lock.

    `say` is told each step; `ask` is called wherever the way forth can be left, and raises `Stopped` to have
    it left. On the way back nobody asks.
    """

    def __init__(
        self,
        layout: Layout,
        host: Host,
        say: Callable[[str], None],
        ask: Callable[[], None] = lambda: None,
        front_runs: bool = True,
    ) -> None:
        """Without `front_runs` nobody waits for the front: it starts once this is over."""
        self._layout = layout
        self._host = host
        self._say = say
        self._ask = ask
        self._keeper = Keeper(layout, host, deployment.load(layout.state), say)
        self._keeper.traffic.front_runs = front_runs
        self._starter = Starter(layout, host, say, ask)
        self._company = Company(layout, host, self._keeper, self._starter, self._fetch, say)

    def deploy(self, named: str | None, in_place: bool = False) -> bool:
        """Serve the release `named`, or what is served, as host.yml wants it; return whether that changed.

        Raises `RolloutError`; what was promoted before serves then.
        """
        changed = self.settle()
        plan = planning.changing(self._state, self._host, self._layout, self._registry, named, in_place)
        changed |= self._carry_out(plan)
        if any(isinstance(step, Replace) for step in plan.steps):
            with Trouble() as trouble:
                self.tidy()
            if trouble.faults:
                raise RolloutError(f"{self._state.last}, but tidying up failed: {trouble}")
        return changed

    def rollback(self, in_place: bool = False, leave: str | None = None) -> bool:
        """Serve the previous release again, without S3; of what was cut off only that is undone.

        With `leave`, only where that release serves. A second rollback changes nothing.
        """
        unfinished = self._state.deploying
        if self.settle() and unfinished:
            return True
        return self._carry_out(planning.back(self._state, self._host, self._layout, in_place, leave))

    def settle(self) -> bool:
        """Put right what a killed deployment or an administrator left; return whether it had to."""
        return self._carry_out(planning.settling(self._state, self._host, self._layout))

    def withdraw(self) -> None:
        """Have nothing serve any more; whatever runs is stopped once it has answered."""
        keeper = self._keeper
        keeper.state = State(last="nothing serves")
        keeper.mirror(None)
        keeper.abreast({}, 1)
        keeper.save()
        keeper.restore()

    def unsettled(self) -> bool:
        """Whether a deployment was killed before its end, or endpoint.yml is not what was promoted."""
        return self._keeper.unsettled()

    def due(self, release: str) -> list[str]:
        """Return what `deploy` of what serves, this release, would put right now; needs no lock."""
        named = None if self._state.promoted else release
        plan = planning.changing(self._state, self._host, self._layout, self._registry, named)
        return [*plan.says, *([f"write {self._layout.endpoint}"] if self.unsettled() else [])]

    def heal(self) -> bool:
        """Restart instances that have lost their workers; needs no lock. Returns whether there were any."""
        return self._keeper.heal()

    def tidy(self) -> None:
        """Stop what was kept warm long enough and remove releases beyond keep_releases."""
        self._keeper.tidy()

    @cached_property
    def _registry(self) -> Registry:
        return Registry(self._host.models, signers=self._host.release_signers)

    @property
    def _state(self) -> State:
        return self._keeper.state

    def _carry_out(self, plan: Plan) -> bool:
        if plan.blocked:
            raise InstanceError(plan.blocked)
        changed = False
        for step in plan.steps:
            self._ask()
            match step:
                case Settle():
                    changed |= self._settle(step)
                case Fetch():
                    changed |= self._fetch(step.version)
                case Stay():
                    self._stay(step)
                case Replace():
                    self._replace(step)
                    changed = True
                case Mirror():
                    changed |= self._company.mirror(step)
                case Abreast():
                    self._company.abreast(step)
                    changed = True
        return changed

    def _settle(self, step: Settle) -> bool:
        state = self._state
        if (cut_off := step.cut_off) is None:
            return self._keeper.restore()
        self._say(f"the deployment of {cut_off.version} was cut off ({cut_off.phase}): undoing it")
        state.deploying, state.share = None, 0
        if cut_off.phase != UNDOING:  # then its cause is written down already
            state.last = f"{cut_off.version} was not deployed, it was cut off ({cut_off.phase})"
        self._keeper.restore()
        # Last, so that nobody takes a half-undone deployment for none.
        self._keeper.save()
        if cut_off.phase != UNDOING:
            told.ended(self._layout.figures, told.FAILED)
        return True

    def _fetch(self, version: str) -> bool:
        self._say(f"fetching {self._registry.url(version)}")
        self._layout.releases.mkdir(parents=True, exist_ok=True)
        return self._registry.fetch(version, self._layout.releases, self._ask)

    def _stay(self, step: Stay) -> None:
        if step.why:
            self._say(step.why)
        self._starter.up(Instance(self._layout, step.place.instance))

    def _replace(self, step: Replace) -> None:
        """Have the instance serve in place of the promoted one, or raise with that one serving as before."""
        keeper, before = self._keeper, self._state.model_copy()
        old = keeper.instance(before.promoted)
        try:
            keeper.phase(step.place, "starting")
            if before.shadow == step.place:
                keeper.mirror(None)  # it is promoted from there
            others = {name: at for name, at in before.beside.items() if at.instance != step.place.instance}
            keeper.abreast(others, before.weight)
            new = self._prove(step, old)
            self._promote(step, old, new)
        except Exception as error:  # noqa: BLE001 - whatever it was, the way back comes first
            self._undo(before, step, error)
        self._finish(old, told.ROLLED_BACK if step.back else told.PROMOTED)

    def _prove(self, step: Replace, old: Instance | None) -> Instance:
        """Start the new instance, have it score its golden clip, and try it on the traffic."""
        manifest, name = step.manifest, step.place.instance
        self._keeper.stop_others(keep=name)
        if old and step.in_place:
            self._pause(old)
        elif old and not services.running(name):
            self._starter.fits(old, manifest, self._host)
        new = Instance(self._layout, name)
        if not new.exists:
            new = assemble.make(self._layout, self._host, manifest.version)
        self._ask()
        self._starter.up(new)
        self._starter.golden(new, manifest)
        if old and step.trial:
            self._try(old, new, manifest)
        self._ask()
        return new

    def _try(self, old: Instance, new: Instance, manifest: Manifest) -> None:
        trial = Trial(
            self._keeper.traffic, self._host.canary, old, new, manifest.reference, self._say, self._ask
        )
        for step, (weight, seconds) in enumerate(trial.steps):
            place = Place(version=new.version, instance=new.name)
            self._keeper.phase(place, f"canary at {weight} %", share=weight)
            trial.run(weight, seconds, hold=step == 0)
            self._starter.golden(new, manifest, in_traffic=True)

    def _promote(self, step: Replace, old: Instance | None, new: Instance) -> None:
        """Commit. All that can fail comes before deployment.json says so; `_finish` does the rest."""
        now = self._state
        services.enable(new.name)
        self._keeper.traffic.show([(self._keeper.traffic.stable, new, 100)])
        after = now.model_copy(
            update={"promoted": step.place, "deploying": None, "share": 0, "last": f"{new.version} serves"}
        )
        if old and old.version != new.version:
            after.previous = now.promoted
            after.warm_until = 0.0 if step.in_place else time.time() + self._host.keep_warm_seconds
            after.left = now.promoted if step.back else None
        deployment.save(self._layout.state, after)
        self._keeper.state = after

    def _finish(self, old: Instance | None, outcome: str) -> None:
        """Do what follows from the commit, which the next run would do as well."""
        trouble, state = Trouble(), self._state
        if old:
            with trouble:
                services.disable(old.name)
        with trouble:
            self._keeper.stop_others()
        with trouble:
            told.ended(self._layout.figures, outcome)
        if trouble.faults:
            state.last += f", but: {trouble}"
            for again in (self._keeper.restore, self._keeper.save):
                with trouble:
                    again()
            raise RolloutError(f"{state.last}. Run springboard deploy again, which puts it right")
        self._say(state.last)

    def _undo(self, before: State, step: Replace, error: Exception) -> NoReturn:
        """Return to what was promoted before, as far as can be, and raise why, with what failed of it."""
        keeper, trouble, promoted = self._keeper, Trouble(), before.promoted
        serves = f"{promoted.version} serves" if promoted else "nothing serves"
        why = cause(error, self._layout)
        keeper.state = before.model_copy(
            update={"last": f"{step.place.version} was not deployed, {serves}: {why}"}
        )
        keeper.mirror(before.shadow)
        keeper.abreast(before.beside, before.weight)
        # Like this until all is as it was: whoever comes next, were we killed, goes on with it.
        undoing = Unfinished(**step.place.model_dump(), phase=UNDOING)
        with trouble:
            deployment.save(self._layout.state, keeper.state.model_copy(update={"deploying": undoing}))
        self._say(f"rolling back {step.place.version}")
        with trouble:
            keeper.restore()
        if old := keeper.instance(promoted):
            with trouble:
                old.start(self._host.ready_timeout_seconds)
            if not services.running(old.name):
                keeper.state.deploying = undoing  # the timer goes on with it
        with trouble:
            told.ended(self._layout.figures, told.FAILED)
        if trouble.faults:
            keeper.state.last += f". Undoing it was not all well: {trouble}"
        with trouble:
            keeper.save()
        if isinstance(error, Stopped) and not trouble.faults:
            raise error
        raise RolloutError(keeper.state.last) from error

    def _pause(self, old: Instance) -> None:
        self._say(f"in place: requests wait while {old.version} stops and the new release starts")
        self._keeper.traffic.pause(old.version)
        self._keeper.traffic.drained(self._say)
        services.stop(old.name)
