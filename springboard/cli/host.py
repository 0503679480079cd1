"""`springboard deploy | rollback | follow | check | upkeep | tidy`: what Ansible and timers run on hosts."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from springboard.cli.said import say
from springboard.deploy import follow as following
from springboard.deploy import plan as planning
from springboard.deploy import proof
from springboard.deploy import settings as host
from springboard.deploy import state as deployment
from springboard.deploy.channel import ChannelError
from springboard.deploy.figures import FrontAway
from springboard.deploy.instances import InstanceError
from springboard.deploy.keeper import KeeperError
from springboard.deploy.layout import Layout
from springboard.deploy.plan import RolloutError
from springboard.deploy.rollout import Rollout
from springboard.deploy.settings import Host, HostFileError
from springboard.deploy.state import Busy, StateError
from springboard.deploy.stop import Stop, Stopped
from springboard.deploy.units import ServiceError
from springboard.deploy.upkeep import reboot_due, tell
from springboard.releases.manifest import ReleaseError
from springboard.releases.registry import Registry

_EXPECTED = (
    *(Busy, StateError, ChannelError, FrontAway, HostFileError, InstanceError, KeeperError),
    *(ReleaseError, RolloutError, ServiceError, OSError),
)

_FOLLOW = "springboard follow"

InPlace = Annotated[bool, typer.Option("--in-place", help="Stop what serves first, where two do not fit.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait where another deployment is at work.")]


def deploy(
    version: Annotated[str | None, typer.Argument(help="X.Y.Z; default: what is served.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Say what would change, and change nothing.")
    ] = False,
    in_place: InPlace = False,
    wait: Wait = False,
) -> None:
    """Serve a release, tried on some of the traffic first; or bring this host to its host.yml.

    The last line is `changed`, `unchanged`, or what stopped it; then what served before serves, and the exit
    status is 1. A lost connection does not stop it, SIGTERM and Ctrl-C roll back.
    """
    if check:
        with _explained():
            layout = Layout.here()
            settings = host.here(layout)
            state = deployment.load(layout.state)
            registry = Registry(settings.models, signers=settings.release_signers)
            _tell(planning.plan(state, settings, layout, registry, version, in_place))
        return
    what = f"springboard deploy {version or ''}".strip()
    _work(what, wait, _ahead(lambda rollout: rollout.deploy(version, in_place)))


def rollback(
    check: Annotated[
        bool, typer.Option("--check", help="Say what would change, and change nothing.")
    ] = False,
    leave: Annotated[
        str | None, typer.Option("--leave", help="X.Y.Z: only where this release serves.")
    ] = None,
    in_place: InPlace = False,
    wait: Wait = False,
) -> None:
    """Return to the previous release, from this host's own copy of it; a second time changes nothing."""
    if check:
        with _explained():
            layout = Layout.here()
            settings, state = host.here(layout), deployment.load(layout.state)
            _tell(planning.returning(state, settings, layout, in_place, leave))
        return
    _work("springboard rollback", wait, _ahead(lambda rollout: rollout.rollback(in_place, leave)))


def follow(
    check: Annotated[
        bool, typer.Option("--check", help="Say what would change, and change nothing.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also what failed here, or what was deployed here meanwhile.")
    ] = False,
    boot: Annotated[
        bool, typer.Option("--boot", help="Before the front starts: no trial, and only of another release.")
    ] = False,
    in_place: InPlace = False,
) -> None:
    """Serve what the endpoint's channel says, by the same way as `deploy`. For a timer, and at boot.

    The last line is `changed`, `unchanged`, or what kept it from following; what served before serves then.
    While a deployment is at work it does nothing.
    """

    def look(layout: Layout, settings: Host) -> following.Aim | None:
        aim, why = following.look(layout, settings, again, boot, check)
        if aim is None:
            say(why)
        return aim

    def act(layout: Layout, settings: Host, ask: Callable[[], None]) -> bool:
        if (aim := look(layout, settings)) is None:  # somebody was quicker
            return False
        rollout = Rollout(layout, aim.host, say, ask, front_runs=not boot)
        try:
            changed = rollout.deploy(aim.release, in_place or boot)
        except RolloutError as error:
            following.failed(layout, aim, str(error))
            raise
        following.drive(layout, aim.driven)
        following.tell(layout.figures, differs=False)
        return changed

    # Without the lock, so that nobody who deploys is refused for a look at the channel.
    with _explained():
        layout = Layout.here()
        aim = look(layout, host.here(layout))
    if aim is None or check:
        for line in aim.says if aim else ():
            say(f"would {line}")
        say("changed" if aim else "unchanged")
        return
    try:
        _work(_FOLLOW, False, act)
    except Busy:
        say("unchanged: a deployment is at work")


def check() -> None:
    """Have every worker score the golden clip of the release that serves; status 1 if one is wrong."""
    with _explained():
        layout = Layout.here()
        proof.prove(layout, host.here(layout), say)


def upkeep() -> None:
    """Say whether updates wait for a reboot of this host: packages that ask for one, or a newer kernel."""
    say("a reboot is due" if reboot_due(Layout.here()) else "no reboot is due")


def tidy() -> None:
    """Undo a deployment that was killed, stop what was kept warm long enough, remove old releases.

    First of all, restart what has lost its workers. For a timer; while a deployment is at work it does only
    that.
    """
    with _explained():
        layout = Layout.here()
        tell(layout)
        Rollout(layout, host.here(layout), say).heal()
    try:
        _work(deployment.TIDY, False, _tidy)
    except Busy:
        say("unchanged: a deployment is at work")


def _tell(plan: planning.Plan) -> None:
    for line in plan.says:
        say(f"would {line}")
    say("changed" if plan.says else "unchanged")


def _tidy(layout: Layout, settings: Host, ask: Callable[[], None]) -> bool:
    rollout = Rollout(layout, settings, say, ask)
    # Not always: an administrator who stopped the unit meant it.
    changed = rollout.unsettled() and rollout.settle()
    rollout.tidy()
    return changed


# What is done while no other deployment is at work: told the layout, host.yml, and what raises `Stopped`.
_Act = Callable[[Layout, Host, Callable[[], None]], bool]


def _ahead(act: Callable[[Rollout], bool]) -> _Act:
    """Do what somebody asked for here, which the channel need not say yet."""

    def ours(layout: Layout, settings: Host, ask: Callable[[], None]) -> bool:
        changed = act(Rollout(layout, settings, say, ask))
        following.ahead(layout, settings)
        return changed

    return ours


def _work(what: str, wait: bool, act: _Act) -> None:
    layout = Layout.here()
    # Ansible or ssh may go away: a canary must not bake without its judge, so this goes on to the end.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with (
        _explained(busy_is_fine=what in (deployment.TIDY, _FOLLOW)),
        deployment.alone(layout.lock, what, wait),
    ):
        stop = Stop()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: stop.tell(signal.Signals(number).name))
        changed = act(layout, host.here(layout), stop.ask)
    say("changed" if changed else "unchanged")


@contextmanager
def _explained(busy_is_fine: bool = False) -> Iterator[None]:
    try:
        yield
    except _EXPECTED as error:
        if busy_is_fine and isinstance(error, Busy):
            raise
        say(" ".join(str(error).split()))
        raise typer.Exit(1) from error
    except (KeyboardInterrupt, Stopped):  # the former while it waits for another one's end
        promoted = deployment.load(Layout.here().state).promoted
        say(f"stopped; {promoted.version if promoted else 'nothing'} serves")
        raise typer.Exit(1) from None
