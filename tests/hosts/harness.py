"""Throw-away hosts, and playbooks run against them as a person runs them.

    hosts.start("gpu1")                 a fresh Debian 12 with systemd and sshd, half a second
    hosts.start("gpu1", layer)          the same over a frozen state, see `Node.freeze`
    hosts.play("configure.yml", springboard=[node], check=True, some_variable=1)

All that a session makes (processes, mounts, namespaces, cgroups, files) is removed by a watcher process when
the session ends, however it ends.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from springboard.system.checkout import ROOT
from springboard.system.processes import Child
from tests.hosts.once import BUILD, digest, once
from tests.stands.compiled import FORKING, KEPT, SITECUSTOMIZE, keeping

HERE = Path(__file__).parent
SCRIPT = str(HERE / "node.sh")
BIN = Path(sys.executable).parent
# Of one play; the longest, which builds a host, takes a tenth of it.
MOST_SECONDS = 1200
NEEDED = ("mmdebstrap", "systemd-nspawn", "slirp4netns", "ip", "ssh", "ssh-keygen", "haproxy")


@dataclass(frozen=True)
class Play:
    """What a run of ansible-playbook printed and counted."""

    returncode: int
    output: str

    @property
    def ok(self) -> bool:
        return self.returncode == 0

    def count(self, what: str, host: str | None = None) -> int:
        """Sum the recap's `changed`, `failed`, `ok`..., over all hosts or of one."""
        recap = self.output.rpartition("PLAY RECAP")[2]
        return sum(
            int(found[2])
            for found in re.finditer(rf"^(\S+) .*?\b{what}=(\d+)", recap, re.MULTILINE)
            if host in (None, found[1])
        )


