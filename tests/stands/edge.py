"""The role's nginx as a process of this machine: its template as Ansible renders it, on loopback."""

import json
import os
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from springboard.system.checkout import ROOT
from springboard.system.ports import free_ports
from springboard.system.processes import Child
from tests.stands.certificates import certificate
from tests.stands.waiting import wait_until

ROLE = ROOT / "playbooks" / "roles" / "edge"


@dataclass
class Edge:
    """An edge on 127.0.0.1, and the socket that it logs to as to the journal's."""

    port: int
    journal: socket.socket

    def connect(self, source: str = "127.0.0.1") -> ssl.SSLSocket:
        """Connect from an address of this machine, with TLS."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=30, source_address=(source, 0))
        return context.wrap_socket(plain)

    def exchange(self, *sent: bytes, source: str = "127.0.0.1") -> bytes:
        """Send bytes on one connection, and return its first answer."""
        received = b""
        with self.connect(source) as connection:
            with suppress(OSError):  # it may close before it has all
                for part in sent:
                    connection.sendall(part)
            with suppress(ConnectionResetError):
                while not _whole(received) and (more := connection.recv(65536)):
                    received += more
        return received

    def logged(self, least: int = 0) -> list[str]:
        """Return the log's new lines, once there are so many."""
        lines: list[str] = []

        def read() -> bool:
            with suppress(BlockingIOError):
                while line := self.journal.recv(65536):
                    lines.append(line.decode(errors="replace"))
            return len(lines) >= least

        wait_until(read, f"{least} lines")
        return lines


@contextmanager
def edge(folder: Path, front: str, **settings: Any) -> Iterator[Edge]:
    """Run an edge with a given certificate before `front` (host:port) until the end."""
    certificate(folder)
    port, status = free_ports(2)
    settings = {
        "edge_port": port,
        "edge_status_port": status,
        "edge_front_address": front,
        "edge_certificate": str(folder / "ca.pem"),
        "edge_certificate_key": str(folder / "key.pem"),
        "edge_certificate_on_host": True,
        **settings,
    }
    config = folder / "nginx.conf"
    config.write_text(_here(_rendered(folder, settings), folder))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(folder / "log"))
        journal.setblocking(False)
        child = Child(["nginx", "-c", str(config), "-e", str(folder / "log.err"), "-g", "daemon off;"])
        try:
            one = Edge(port, journal)
            wait_until(lambda: _listens(port), "nginx to listen")
            yield one
        finally:
            child.stop(5)


def _whole(received: bytes) -> bool:
    head, ended, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(ended and length) and len(body) >= int(length[1] if length else 0)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _rendered(folder: Path, settings: dict[str, Any]) -> str:
    task = {
        "ansible.builtin.template": {
            "src": str(ROLE / "templates" / "nginx.conf.j2"),
            "dest": f"{folder}/made",
        }
    }
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars_files": [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml")],
        "tasks": [task],
    }
    (folder / "play.yml").write_text(json.dumps([play]))
    (folder / "settings.json").write_text(json.dumps(settings))
    command = [
        str(Path(sys.executable).with_name("ansible-playbook")),
        "-i",
        "localhost,",
        f"{folder}/play.yml",
    ]
    more = ["-e", f"@{folder}/settings.json", "-e", f"ansible_python_interpreter={sys.executable}"]
    done = subprocess.run([*command, *more], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "made").read_text()


def _here(config: str, folder: Path) -> str:
    """Take the host's own files and addresses out."""
    temps = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    for pattern, ours in (
        (r"user www-data;", "user root;" if os.geteuid() == 0 else ""),
        (r"worker_processes auto;", "worker_processes 1;"),
        (r"worker_rlimit_nofile \d+;", ""),
        (r"/run/nginx.pid", f"{folder}/nginx.pid"),
        (r"unix:/dev/log", f"unix:{folder}/log"),
        (r"include /etc/nginx/(modules-enabled|conf.d|sites-enabled)/.*;", ""),
        (r"listen (\d+) ssl", r"listen 127.0.0.1:\1 ssl"),
        (r"(?m)^http {", f"http {{\n{temps}"),
    ):
        assert re.search(pattern, config), pattern
        config = re.sub(pattern, ours, config)
    return config
