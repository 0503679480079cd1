"""A real alert's way: a fault, the front, Prometheus, Alertmanager, the webhook."""

import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.monitoring.parts import render
from tests.monitoring.stack import Stack
from tests.stands.waiting import wait_until

ALERT = "SpringboardGpuXidErrors"


def test_an_alert_reaches_the_webhook(stack: Stack) -> None:
    """The stand-in NVML reports that the GPU fell off the bus."""

    def told() -> list[dict[str, Any]]:
        return [alert for alert in stack.webhook.alerts if alert["labels"]["alertname"] == ALERT]

    wait_until(lambda: bool(stack.query("springboard_gpu_xid_errors_total == 0")), "a scrape before it")
    assert not told()
    (stack.folder / "xids").write_text("79\n")
    wait_until(lambda: bool(told()), "the alert at the webhook")
    (alert, *_) = told()
    assert alert["status"] == "firing"
    labels = alert["labels"]
    assert (labels["host"], labels["gpu"], labels["severity"]) == ("gpu1", "0", "warning")
    assert "runbooks" not in labels
    assert alert["annotations"]["summary"] == "gpu1: the driver reports Xid errors of GPU 0"
    assert alert["annotations"]["runbook_url"].endswith(f"/user/{ALERT}.md")
    known = httpx.get(f"{stack.alertmanager}/api/v2/alerts").json()
    assert ALERT in {one["labels"]["alertname"] for one in known}
    wait_until(lambda: bool(stack.query("springboard_gpu_last_xid == 79")), "which Xid it was")


@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize(("severity", "receiver"), [("warning", "by-day"), ("critical", "operators")])
def test_warnings_may_go_elsewhere_than_what_wakes_somebody(
    tmp_path: Path, severity: str, receiver: str
) -> None:
    urls = {f"prometheus_{name}_webhook_url": f"http://127.0.0.1/{name}" for name in ("alert", "warnings")}
    mail = {"alert_mail_from": "x@example.org", "warnings_mail_to": "team@example.org", "smtp_host": "m:25"}
    render(tmp_path, {**urls, **{f"prometheus_{name}": value for name, value in mail.items()}})
    config = f"--config.file={tmp_path / 'alertmanager.yml'}"
    command = ["amtool", "config", "routes", "test", config, f"severity={severity}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, receiver), done.stderr


@pytest.mark.usefixtures("tools")
def test_the_heartbeat_goes_to_nobody_but_who_misses_it(tmp_path: Path) -> None:
    config = tmp_path / "alertmanager.yml"
    for url in ("", "http://127.0.0.1/beat"):
        render(
            tmp_path, {"prometheus_alert_webhook_url": "http://127.0.0.1/a", "prometheus_heartbeat_url": url}
        )
        command = ["amtool", "config", "routes", "test", f"--config.file={config}"]
        done = subprocess.run(
            [*command, "alertname=SpringboardWatchdog", "severity=none"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout.strip()) == (0, "heartbeat"), done.stderr
        receivers = {one["name"]: one for one in yaml.safe_load(config.read_text())["receivers"]}
        posted = [one["url"] for one in receivers["heartbeat"].get("webhook_configs", [])]
        assert posted == ([url] if url else [])


def test_the_heartbeat_comes_as_long_as_alerts_can(stack: Stack) -> None:
    def beats() -> int:
        return sum(one["labels"]["alertname"] == "SpringboardWatchdog" for one in stack.webhook.alerts)

    wait_until(lambda: beats() > 1, "a second heartbeat")


def test_a_runbook_opens_on_prometheus_own_page(stack: Stack) -> None:
    page = httpx.get(f"{stack.prometheus}/user/{ALERT}.md")
    assert page.status_code == 200
    assert page.text.startswith(f"# {ALERT}")


def test_prometheus_keeps_request_ids_beside_durations(stack: Stack) -> None:
    def exemplars() -> list[dict[str, Any]]:
        query = "springboard_request_duration_seconds_bucket"
        found = stack.ask("query_exemplars", query=query, start=0, end=4102444800)
        return [one for series in found for one in series["exemplars"]]

    wait_until(lambda: bool(exemplars()), "an exemplar")
    assert len(exemplars()[0]["labels"]["request_id"]) == 36
