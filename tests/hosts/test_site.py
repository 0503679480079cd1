"""From a fresh host to a serving one, by the playbooks, as callers and an administrator see it."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import httpx
import pytest

from tests.hosts import served
from tests.hosts.harness import Hosts, Node
from tests.hosts.sandbox import as_unit
from tests.hosts.served import CLIP, Caller, Converged
from tests.stands.waiting import wait_until

Serving = tuple[Node, Caller]

# Run on another node: which TCP ports of a host take a connection.
SCAN = """
import asyncio, sys

async def main(host):
    found, gate = [], asyncio.Semaphore(500)
    async def knock(port):
        async with gate:
            try:
                _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 20)
            except (OSError, asyncio.TimeoutError):
                return
            found.append(port)
            writer.close()
    await asyncio.gather(*(knock(port) for port in range(1, 65536)))
    print(*sorted(found))

asyncio.run(main(sys.argv[1]))
"""


def test_check_mode_on_a_fresh_host_changes_nothing(converged: Converged) -> None:
    assert converged.check.ok, converged.check.output
    assert converged.check.count("changed", "converged") > 20
    # The package lists are refreshed, and ansible itself leaves nothing.
    assert converged.touched_by_check == ""


def test_from_an_empty_account_to_scored_dives_and_back_to_nothing(
    converged: Converged, models: served.Models
) -> None:
    """By site.yml and teardown.yml, under the shipped policies, on a machine at its first boot."""
    said = " ".join(converged.empty.output.split())
    assert converged.empty.count("failed") == 1, converged.empty.output
    assert "springboard-1 is set up and serves nothing: callers get 503. Publish a release" in said
    assert converged.site.ok, converged.site.output
    kinds = {one.split()[0] for one in converged.made}
    assert {"instance", "elastic-ip", "security-group", "role", "vpc", "bucket"} <= kinds
    golden = json.loads(models.archives["1.0.0"].with_suffix(".json").read_text())["golden"]
    for scored in converged.scored:  # sent, and fetched by the instance's role
        assert scored["status"] == 200, scored
        assert scored["score"] == pytest.approx(golden["score"], abs=golden["tolerance"])
    assert converged.teardown.ok, converged.teardown.output
    assert converged.left == []


def test_second_run_of_site_changes_nothing_but_the_release(converged: Converged) -> None:
    """That has one to deploy, which the first had not; a second deployment is test_releases'."""
    assert converged.site.count("changed") == 1, converged.site.output


@pytest.fixture(scope="module")
def host(hosts: Hosts, converged: Converged) -> Iterator[Serving]:
    """One host for all that only looks at it."""
    node = hosts.start("site", converged.layer)
    try:
        caller = served.caller(node, converged)
        with closing(caller.client):
            yield node, caller
    finally:
        node.stop()


def test_after_a_reboot_it_serves(host: Serving, models: served.Models) -> None:
    """With the model that came from S3 by the role's credentials."""
    node, caller = host
    node.reboot()
    caller.wait_serving()
    scored = caller.score()
    assert scored["model"]["version"] == "1.0.0"
    golden = json.loads(models.archives["1.0.0"].with_suffix(".json").read_text())["golden"]
    assert scored["score"] == pytest.approx(golden["score"], abs=golden["tolerance"])


def test_videos_come_from_s3_by_the_roles_credentials(host: Serving) -> None:
    _, caller = host
    answer = caller.client.post("/invocations", json={"s3_uri": "s3://dives/good.mp4"})
    assert answer.status_code == 200, answer.text
    refused = caller.client.post("/invocations", json={"s3_uri": "s3://models/good.mp4"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "bucket_not_allowed")
    stranger = httpx.post(f"{caller.url}/invocations", content=CLIP.read_bytes(), verify=False)
    assert stranger.status_code == 403


def test_issued_key_is_taken_over(host: Serving) -> None:
    node, caller = host
    token = node.run("springboard", "keys", "create", "--bearer", "another").strip().rpartition("=")[2]
    caller.client.headers["Authorization"] = f"Bearer {token}"

    def accepted() -> bool:
        return caller.client.post("/invocations", content=b"no video").status_code == 422

    wait_until(accepted, "the front to take over the key", 120)


def test_from_elsewhere_only_https_and_ssh_answer(host: Serving, node: Callable[..., Node]) -> None:
    assert node("elsewhere").run("python3", "-c", SCAN, host[0].address).split() == ["22", "443"]


def test_packages_are_kept_once(host: Serving) -> None:
    """Beside what pip installed no gigabytes of what it fetched."""
    assert host[0].sh("ls -A /root/.cache/pip 2>/dev/null || true") == ""


# Files and folders that the process may write.
WRITABLE = (
    "find / \\( -path /proc -o -path /sys -o -path /dev \\) -prune -o "
    "\\( -type f -o -type d \\) -writable -print 2>/dev/null"
)


def test_services_are_confined(host: Serving, hosts: Hosts) -> None:
    node, _ = host
    front = "springboard-front.service"
    torchserve = node.sh("systemctl list-units --plain --no-legend 'torchserve@*' | cut -d' ' -f1").strip()
    for unit in (torchserve, front):
        node.run("systemd-analyze", "security", "--threshold=30", "--no-pager", unit)

    work = node.sh("ls -d /var/lib/springboard/instances/*/work").strip()
    sockets, cache = (work.replace("/work", f"/{name}") for name in ("sockets", "cache"))
    assert _written_elsewhere(node, torchserve, work, sockets, cache) == []
    assert _written_elsewhere(node, front, "/tmp") == []
    keys = "cat /etc/springboard/keys.json /run/springboard-keys/keys.json 2>&1"
    assert '"tests"' not in as_unit(node, torchserve, keys)
    assert '"tests"' in as_unit(node, front, keys)

    # What the front must reach and TorchServe must not: S3 (here any port of that machine) and the role.
    with socket.create_server((hosts.gateway, 0)) as s3:
        for address, port in ((hosts.gateway, s3.getsockname()[1]), ("169.254.169.254", 80)):
            knock = (
                f"timeout {{}} bash -c 'exec 3<>/dev/tcp/{address}/{port}' 2>&1 && echo open || echo closed"
            )
            # A busy machine gets its time to connect; what is dropped has nothing to wait for.
            assert as_unit(node, front, knock.format(60)).strip() == "open", address
            assert as_unit(node, torchserve, knock.format(5)).endswith("closed\n"), address


def _written_elsewhere(node: Node, unit: str, work: str, *more: str) -> list[str]:
    found = as_unit(node, unit, WRITABLE).split()
    assert work in found, "the search itself"
    return [path for path in found if not path.startswith((work, *more, "/tmp", "/var/tmp"))]
