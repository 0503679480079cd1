"""A balancer before hosts: Debian's HAProxy, with the rules that the role fleet gives Amazon's."""

import csv
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from springboard.system.processes import Child
from tests.hosts.harness import Hosts
from tests.stands.waiting import wait_until

PORT = 8080


class Balancer:
    """What listens at `url`; hosts come and go by its socket."""

    def __init__(self, url: str, path: Path) -> None:
        self.url = url
        self._path = str(path)

    def register(self, name: str, address: str) -> None:
        """Have a host get requests once it is healthy."""
        # HAProxy takes what it never looked at for healthy; here, as with ELB, a host has to show that first.
        for command in (f"addr {address} port 8080", "state drain", "health down", "state ready"):
            self._say(f"set server fleet/{name} {command}")

    def deregister(self, name: str, seconds: float = 60) -> None:
        """Send a host nothing new, and return once it has answered what it had."""
        self._say(f"set server fleet/{name} state drain")
        wait_until(lambda: self._told(name)["scur"] == "0", f"{name} to be drained", seconds)
        self._say(f"set server fleet/{name} state maint")

    def healthy(self, name: str) -> bool:
        """Whether a host gets requests."""
        return self._told(name)["status"].startswith("UP")

    def wait_healthy(self, *names: str) -> None:
        wait_until(lambda: all(map(self.healthy, names)), f"{', '.join(names)} to be healthy", 300)

    def _told(self, name: str) -> dict[str, str]:
        rows = csv.DictReader(self._say("show stat").removeprefix("# ").splitlines())
        return next(row for row in rows if row["svname"] == name)

    def _say(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self._path)
            connection.sendall(f"{command}\n".encode())
            answer = b""
            while more := connection.recv(65536):
                answer += more
        return answer.decode().strip()


@contextmanager
def balancer(hosts: Hosts, folder: Path, names: list[str], **settings: Any) -> Iterator[Balancer]:
    """Balance over hosts of these names, none of which is there yet; `settings` are group_vars."""
    address = f"{hosts.gateway}:{PORT}"
    given: dict[str, Any] = {
        "balancer_folder": str(folder),
        "balancer_address": address,
        "balancer_targets": names,
    }
    play = hosts.play("../tests/hosts/balancer.yml", **given, **settings)
    assert play.ok, play.output
    with (folder / "log").open("wb") as log:
        child = Child(["haproxy", "-db", "-f", str(folder / "haproxy.cfg")], stdout=log, stderr=log)
    try:
        wait_until((folder / "socket").is_socket, "HAProxy to listen")
        yield Balancer(f"http://{address}", folder / "socket")
    finally:
        child.stop(0)
