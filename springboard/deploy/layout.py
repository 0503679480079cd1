"""Where things are on a host."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Where things are. `SPRINGBOARD_ROOT` puts all of it elsewhere, for tests."""

    root: Path

    @classmethod
    def here(cls) -> "Layout":
        """Return this machine's."""
        return cls(Path(os.environ.get("SPRINGBOARD_ROOT", "/")))

    @property
    def settings(self) -> Path:
        """What Ansible writes."""
        return self.root / "etc/springboard/host.yml"

    @property
    def endpoint(self) -> Path:
        """What the front reads; only deployments write it."""
        return self.root / "etc/springboard/endpoint.yml"

    @property
    def unit(self) -> Path:
        """The template unit of all instances."""
        return self.root / "etc/systemd/system/torchserve@.service"

    @property
    def releases(self) -> Path:
        """Verified copies of releases, a folder each."""
        return self.root / "var/lib/springboard/releases"

    @property
    def instances(self) -> Path:
        """What runs or ran, a folder each."""
        return self.root / "var/lib/springboard/instances"

    @property
    def mark(self) -> str:
        """What its instances' names end in, apart from those of other endpoints beside them."""
        return ""

    @property
    def state(self) -> Path:
        """What is promoted."""
        return self.root / "var/lib/springboard/deployment.json"

    @property
    def driven(self) -> Path:
        """What the control plane has otherwise than `settings`; not there where no document does."""
        return self.root / "var/lib/springboard/endpoint.json"

    @property
    def figures(self) -> Path:
        """Where Debian's node exporter reads what others have to tell; not there on hosts without it."""
        return self.root / "var/lib/prometheus/node-exporter"

    @property
    def patched(self) -> Path:
        """Its time is when playbooks/patch.yml, or what set up the host, last installed all updates."""
        return self.root / "var/lib/springboard/patched"

    @property
    def workerless(self) -> Path:
        """Since when which instances have no worker; gone after a reboot, as they are."""
        return self.root / "run/springboard/workerless.json"

    @property
    def followed(self) -> Path:
        """What following the channel remembers."""
        return self.root / "var/lib/springboard/follow.json"

    def found(self, instance: str) -> Path:
        """Return the folder of what an instance's workers find out about this machine."""
        return self.instances / instance / "cache"

    @property
    def lock(self) -> Path:
        """Held by the one deployment at work."""
        return self.root / "run/lock/springboard-deploy.lock"
