"""What the monitoring stack is put together from: servers, their configuration, whoever gets the alerts."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from springboard.system.checkout import ROOT
from springboard.system.processes import Child
from tests.stands.waiting import wait_until

ROLE = ROOT / "playbooks" / "roles" / "prometheus"
NAME = "scores.test"


@contextmanager
def daemon(folder: Path, command: list[str | Path], url: str, **options: Any) -> Iterator[None]:
    """Run a server until the end; it answers `url` with 200 when this yields."""
    log = folder / f"{Path(command[0]).name}.log"
    with log.open("w") as out:
        child = Child([*map(str, command)], stdout=out, stderr=out, cwd=folder, **options)
    try:

        def answers() -> bool:
            assert child.running, f"{command[0]} ended: {log.read_text()[-2000:]}"
            try:
                return httpx.get(url, timeout=5).status_code == 200
            except httpx.HTTPError:
                return False

        wait_until(answers, f"{command[0]} to answer {url}", 60)
        yield
    finally:
        child.stop(5)


def render(folder: Path, variables: dict[str, Any], **hosts: dict[str, Any]) -> None:
    """Have Ansible render the role's three configuration files into `folder`, as it does on host `watcher`.

    `hosts` are inventory hosts with their variables; an `edge_certificate` is a file on this machine.
    """
    (folder / "variables.json").write_text(json.dumps(variables))
    inventory = folder / "hosts.yml"
    local = {"ansible_connection": "local", "edge_certificate_on_host": True}
    known = {name.replace("_", "-"): {**local, **own} for name, own in {"watcher": {}, **hosts}.items()}
    inventory.write_text(json.dumps({"all": {"hosts": known}}))
    play = folder / "render.yml"
    files = ["prometheus.yml", "alertmanager.yml", "blackbox.yml"]
    tasks: list[dict[str, Any]] = [{"ansible.builtin.include_tasks": str(ROLE / "tasks" / "tls.yml")}]
    tasks += [
        {
            "ansible.builtin.template": {
                "src": str(ROLE / "templates" / f"{file}.j2"),
                "dest": str(folder / file),
            }
        }
        for file in files
    ]
    play.write_text(
        json.dumps(
            [
                {
                    "hosts": "watcher",
                    "gather_facts": False,
                    "vars_files": [str(ROLE / "defaults" / "main.yml"), str(ROLE / "vars" / "main.yml")],
                    "tasks": tasks,
                }
            ]
        )
    )
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), str(play)]
    done = subprocess.run(
        [
            *command,
            "-e",
            f"@{folder / 'variables.json'}",
            "-e",
            f"ansible_python_interpreter={sys.executable}",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def nginx_conf(folder: Path, edge: int, status: int, front: str) -> str:
    """Return a small edge: TLS before the front, and nginx's own counters. (Role edge has its own tests.)"""
    temp = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""
        daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx-error.log; worker_processes 1;
        {"user root;" if os.geteuid() == 0 else ""}
        events {{}}
        http {{
            access_log off; {temp}
            server {{
                listen 127.0.0.1:{edge} ssl;
                ssl_certificate {folder}/ca.pem; ssl_certificate_key {folder}/key.pem;
                client_max_body_size 10m;
                location / {{ proxy_pass {front}; proxy_set_header X-Forwarded-For 10.0.0.7; }}
            }}
            server {{ listen 127.0.0.1:{status}; location /stub_status {{ stub_status; }} }}
        }}
    """
