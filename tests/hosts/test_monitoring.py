"""playbooks/monitor.yml on real hosts: one that serves, and one that watches it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from springboard.system.checkout import ROOT
from tests.hosts.harness import Hosts, Node
from tests.stands.certificates import certificate
from tests.stands.waiting import wait_until

# Of a front only what monitoring sees of it: metrics, for whoever has the token. Its role has its own tests.
FRONT = """
import http.server, os, ssl, threading
class Front(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers.get("Authorization") == "Bearer the-token" or self.path == "/ping"
        self.send_response(200 if known else 403)
        self.send_header("Content-Length", "20")  # over TLS its end must not be the connection's
        self.end_headers()
        self.wfile.write(b'springboard_ready 1\\n')
front = http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Front)
threading.Thread(target=front.serve_forever).start()
# Of the edge no more either.
pair = "/etc/nginx/springboard/self-signed"
if os.path.exists(f"{pair}.pem"):
    edge = http.server.ThreadingHTTPServer(("0.0.0.0", 443), Front)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{pair}.pem", f"{pair}.key")
    edge.socket = context.wrap_socket(edge.socket, server_side=True)
    edge.serve_forever()
"""
SECRETS = {
    "prometheus_front_token": "the-token",
    "prometheus_alert_webhook_url": "http://127.0.0.1:9/hook-secret",
    "prometheus_alert_webhook_token": "hook-token",
    "prometheus_smtp_password": "mail-secret",
}
SETTINGS = {
    **SECRETS,
    "prometheus_alert_mail_to": "oncall@example.org",
    "prometheus_alert_mail_from": "springboard@example.org",
    "prometheus_smtp_host": "127.0.0.1:9",
    "prometheus_smtp_user": "springboard",
    "prometheus_edge": False,
    "exporters_listen_address": "0.0.0.0",
    "exporters_nginx": False,
    # Its apt repository is not reachable from everywhere; what it would be given is placed all the same.
    "grafana_install": False,
}


# Takes alerts. Of one that does not, Debian 12's Alertmanager (0.25) writes the address to the journal.
HOOK = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Hook(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_): ...
HTTPServer(("127.0.0.1", 9), Hook).serve_forever()
"""


@pytest.fixture(scope="module")
def watched(hosts: Hosts) -> Iterator[tuple[Node, Node]]:
    """A host with the front's stand-in and a monitoring host, both converged once."""
    serving, monitoring = hosts.start("gpu1"), hosts.start("watcher")
    serving.run("tee", "/root/front.py", input=FRONT)
    serving.sh("systemd-run --unit=front python3 /root/front.py")
    monitoring.run("tee", "/root/hook.py", input=HOOK)
    monitoring.sh("systemd-run --unit=hook python3 /root/hook.py")
    both = {"springboard": [serving], "monitoring": [monitoring], **settings(monitoring)}
    checked = hosts.play("monitor.yml", check=True, **both)
    assert checked.ok, checked.output
    first = hosts.play("monitor.yml", **both)
    assert first.ok, first.output
    yield serving, monitoring
    serving.stop()
    monitoring.stop()


def settings(monitoring: Node) -> dict[str, Any]:
    return {**SETTINGS, "exporters_monitoring_addresses": [monitoring.address]}


def query(monitoring: Node, expression: str) -> list[dict[str, Any]]:
    page = monitoring.run(
        *("curl", "-sG", "http://127.0.0.1:9090/api/v1/query", "--data-urlencode", f"query={expression}")
    )
    result: list[dict[str, Any]] = json.loads(page)["data"]["result"]
    return result


def rules(monitoring: Node) -> str:
    return monitoring.run("curl", "-s", "http://127.0.0.1:9090/api/v1/rules")


def wait_until_scraped(monitoring: Node, watched: str) -> None:
    expected = {(watched, job) for job in ("springboard", "torchserve", "node", "probe")}
    expected |= {(monitoring.name, job) for job in ("node", "prometheus", "alertmanager")}

    def missing() -> set[tuple[str, str]]:
        # For some minutes there is also what the package's own configuration scraped, without a host.
        up = query(monitoring, "up == 1")
        return expected - {(one["metric"].get("host"), one["metric"]["job"]) for one in up}

    try:
        wait_until(lambda: not missing(), "every target to be up", 180)
    except AssertionError:
        pytest.fail(f"not up: {missing()}\n{query(monitoring, 'up')}")


def test_what_a_failed_run_left_undone_is_made_up_for(hosts: Hosts, watched: tuple[Node, Node]) -> None:
    """Files are as they should be, and processes still run on what was there before; old rules are removed.

    A further run changes nothing.
    """
    serving, monitoring = watched
    other = ((monitoring, "prometheus-blackbox-exporter"), (serving, "prometheus-node-exporter"))
    for node, service in other:
        node.sh(
            f"cd /etc/default; cp -a {service} /root/; sed -i 's/\"$/ --log.level=warn\"/' {service}; "
            f"systemctl restart {service}; cp -a /root/{service} ."
        )
    monitoring.sh("mv /etc/prometheus/springboard/rules/host.yml /root/; systemctl reload prometheus")
    wait_until(lambda: "SpringboardGpuHot" not in rules(monitoring), "Prometheus to be without some rules")
    monitoring.sh(
        "cd /etc/prometheus/springboard/rules; mv /root/host.yml .; echo 'groups: []' > old.yml;"
        "chmod 600 edge.yml; cd ../runbooks; touch Old.md; echo more >> SpringboardGpuHot.md"
    )
    both = {"springboard": [serving], "monitoring": [monitoring], **settings(monitoring)}
    play = hosts.play("monitor.yml", **both)
    assert play.ok, play.output
    assert (play.count("changed", serving.name), play.count("changed", monitoring.name)) == (1, 5), (
        play.output
    )
    for node, service in other:
        assert "log.level" not in node.sh(f"cat /proc/$(systemctl show -P MainPID {service})/cmdline")
    wait_until(lambda: "SpringboardGpuHot" in rules(monitoring), "Prometheus to have them again")
    kept = set(monitoring.sh("cd /etc/prometheus/springboard && find rules runbooks -type f").split())
    ours = (ROOT / "monitoring" / kind for kind in ("rules", "runbooks"))
    assert kept == {
        str(file.relative_to(ROOT / "monitoring")) for folder in ours for file in folder.glob("*.*")
    }
    there = monitoring.sh("cd /etc/prometheus/springboard && stat -c %a rules/*.yml runbooks/* | sort -u")
    assert there.split() == ["644"]
    hot = ROOT / "monitoring/runbooks/SpringboardGpuHot.md"
    assert (
        monitoring.run("cat", "/etc/prometheus/springboard/runbooks/SpringboardGpuHot.md") == hot.read_text()
    )
    again = hosts.play("monitor.yml", **both)
    assert again.ok, again.output
    assert again.count("changed") == 0, again.output


