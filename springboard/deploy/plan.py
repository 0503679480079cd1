"""What a deployment would do, for `springboard deploy --check`."""

from springboard.deploy import assemble
from springboard.deploy import state as deployment
from springboard.deploy import units as services
from springboard.deploy.instances import Instance, InstanceError
from springboard.deploy.layout import Layout
from springboard.deploy.settings import Host
from springboard.deploy.traffic import Traffic
from springboard.releases import copies
from springboard.releases.registry import Registry


def steps(layout: Layout, host: Host, version: str | None, in_place: bool) -> list[str]:
    """Return what `Rollout.deploy` would do, each as words after "would"; change nothing."""
    state, found = deployment.load(layout.state), list[str]()
    promoted, traffic = state.promoted, Traffic(layout, host)
    if state.deploying:
        found.append(f"undo the deployment of {state.deploying.version} that was cut off")
    named, version = version, version or (promoted.version if promoted else None)
    mirrored = host.shadow.release if host.shadow and host.shadow.release != version else None
    for release in (version, mirrored):
        if release and not (layout.releases / release).is_dir():
            Registry(host.models).manifest(release)
            found.append(f"fetch {release}")
    name = _name(layout, host, version)
    if promoted and named is None and _unfit(layout, host, promoted.version):
        name = promoted.instance
    if (promoted.instance if promoted else "") != name:
        found.append(f"start {services.unit(name)} {'in place' if in_place else 'beside what serves'}")
        found.append(f"have {version} serve, if it proves itself")
    elif promoted and not services.running(name):
        found.append(f"start {services.unit(name)}")
    if promoted and _name(layout, host, mirrored) != (state.shadow.instance if state.shadow else ""):
        found.append(f"have copies of videos go to {mirrored or 'no release any more'}")
    shares = [("stable", Instance(layout, promoted.instance), 100)] if promoted else []
    traffic.shadow = Instance(layout, state.shadow.instance) if state.shadow else None
    if not found and traffic.would_change(shares):
        found.append(f"write {layout.endpoint}")
    return found


def _unfit(layout: Layout, host: Host, version: str) -> bool:
    try:
        assemble.check(host, copies.load(layout.releases / version))
    except assemble.OtherTorch:
        return True
    except InstanceError:
        pass  # as in _name
    return False


def _name(layout: Layout, host: Host, version: str | None) -> str:
    if not version:
        return ""
    try:
        return assemble.name_of(layout, host, version)
    except InstanceError:
        return f"{version}_*"  # in Ansible's check mode the runtime is not built yet
