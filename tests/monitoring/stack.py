"""The whole of monitoring at work on loopback: what roles configure on hosts, here with their own templates.

    TorchServes (puppets) <- front <- nginx with TLS <- Prometheus, with a token -> Alertmanager -> webhook
                             node exporter, nginx exporter, prober (blackbox exporter)

`gpu1` is watched as a host elsewhere is: through the edge, with a token and a self-signed certificate.
"""

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from springboard.auth import following
from springboard.deploy import follow, told, upkeep
from springboard.deploy.layout import Layout
from springboard.system.checkout import ROOT
from springboard.system.ports import free_ports
from springboard.torchserve.process import TorchServe
from tests.monitoring.parts import daemon, nginx_conf, render
from tests.stands.certificates import certificate
from tests.stands.front import SPRINGBOARD, FrontProcess, write_endpoint
from tests.stands.release import build_puppet
from tests.stands.waiting import at_work, wait_until
from tests.stands.webhook import Webhook

RULES = ROOT / "monitoring" / "rules"
STAND_IN_NVML = ROOT / "tests" / "stands" / "nvml"
JOBS = "/endpoints/dive-scoring/async-invocations"
TRUTH = "/endpoints/dive-scoring/truth"
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
    deploys: int = 0
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
        """Change the weights and bring another archive as shadow, as deployments do."""
        self.shifted = not self.shifted
        self.deploys += 1
        self.extra["shadow"]["sha256"] = f"{self.deploys:064x}"
        self.deploy({"stable": 65, "canary": 35} if self.shifted else {"stable": 70, "canary": 30})

    def deploy(self, weights: dict[str, int]) -> None:
        """Write the endpoint file with these weights."""
        variants = [(name, server, weights[name]) for name, server, _ in self.releases if name in weights]
        write_endpoint(self.endpoint_file, variants, **self.extra)
        text = self.endpoint_file.read_text()
        reference = "reference: {mean: 60.0, sd: 15.0, clips: 100, error: 4.0}"
        draft = self.endpoint_file.with_suffix(".new")
        draft.write_text(text.replace("- address:", f"- {reference}\n  address:"))
        draft.replace(self.endpoint_file)


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
            "address": servers["shadow"].served.address,
            "management": servers["shadow"].served.management,
            "metrics": servers["shadow"].served.metrics,
        }
        releases = [("stable", servers["stable"], 90), ("canary", servers["canary"], 10)]
        one = Stack(
            folder,
            FrontProcess(
                *("--endpoint-file", folder / "endpoint.yml", "--auth", "bearer", "--keys-file", keys),
                *("--metrics", "callers", "--log-json"),
                environment={
                    "PYTHONPATH": f"{STAND_IN_NVML}:{os.environ.get('PYTHONPATH', '')}",
                    "STATE_DIRECTORY": str(folder),
                    "SPRINGBOARD_STAND_IN_XIDS": str(folder / "xids"),
                    # S3 that nobody reaches.
                    "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
                    "AWS_REGION": "us-east-1",
                    "AWS_ACCESS_KEY_ID": "x",
                    "AWS_SECRET_ACCESS_KEY": "x",
                },
            ),
            folder / "endpoint.yml",
            servers,
            f"http://127.0.0.1:{prom}",
            f"http://127.0.0.1:{alerts}",
            webhook,
            token,
            releases,
            {
                "shadow": shadow,
                "limits": {"max_body_bytes": 1_000_000, "deadline_seconds": 30},
                "allowed_buckets": ["dives"],
                "async": {"output": f"{folder}/scores", "queue": f"{folder}/jobs"},
                "truth": {"folder": f"{folder}/truth"},
                "capture": {"destination": f"{folder}/captured", "flush_seconds": 1},
            },
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
                [
                    "prometheus-node-exporter",
                    f"--web.listen-address=127.0.0.1:{node}",
                    f"--collector.textfile.directory={told_by_others(folder)}",
                ],
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
                "prometheus_watches_itself": False,
                "prometheus_edge_port": edge,
                "prometheus_front_token": "in the file",
                "prometheus_node_port": node,
                "prometheus_nginx_port": nginx_port,
                "prometheus_scrape_interval": "1s",
                "prometheus_listen_address": f"127.0.0.1:{prom}",
                "prometheus_alert_webhook_url": webhook.url,
                "prometheus_heartbeat_url": webhook.url,
                "prometheus_heartbeat_interval": "1s",
                "_prometheus_folder": str(folder),
                "_prometheus_alertmanager": f"127.0.0.1:{alerts}",
                "_prometheus_prober": f"127.0.0.1:{prober}",
                "_prometheus_group_wait": "1s",
            },
            gpu1={"ansible_host": "127.0.0.1", "edge_certificate": str(folder / "ca.pem")},
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
                    f"--web.user-assets={RULES.parent / 'runbooks'}",
                    "--enable-feature=exemplar-storage",
                ],
                f"{one.prometheus}/-/ready",
            )
        )
        wait_until(lambda: all_up(one), "every target to be scraped", 60)
        yield one


def told_by_others(folder: Path) -> Path:
    """Return a folder for node exporter: a deployment's word, and systemd's, which may not be here."""
    others = folder / "textfiles"
    others.mkdir()
    told.ended(others, told.PROMOTED)
    host = Layout(folder / "host")
    host.figures.mkdir(parents=True)
    host.patched.parent.mkdir(parents=True)
    host.patched.touch()
    upkeep.tell(host)
    shutil.copy(host.figures / "springboard_upkeep.prom", others)
    follow.tell(others, differs=False)
    following.tell(others)
    (others / "systemd.prom").write_text(
        "# TYPE node_systemd_unit_state gauge\n"
        'node_systemd_unit_state{name="nginx.service",state="failed",type="notify"} 0\n'
    )
    return others


def all_up(one: Stack) -> bool:
    """Whether every job has a target and all of them have answered: on a busy machine not always in time."""
    answered = one.query("max_over_time(up[5m])")
    jobs = {series["metric"]["job"]: series["value"][1] for series in answered}
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
    ours = {"Authorization": f"Bearer {one.token}"}
    with ExitStack() as opened:

        def hands_in() -> None:
            one.client.post(f"{one.front.url}{JOBS}", content=b"score=60", headers=ours)

        def caller(headers: dict[str, str]) -> Callable[[], None]:
            client = opened.enter_context(httpx.Client(base_url=one.front.url, headers=headers, timeout=60))
            turn = itertools.cycle(bodies)

            def call() -> None:
                scored = client.post("/invocations", content=next(turn))
                if scored.status_code == 200:
                    truth = {
                        "inference_id": scored.headers["x-amzn-RequestId"],
                        "score": scored.json()["score"] + 2,
                    }
                    client.post(TRUTH, json=truth)

            return call

        # All that happens is seen; more of it would be work that others' tests wait for.
        with at_work(hands_in, *map(caller, (ours, ours, {})), pause=0.3):
            yield
