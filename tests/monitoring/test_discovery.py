"""Hosts in EC2 are found by their deployment's tags; moto stands in for EC2."""

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import boto3
import httpx
import pytest

from springboard.system.ports import free_ports
from tests.monitoring.parts import daemon, render
from tests.stands.certificates import certificate
from tests.stands.waiting import wait_until

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}


def launch(endpoint: str, **tags: str) -> tuple[str, str]:
    """Start an instance with these tags, `__` for a colon; return its id and its private address."""
    ec2 = boto3.client(
        "ec2",
        endpoint_url=endpoint,
        region_name="eu-central-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )
    (image, *_) = ec2.describe_images(Owners=["amazon"])["Images"]
    listed = [{"Key": key.replace("__", ":"), "Value": value} for key, value in tags.items()]
    started = ec2.run_instances(
        ImageId=image["ImageId"],
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": listed}],
    )
    (instance,) = started["Instances"]
    return instance["InstanceId"], instance["PrivateIpAddress"]


@pytest.mark.usefixtures("tools")
def test_running_hosts_of_the_deployment_are_watched_and_no_others(tmp_path: Path) -> None:
    aws, prom = free_ports(2)
    endpoint = f"http://127.0.0.1:{aws}"
    with ExitStack() as run:
        moto = Path(sys.executable).with_name("moto_server")
        run.enter_context(
            daemon(tmp_path, [moto, "-H", "127.0.0.1", "-p", str(aws)], f"{endpoint}/moto-api/data.json")
        )
        serving = {"springboard__deployment": "dives", "springboard__role": "serving"}
        _, ours = launch(endpoint, **serving, Name="gpu-a")
        # A fleet's have no Name.
        fleets = launch(endpoint, **serving)
        # It is in the inventory too.
        launch(endpoint, **serving, Name="gpu-c")
        launch(endpoint, springboard__deployment="other", springboard__role="serving", Name="gpu-b")
        launch(endpoint, springboard__deployment="dives", springboard__role="monitoring", Name="watcher")
        certificate(tmp_path)
        render(
            tmp_path,
            {
                "prometheus_hosts": ["gpu-c"],
                "prometheus_ec2_region": "eu-central-1",
                "prometheus_ec2_deployment": "dives",
                "prometheus_listen_address": f"127.0.0.1:{prom}",
                "_prometheus_folder": str(tmp_path),
                "_prometheus_ec2_endpoint": endpoint,
            },
            gpu_c={"ansible_host": "10.9.9.9", "edge_certificate": str(tmp_path / "ca.pem")},
        )
        checked = subprocess.run(
            ["promtool", "check", "config", tmp_path / "prometheus.yml"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
        url = f"http://127.0.0.1:{prom}"
        run.enter_context(
            daemon(
                tmp_path,
                [
                    "prometheus",
                    f"--config.file={tmp_path}/prometheus.yml",
                    f"--storage.tsdb.path={tmp_path}/tsdb",
                    f"--web.listen-address=127.0.0.1:{prom}",
                ],
                f"{url}/-/ready",
                env={**os.environ, **CREDENTIALS},
            )
        )

        def targets() -> list[tuple[str, str, str]]:
            active = httpx.get(f"{url}/api/v1/targets").json()["data"]["activeTargets"]
            return sorted(
                (one["labels"]["job"], one["labels"]["host"], one["scrapeUrl"])
                for one in active
                if one["labels"]["job"] not in ("prometheus", "alertmanager")
            )

        probe = "http://127.0.0.1:9115/probe?module=ping"
        expected = [("node", "watcher", "http://127.0.0.1:9100/metrics")]
        for host, address, own in (("gpu-a", ours, ""), ("gpu-c", "10.9.9.9", "+gpu-c"), (*fleets, "")):
            expected += [
                ("springboard", host, f"https://{address}:443/metrics"),
                ("torchserve", host, f"https://{address}:443/metrics/torchserve"),
                ("node", host, f"http://{address}:9100/metrics"),
                ("nginx", host, f"http://{address}:9113/metrics"),
                ("probe", host, f"{probe}{own}&target=https%3A%2F%2F{address}%3A443%2Fping"),
            ]
        wait_until(lambda: len(targets()) >= len(expected), "all jobs to have found their hosts")
        assert targets() == sorted(expected)
