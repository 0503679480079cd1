"""The whole of monitoring at work on loopback: what roles configure on hosts, here with their own templates.

    TorchServes (puppets) <- front <- nginx with TLS <- Prometheus, with a token -> Alertmanager -> webhook
                             node exporter, nginx exporter, prober (blackbox exporter)

`gpu1` is watched as a host elsewhere is: through the edge, with TLS and a token.
"""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from springboard.lifetime import Child
from springboard.torchserve import ROOT, TorchServe, free_ports
from tests.serving.harness import SPRINGBOARD, FrontProcess, build_puppet, wait_until, write_endpoint

ROLE = ROOT / "playbooks" / "roles" / "prometheus"
RULES = ROOT / "monitoring" / "rules"
STAND_IN_NVML = Path(__file__).parent / "stand_in_nvml"
NAME = "scores.test"
NEEDED = {
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "amtool": "prometheus-alertmanager",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "prometheus-node-exporter": "prometheus-node-exporter",
    "prometheus-nginx-exporter": "prometheus-nginx-exporter",
    "prometheus-blackbox-exporter": "prometheus-blackbox-exporter",
    "nginx": "nginx-light",
    "openssl": "openssl",
}


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


class Webhook(ThreadingHTTPServer):
    """What Alertmanager posts its notifications to."""

    def __init__(self) -> None:
        self.alerts: list[dict[str, Any]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:  # noqa: N805
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                self.alerts += json.loads(body)["alerts"]
                handler.send_response(200)
                handler.end_headers()

            def log_message(handler, *_: object) -> None:  # noqa: N805
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/alerts"

    @contextmanager
    def running(self) -> Iterator["Webhook"]:
        thread = threading.Thread(target=self.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


def render(folder: Path, variables: dict[str, Any]) -> None:
    """Have Ansible render the role's three configuration files into `folder`, as it does on a host."""
    (folder / "variables.json").write_text(json.dumps(variables))
    inventory = folder / "hosts.yml"
    inventory.write_text(
        "monitoring: {hosts: {watcher: {ansible_connection: local}}}\n"
        "springboard: {hosts: {gpu1: {ansible_host: 127.0.0.1}}}\n"
    )
    play = folder / "render.yml"
    files = ["prometheus.yml", "alertmanager.yml", "blackbox.yml"]
    tasks = [
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


@dataclass
class Stack:
    """Addresses of what runs."""

    folder: Path
    front: FrontProcess
    endpoint_file: Path
    servers: dict[str, TorchServe]
    prometheus: str
    alertmanager: str
    webhook: Webhook
    token: str
    releases: list[tuple[str, TorchServe, int]]
    extra: dict[str, Any] = field(default_factory=dict)
    shifted: bool = False
    # One for all: each httpx.get would read the system's certificates anew.
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return an instant query's series."""
        result: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return result

    def ask(self, path: str, **parameters: Any) -> Any:
        """Return what Prometheus' API answers."""
        answer = self.client.get(f"{self.prometheus}/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", f"{parameters}: {answer}"
        return answer["data"]

    def metric_names(self) -> set[str]:
        """Return the names of everything that Prometheus has samples of."""
        return set(self.ask("label/__name__/values"))

    def make_annotations(self) -> None:
        """Change the weights, as a deployment does."""
        self.shifted = not self.shifted
        self.deploy({"stable": 65, "canary": 35} if self.shifted else {"stable": 70, "canary": 30})

    def deploy(self, weights: dict[str, int]) -> None:
        """Write the endpoint file with these weights."""
        variants = [(name, server, weights[name]) for name, server, _ in self.releases if name in weights]
        write_endpoint(self.endpoint_file, variants, **self.extra)
        text = self.endpoint_file.read_text()
        reference = "reference: {mean: 60.0, sd: 15.0, clips: 100}"
        draft = self.endpoint_file.with_suffix(".new")
        draft.write_text(text.replace("- address:", f"- {reference}\n  address:"))
        draft.replace(self.endpoint_file)


def certificate(folder: Path) -> None:
    """Make a self-signed certificate for NAME."""
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", "key.pem", "-out", "ca.pem", "-days", "40", "-subj", f"/CN={NAME}"),
            *("-addext", f"subjectAltName=DNS:{NAME}"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )


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


@contextmanager
def stack(folder: Path) -> Iterator[Stack]:
    """Start everything; yields once Prometheus has a first sample of every target."""
    edge, status, node, nginx_port, prober, alerts, prom = free_ports(7)
    keys = folder / "keys.json"
    issued = subprocess.run(
        [SPRINGBOARD, "keys", "create", "--bearer", "monitoring", "--keys-file", keys],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    token = issued.strip().partition("=")[2]
    certificate(folder)
    (folder / "xids").touch()
    with ExitStack() as run:
        servers = {
            name: TorchServe(build_puppet(folder / "puppets", version, workers=workers))
            for name, version, workers in (
                ("stable", "1.0.0", 2),
                ("canary", "1.1.0", 1),
                ("shadow", "1.2.0", 1),
            )
        }
        for server in servers.values():
            run.callback(server.stop)
            server.start()
        for server in servers.values():
            server.wait_ready()
        webhook = run.enter_context(Webhook().running())
        shadow = {
            "release": "1.2.0",
            "address": servers["shadow"].inference_url,
            "management": servers["shadow"].management_url,
            "metrics": servers["shadow"].metrics_url,
        }
        releases = [("stable", servers["stable"], 90), ("canary", servers["canary"], 10)]
        one = Stack(
            folder,
            FrontProcess(
                *("--endpoint-file", folder / "endpoint.yml", "--auth", "bearer", "--keys-file", keys),
                *("--metrics", "callers", "--log-json"),
                environment={
                    "PYTHONPATH": f"{STAND_IN_NVML}:{os.environ.get('PYTHONPATH', '')}",
                    "SPRINGBOARD_STAND_IN_XIDS": str(folder / "xids"),
                },
            ),
            folder / "endpoint.yml",
            servers,
            f"http://127.0.0.1:{prom}",
            f"http://127.0.0.1:{alerts}",
            webhook,
            token,
            releases,
            {"shadow": shadow, "limits": {"max_body_bytes": 1_000_000, "deadline_seconds": 30}},
        )
        run.callback(one.client.close)
        one.deploy({"stable": 70, "canary": 30})
        front = run.enter_context(one.front)
        front.wait_ready()
        (folder / "nginx.conf").write_text(nginx_conf(folder, edge, status, front.url))
        run.enter_context(
            daemon(
                folder,
                ["nginx", "-c", folder / "nginx.conf", "-e", folder / "nginx-error.log"],
                f"http://127.0.0.1:{status}/stub_status",
            )
        )
        run.enter_context(
            daemon(
                folder,
                ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{node}"],
                f"http://127.0.0.1:{node}/metrics",
            )
        )
        run.enter_context(
            daemon(
                folder,
                [
                    "prometheus-nginx-exporter",
                    f"-web.listen-address=127.0.0.1:{nginx_port}",
                    f"-nginx.scrape-uri=http://127.0.0.1:{status}/stub_status",
                ],
                f"http://127.0.0.1:{nginx_port}/metrics",
            )
        )
        (folder / "token").write_text(token)
        (folder / "rules").mkdir()
        for file in RULES.glob("*.yml"):
            shutil.copy(file, folder / "rules")
        render(
            folder,
            {
                "prometheus_hosts": ["gpu1"],
                "prometheus_edge_port": edge,
                "prometheus_front_token": "in the file",
                "prometheus_tls_ca": "in the file",
                "prometheus_tls_server_name": NAME,
                "prometheus_node_port": node,
                "prometheus_nginx_port": nginx_port,
                "prometheus_scrape_interval": "1s",
                "prometheus_listen_address": f"127.0.0.1:{prom}",
                "prometheus_alert_webhook_url": webhook.url,
                "_prometheus_folder": str(folder),
                "_prometheus_alertmanager": f"127.0.0.1:{alerts}",
                "_prometheus_prober": f"127.0.0.1:{prober}",
                "_prometheus_group_wait": "1s",
            },
        )
        run.enter_context(
            daemon(
                folder,
                [
                    "prometheus-blackbox-exporter",
                    f"--config.file={folder / 'blackbox.yml'}",
                    f"--web.listen-address=127.0.0.1:{prober}",
                ],
                f"http://127.0.0.1:{prober}/-/healthy",
            )
        )
        run.enter_context(
            daemon(
                folder,
                [
                    "prometheus-alertmanager",
                    f"--config.file={folder / 'alertmanager.yml'}",
                    f"--storage.path={folder / 'alertmanager'}",
                    f"--web.listen-address=127.0.0.1:{alerts}",
                    "--cluster.listen-address=",
                ],
                f"{one.alertmanager}/-/ready",
            )
        )
        run.enter_context(
            daemon(
                folder,
                [
                    "prometheus",
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{prom}",
                    "--web.enable-lifecycle",
                ],
                f"{one.prometheus}/-/ready",
            )
        )
        wait_until(lambda: all_up(one), "every target to be scraped", 60)
        yield one


def all_up(one: Stack) -> bool:
    """Whether every job has a target and all of them answer."""
    jobs = {series["metric"]["job"]: series["value"][1] for series in one.query("up")}
    expected = {"springboard", "torchserve", "node", "nginx", "probe", "prometheus", "alertmanager"}
    return set(jobs) == expected and set(jobs.values()) == {"1"}


@contextmanager
def mixed_load(one: Stack) -> Iterator[None]:
    """Good dives, slow ones, others that are none, broken ones, deaths, wrong tokens, for both variants."""
    bodies = [b"score=%d" % score for score in range(40, 96, 5)]
    bodies += [
        b"sleep=0.2 score=70",
        b"status=422 code=not_a_dive",
        b"",
        b"raise",
        b"status=503 code=out_of_memory",
    ]
    stop = threading.Event()

    def run(headers: dict[str, str]) -> None:
        with httpx.Client(base_url=one.front.url, headers=headers, timeout=60) as client:
            n = 0
            while not stop.is_set():
                client.post("/invocations", content=bodies[n % len(bodies)])
                n += 1
                time.sleep(0.05)

    ours = {"Authorization": f"Bearer {one.token}"}
    threads = [threading.Thread(target=run, args=(headers,)) for headers in (ours, ours, {})]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
