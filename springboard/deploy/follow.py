"""What a host has to do to serve what its endpoint's channel says, and when it leaves that for later.

`/var/lib/springboard/follow.json` remembers how long a deployment on this host is ahead of the channel, which
the next boot ends, and which version of the channel could not be followed.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from springboard.deploy import plan as planning
from springboard.deploy import settings
from springboard.deploy import state as deployment
from springboard.deploy.channel import ChannelError, Channels
from springboard.deploy.layout import Layout
from springboard.deploy.settings import Driven, Host
from springboard.releases.manifest import ReleaseError
from springboard.releases.registry import Registry
from springboard.system import documents, textfile
from springboard.system.files import write_atomically

_LAST, _DIFFERS = "springboard_follow_last_timestamp_seconds", "springboard_follow_differs"
ABOUT = {
    _LAST: "When the host last compared itself with its endpoint's channel, in Unix time.",
    _DIFFERS: "Whether it serves otherwise than the channel says.",
}
_FILE = "springboard_follow.prom"
_NOTHING = "nothing"


@dataclass(frozen=True)
class Aim:
    """A release that shall serve here as `host` has it, by this version of the channel; `says`: the steps.

    `driven` then holds for all who deploy here.
    """

    release: str
    version: str
    host: Host
    says: tuple[str, ...]
    driven: Driven | None = None


class _Noted(BaseModel):
    # Later versions may add fields.
    model_config = ConfigDict(extra="ignore")

    until: float = 0.0
    past: str | None = None
    """Of the channel, the version that it is ahead of; empty: there was none, None: that is not known."""
    version: str = ""
    why: str = ""


def ahead(layout: Layout, host: Host) -> None:
    """Let what was deployed here by somebody stay for a while, or until the channel is changed."""
    if host.follow:
        until = time.time() + host.follow.hold_seconds
        _note(layout, _noted(layout).model_copy(update={"until": until, "past": _version(host)}))


def _version(host: Host) -> str | None:
    try:
        found = Channels(host.models).raw(host.endpoint)
    except ReleaseError:  # then it is ahead of whatever there is
        return None
    return found[1] if found else ""


def failed(layout: Layout, aim: Aim, why: str) -> None:
    """Do not try this version of the channel again."""
    _note(layout, _Noted(version=aim.version, why=why))


def look(
    layout: Layout, host: Host, again: bool = False, boot: bool = False, check: bool = False
) -> tuple[Aim | None, str]:
    """Return what there is to do, or None and why there is nothing.

    With `again`, also what failed before or what a deployment is ahead of; at `boot` only another release,
    what a deployment is ahead of too, and what failed only where nothing serves: it is not tried then; with
    `check` nothing is written down. Raises `ChannelError` for a channel that cannot be used or failed
    here, `ReleaseError` where S3 or the release cannot be had.
    """
    channels = Channels(host.models)
    if (found := channels.read(host.endpoint)) is None:
        return None, f"there is nothing to follow: {channels.url(host.endpoint)} is not there"
    channel, version = found
    driven = None
    if channel.drives:
        host = settings.load(layout.settings)  # without what drove it until now
        driven = channel.driven(host) if host.follow and host.follow.control else None
    wanted, state = channel.applied(host), deployment.load(layout.state)
    serves = state.promoted.version if state.promoted else _NOTHING
    if boot and serves == channel.release:  # its unit starts by itself
        says = []
    else:
        registry = Registry(host.models, signers=host.release_signers)
        says = planning.plan(state, wanted, layout, registry, channel.release, boot).says
    if not check:
        tell(layout.figures, differs=bool(says))
    if not says:
        if not check:
            layout.followed.unlink(missing_ok=True)
        if not check and not boot:
            drive(layout, driven)
        return None, f"{channel.release} serves, as the channel says"
    aim = Aim(channel.release, version, wanted, tuple(says), driven)
    return _allowed(layout, aim, serves, again or check, boot)


def drive(layout: Layout, driven: Driven | None) -> None:
    """Have all who deploy here do it as the control plane that wrote the channel has it."""
    if driven:
        write_atomically(layout.driven, driven.model_dump_json(indent=1) + "\n")


def _allowed(layout: Layout, aim: Aim, serves: str, again: bool, boot: bool) -> tuple[Aim | None, str]:
    noted = _noted(layout)
    anew = boot and serves == _NOTHING
    if not again and not anew and noted.version == aim.version:
        raise ChannelError(
            f"{noted.why}. That is not tried again before the channel is changed (springboard channel set), "
            "or with springboard follow --again"
        )
    held = time.time() < noted.until and noted.past in (None, aim.version)
    if held and not again and not boot:
        until = datetime.fromtimestamp(noted.until, UTC)
        return None, (
            f"{serves} was deployed here and stays until {until:%H:%M} UTC, or until the channel, which "
            f"names {aim.release}, is changed"
        )
    return aim, ""


def tell(folder: Path, differs: bool) -> None:
    """Write down that the host compared itself now, where somebody reads it."""
    textfile.write(folder / _FILE, {_LAST: time.time(), _DIFFERS: float(differs)}, ABOUT)


def _noted(layout: Layout) -> _Noted:
    return documents.load(layout.followed, _Noted, ChannelError, as_json=True, missing=_Noted())


def _note(layout: Layout, noted: _Noted) -> None:
    layout.followed.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(layout.followed, noted.model_dump_json() + "\n")
