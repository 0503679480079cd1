"""Whether a host gives right answers: the golden clip of what it serves, scored by every worker."""

from collections.abc import Callable

from springboard.deploy import state as deployment
from springboard.deploy.instances import Instance
from springboard.deploy.layout import Layout
from springboard.deploy.plan import RolloutError
from springboard.deploy.settings import Host
from springboard.releases import copies


def prove(layout: Layout, host: Host, say: Callable[[str], None]) -> None:
    """Wait until the promoted release is ready, and have its golden clip scored.

    Raises `RolloutError` where nothing is deployed, `InstanceError` where it does not come up or is wrong.
    """
    promoted = deployment.load(layout.state).promoted
    if promoted is None:
        raise RolloutError("nothing is deployed on this host; run: springboard deploy X.Y.Z")
    instance = Instance(layout, promoted.instance)
    instance.start(host.ready_timeout_seconds)  # one that is up already is waited for
    manifest = copies.load(layout.releases / promoted.version)
    assert manifest.golden is not None  # noqa: S101 - else it had not been deployed
    clip = (layout.releases / promoted.version / manifest.golden_name).read_bytes()
    score = instance.warm_up(clip, manifest.golden)
    say(f"{promoted.version} scores its golden clip {score:.2f}, expected {manifest.golden.score:.2f}")
