"""A real alert's way: a fault, the front, Prometheus, Alertmanager, the webhook."""

from typing import Any

import httpx

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
    assert alert["annotations"]["runbook_url"].endswith(f"/runbooks/{ALERT}.md")
    known = httpx.get(f"{stack.alertmanager}/api/v2/alerts").json()
    assert ALERT in {one["labels"]["alertname"] for one in known}
    assert stack.query("springboard_gpu_last_xid")[0]["value"][1] == "79"