def test_without_a_host_to_watch_from_it_says_so(hosts: Hosts, watched: tuple[Node, Node]) -> None:
    play = hosts.play("monitor.yml", springboard=[watched[0]])
    assert not play.ok
    assert "inventory's group monitoring" in " ".join(play.output.split())


def test_everything_is_scraped_from_the_other_host(watched: tuple[Node, Node]) -> None:
    _, monitoring = watched

    wait_until_scraped(monitoring, "gpu1")
    wait_until(lambda: bool(query(monitoring, 'probe_success{host="gpu1"} == 1')), "the probe", 120)


def test_rules_are_loaded_and_alertmanager_is_known(watched: tuple[Node, Node]) -> None:
    _, monitoring = watched
    groups = json.loads(rules(monitoring))["data"]["groups"]
    alerts = {rule["name"] for group in groups for rule in group["rules"] if rule["type"] == "alerting"}
    assert "SpringboardNoReadyWorker" in alerts
    assert monitoring.succeeds(
        "test", "-s", "/etc/prometheus/springboard/runbooks/SpringboardNoReadyWorker.md"
    )
    known = json.loads(monitoring.run("curl", "-s", "http://127.0.0.1:9090/api/v1/alertmanagers"))["data"]
    assert [one["url"] for one in known["activeAlertmanagers"]] == ["http://127.0.0.1:9093/api/v2/alerts"]


@pytest.mark.parametrize("secret", SECRETS.values())
def test_secrets_are_in_files_that_only_prometheus_reads(watched: tuple[Node, Node], secret: str) -> None:
    _, monitoring = watched
    files = monitoring.sh(f"grep -rlF {secret} /etc /var/lib /run 2>/dev/null", check=False).split()
    assert files
    for file in files:
        assert monitoring.run("stat", "-c", "%U:%G %a", file).strip() == "root:prometheus 640", file
    assert not monitoring.sh(f"journalctl -o cat | grep -F {secret}", check=False)


def test_exporters_answer_the_monitoring_host_alone(watched: tuple[Node, Node], hosts: Hosts) -> None:
    serving, monitoring = watched
    ask = ("curl", "-s", "-o", "/dev/null", f"http://{serving.address}:9100/metrics")
    assert monitoring.succeeds(*ask)
    other = hosts.start("other")
    try:
        assert not other.succeeds(*ask, "-m", "5")
    finally:
        other.stop()


def test_its_pages_listen_on_loopback_alone(watched: tuple[Node, Node]) -> None:
    _, monitoring = watched
    listening = monitoring.sh("ss -Hltn | awk '{print $4}'").split()
    for port in ("9090", "9093", "9115"):
        assert [address for address in listening if address.endswith(f":{port}")] == [f"127.0.0.1:{port}"]


def test_grafana_finds_datasource_and_dashboards(watched: tuple[Node, Node]) -> None:
    _, monitoring = watched
    datasource = monitoring.run("cat", "/etc/grafana/provisioning/datasources/springboard.yml")
    assert "uid: springboard-prometheus" in datasource
    for name in ("service", "model", "host"):
        dashboard = json.loads(monitoring.run("cat", f"/etc/grafana/springboard/{name}.json"))
        assert dashboard["uid"] == f"springboard-{name}"


def test_a_host_may_watch_itself(hosts: Hosts, tmp_path: Path) -> None:
    """With an edge whose certificate is self-signed, as is the default."""
    one = hosts.start("alone")
    try:
        certificate(tmp_path)
        one.sh("mkdir -p /etc/nginx/springboard")
        for file, name in (("ca.pem", "self-signed.pem"), ("key.pem", "self-signed.key")):
            one.run("tee", f"/etc/nginx/springboard/{name}", input=(tmp_path / file).read_text())
        one.run("tee", "/root/front.py", input=FRONT)
        one.sh("systemd-run --unit=front python3 /root/front.py")
        variables: dict[str, Any] = {"exporters_nginx": False, "grafana_install": False}
        variables["prometheus_front_token"] = "the-token"
        play = hosts.play("monitor.yml", springboard=[one], monitoring=[one], **variables)
        assert play.ok, play.output
        wait_until_scraped(one, "alone")
        assert "127.0.0.1:8080" in one.run("cat", "/etc/prometheus/prometheus.yml")
        asked = 'probe_success{host="alone",target="https://127.0.0.1:443/ping"} == 1'
        wait_until(lambda: bool(query(one, asked)), "the probe", 120)
    finally:
        one.stop()