@dataclass
class Node:
    """A running host."""

    name: str
    address: str
    hosts: "Hosts" = field(repr=False)
    _services: list[subprocess.Popen[bytes]] = field(default_factory=list, repr=False)

    def run(self, *command: str, check: bool = True, input: str = "") -> str:  # noqa: A002
        """Run a command inside as root; return what it printed, errors too."""
        done = self.hosts.script("sh", self.name, *command, check=False, input=input)
        assert not check or done.returncode == 0, f"{command} on {self.name}: {done.stdout}"
        return done.stdout

    def sh(self, command: str, check: bool = True) -> str:
        """Run a line of shell inside as root."""
        return self.run("sh", "-c", command, check=check)

    def succeeds(self, *command: str) -> bool:
        """Whether a command inside ends with 0."""
        return self.hosts.script("sh", self.name, *command, check=False).returncode == 0

    def metadata(self, access_key: str, secret_key: str, token: str = "", region: str = "us-east-1") -> None:
        """Give the node an EC2 metadata service whose instance role has these credentials."""
        space = f"node{self.hosts.number}-{self.name}"
        subprocess.run(["ip", "-n", space, "addr", "add", "169.254.169.254/32", "dev", "lo"], check=True)
        # node.sh ends whatever runs in the node's namespace.
        command = ["ip", "netns", "exec", space, sys.executable, str(HERE / "metadata.py")]
        self._services.append(
            subprocess.Popen(
                [*command, access_key, secret_key, token, region],
                start_new_session=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    def reboot(self) -> None:
        """Reboot in order and wait for sshd."""
        self.hosts.script("reboot", self.name)
        self.run("timeout", "300", "systemctl", "is-system-running", "--wait", check=False)

    def freeze(self, layer: str) -> Path:
        """Shut down in order and return what the node changed, to start others from; the node is gone."""
        path = self.hosts.base / layer
        self.hosts.script("freeze", self.name, str(path))
        self._reap()
        return path

    def stop(self) -> None:
        """Pull the plug; nothing of the node is left."""
        self.hosts.script("down", self.name)
        self._reap()

    def _reap(self) -> None:
        for service in self._services:
            service.wait()
        self._services.clear()
        self.hosts.nodes.pop(self.name, None)


class Hosts:
    """This session's network of nodes; made by `session`."""

    def __init__(self, number: int, rootfs: Path) -> None:
        self.number = number
        self.rootfs = rootfs
        self.base = BUILD / f"session-{number}"
        self.control = f"/run/springboard-nodes-{number}"  # short: a socket's path ends at 108 bytes
        self.gateway = f"10.213.{number}.1"  # this machine, as nodes see it
        self.nodes: dict[str, Node] = {}
        self._octets = iter(range(11, 255))
        self._plays = 0
        self.environment = {
            **os.environ,
            "NODE_BASE": str(self.base),
            "NODE_ROOTFS": str(rootfs),
            "NODE_KEY": str(self.base / "key.pub"),
            "NODE_ID": str(number),
            "NODE_COMPILED": str(KEPT),
        }

    def script(
        self,
        *arguments: str,
        check: bool = True,
        input: str = "",  # noqa: A002
        rootfs: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run node.sh."""
        # To a file, not a pipe: what it leaves running in the background must not hold us.
        with (self.base / "script.out").open("w+") as out:
            status = subprocess.run(
                [SCRIPT, *arguments],
                env={**self.environment, **({"NODE_ROOTFS": str(rootfs)} if rootfs else {})},
                text=True,
                input=input,
                stdout=out,
                stderr=subprocess.STDOUT,
                check=False,
            ).returncode
            out.seek(0)
            printed = out.read()
        assert not check or status == 0, f"node.sh {' '.join(arguments)}: {printed}"
        return subprocess.CompletedProcess(arguments, status, printed)

    def start(
        self, name: str, layer: Path | None = None, rootfs: Path | None = None, address: str = ""
    ) -> Node:
        """Boot a node, over frozen layers (`over:under`) or fresh, of Debian 12 or else; wait for its sshd.

        `address` is that of a node that is gone; without it nothing remembers that of a dead one.
        """
        octet = address.rpartition(".")[2] or str(next(self._octets))
        self.script("up", name, octet, *([str(layer)] if layer else []), rootfs=rootfs)
        self.nodes[name] = Node(name, f"10.213.{self.number}.{octet}", self)
        return self.nodes[name]

    def play(
        self,
        playbook: str,
        *options: str,
        check: bool = False,
        checkout: Path = ROOT,
        kill_when: Callable[[], bool] | None = None,
        **groups_and_variables: Any,
    ) -> Play:
        """Run playbooks/`playbook` with the project's own group_vars.

        Lists of nodes are inventory groups (`springboard=[node]`), other keywords extra variables. When
        `kill_when`, asked over and over, holds, ansible is killed. A play that does not end is a failure.
        """
        groups: dict[str, list[Node]] = {"springboard": [], "monitoring": []}
        groups |= {name: value for name, value in groups_and_variables.items() if _are_nodes(value)}
        variables = {name: value for name, value in groups_and_variables.items() if name not in groups}
        self._plays += 1
        folder = self.base / f"play-{self._plays}"
        folder.mkdir()
        (folder / "group_vars").symlink_to(checkout / "inventory" / "group_vars")
        login = {"ansible_user": "ubuntu", "ansible_ssh_private_key_file": str(self.base / "key")}
        inventory = {
            group: {"hosts": {node.name: {"ansible_host": node.address, **login} for node in nodes}}
            for group, nodes in groups.items()
        }
        (folder / "hosts.yml").write_text(yaml.safe_dump(inventory))
        (folder / "variables.json").write_text(json.dumps(variables))
        command = [str(BIN / "ansible-playbook"), f"playbooks/{playbook}", "-i", str(folder / "hosts.yml")]
        command += [
            "-e",
            f"@{folder / 'variables.json'}",
            *(["--check", "--diff"] if check else []),
            *options,
        ]
        environment = {
            **os.environ,
            **keeping(),
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "ANSIBLE_HOST_KEY_CHECKING": "false",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": self.control,
            "ANSIBLE_NOCOLOR": "true",
            "ANSIBLE_TIMEOUT": "60",
        }
        try:
            with (folder / "output").open("w") as output:
                ansible = Child(
                    command,
                    cwd=checkout,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
            try:
                end = time.monotonic() + MOST_SECONDS
                while ansible.running and not (kill_when and kill_when()):
                    assert time.monotonic() < end, (folder / "output").read_text()
                    time.sleep(0.4)
                ansible.signal(signal.SIGKILL)
            finally:
                ansible.stop(0)
        finally:
            self.forget_connections()
        return Play(ansible.process.returncode, (folder / "output").read_text())

    def forget_connections(self) -> None:
        """End ansible's shared ssh connections; they would outlive us by a minute, and a reboot not."""
        for socket in Path(self.control).glob("*"):
            close = ["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "node"]
            subprocess.run(close, check=False, capture_output=True)


def _are_nodes(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, Node) for one in value)


def rootfs(suite: str = "bookworm") -> Path:
    """Return the root filesystem of fresh nodes of this Debian: bookworm is 12, trixie 13."""
    pip = subprocess.run(["pip", "config", "list"], capture_output=True, check=False).stdout
    ingredients = [HERE / "build-rootfs.sh", HERE / "pip-folders.sh", SITECUSTOMIZE, FORKING]
    ingredients += [Path("/etc/apt/sources.list.d/debian.sources")]
    ingredients += sorted(Path("/usr/local/share/ca-certificates").glob("*.crt"))

    def make(draft: Path) -> None:
        with (BUILD / f"{suite}.log").open("w") as log:
            # Its mounts, in a namespace of their own, end with it however it ends.
            command = ["unshare", "--mount", str(HERE / "build-rootfs.sh"), str(draft), suite]
            build = Child(command, stdout=log, stderr=log)
            try:
                status = build.process.wait()
            finally:
                build.stop(0)
        assert status == 0, f"build-rootfs.sh: {(BUILD / f'{suite}.log').read_text()[-2000:]}"

    return once(suite, digest(pip, *ingredients), make)


@contextmanager
def session() -> Iterator[Hosts]:
    """Yield a network of its own; when this ends, however it ends, nothing of it is left."""
    BUILD.mkdir(parents=True, exist_ok=True)
    root = rootfs()
    for number in range(1, 255):  # creating the bridge is what claims a number
        claim = subprocess.run(
            ["ip", "link", "add", f"nodes{number}", "type", "bridge"],
            capture_output=True,
            text=True,
            check=False,
        )
        if claim.returncode == 0:
            break
        assert "exists" in claim.stderr, claim.stderr
    else:
        raise AssertionError("254 sessions of test hosts on one machine")
    hosts = Hosts(number, root)
    # Only we hold the other end of its standard input, so it acts when we end.
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", f'cat; rm -rf {hosts.control}; exec "$0" clean', SCRIPT],
        env=hosts.environment,
        start_new_session=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        subprocess.run(["rm", "-rf", str(hosts.base)], check=True)  # of a session that the machine lost
        hosts.base.mkdir()
        subprocess.run(["ip", "addr", "add", f"{hosts.gateway}/24", "dev", f"nodes{number}"], check=True)
        subprocess.run(["ip", "link", "set", f"nodes{number}", "up"], check=True)
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(hosts.base / "key")]
        subprocess.run(keygen, check=True)
        yield hosts
    finally:
        watcher.communicate()
