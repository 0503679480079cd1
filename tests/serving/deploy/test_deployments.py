"""Deployments under steady load: nobody notices, whatever the release."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.stands.front import FrontProcess, steady_load
from tests.stands.machine import CANARY, Machine, machine
from tests.stands.seaweedfs import ObjectStore
from tests.stands.waiting import wait_until

pytestmark = pytest.mark.xdist_group("releases")

WORK = b"sleep=0.25 score=50"
FAULTS = ("raises", "fails", "slow", "dies", "unloadable", "off")


@dataclass
class Scene:
    """A host that serves 1.0.0, its front, and what callers have got so far."""

    host: Machine
    front: FrontProcess
    statuses: list[int]

    def serves(self, version: str) -> None:
        """Assert that everything says the same, and that no caller has noticed anything."""
        host = self.host
        instance = host.state()["promoted"]["instance"]
        assert host.state()["promoted"]["version"] == version
        assert host.state()["deploying"] is None
        assert host.variants() == [("stable", version, 100)]
        assert host.enabled() == [instance]
        assert instance in host.running()
        assert [v["release"] for v in self.front.state()["variants"]] == [version]
        assert Counter(self.statuses) == {200: len(self.statuses)}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, object_store: ObjectStore) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("host")
    with machine(object_store) as made:
        made.publish(folder, "1.0.0")
        made.publish(folder, "1.1.0")
        for fault in FAULTS:
            made.publish(folder, f"1.2.0-{fault}", fault=fault)
        made.publish(folder, "1.2.0-torch", torch="2.12.1+cu126")
        made.publish(folder, "1.2.0-tampered")
        key = next(
            item["Key"]
            for item in object_store.client.list_objects_v2(
                Bucket="models", Prefix="releases/dive/1.2.0-tampered/dive-"
            )["Contents"]
        )
        object_store.client.put_object(Bucket="models", Key=key, Body=b"tampered")
        yield made


@pytest.fixture(scope="module")
def front(host: Machine) -> Iterator[FrontProcess]:
    """A front on a host where nothing is deployed yet, and then 1.0.0."""
    first = host.run("deploy")
    assert (first.returncode, first.stdout.splitlines()[-1]) == (0, "changed"), first.stdout + first.stderr
    assert host.variants() == []
    with FrontProcess("--endpoint-file", host.endpoint) as process:
        host.write_settings(front_url=process.url)
        done = host.run("deploy", "1.0.0")
        assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "changed"), done.stdout + done.stderr
        yield process.wait_ready()


@pytest.fixture
def scene(host: Machine, front: FrontProcess) -> Iterator[Scene]:
    with steady_load(front.url, WORK) as statuses:
        scene = Scene(host, front, statuses)
        yield scene
    assert Counter(statuses) == {200: len(statuses)}


def attempts(front: FrontProcess, variant: str) -> float:
    return front.metric("springboard_attempts_total", variant=variant)


def test_deploying_what_is_served_changes_nothing(scene: Scene) -> None:
    for arguments in (["deploy"], ["deploy", "1.0.0"], ["deploy", "--check"], ["tidy"]):
        done = scene.host.run(*arguments)
        assert (done.returncode, done.stdout) == (0, "unchanged\n"), done.stdout + done.stderr
    scene.serves("1.0.0")


@pytest.mark.parametrize(
    ("version", "figure"),
    [
        ("1.2.0-raises", "attempts failed (handler_raised"),
        ("1.2.0-fails", "attempts failed (model_error"),
        ("1.2.0-slow", "max_p95_ratio"),  # of the answers or of what a clip costs, whichever it knows first
        ("1.2.0-dies", "1.2.0-dies"),
        ("1.2.0-unloadable", "weights are missing"),
        ("1.2.0-off", "gives the golden clip 94.1500 points, and its manifest says 84.1500"),
        ("1.2.0-torch", "built with torch 2.12.1+cu126, and this host's runtime has torch 2.13.0+cpu"),
        ("1.2.0-tampered", "is not what the manifest of 1.2.0-tampered says"),
        ("9.9.9", "there is no release 9.9.9"),
    ],
)
def test_a_bad_release_goes_by_itself_and_no_caller_notices(scene: Scene, version: str, figure: str) -> None:
    before = scene.host.running()
    if "slow" in version:
        scene.host.write_settings(canary={**CANARY, "max_p95_ratio": 1.5})
    done = scene.host.run("deploy", version)
    scene.host.write_settings(canary=CANARY)
    assert done.returncode == 1, done.stdout
    assert figure in done.stdout.splitlines()[-1], done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert scene.host.running() == before
    scene.serves("1.0.0")


def test_a_canary_gets_its_share_and_then_everything_though_the_caller_went_away(scene: Scene) -> None:
    host, front = scene.host, scene.front
    checked = host.run("deploy", "1.1.0", "--check")
    assert checked.stdout.splitlines()[0] == "would fetch 1.1.0"
    assert checked.stdout.splitlines()[-1] == "changed"
    scene.serves("1.0.0")

    shares: list[tuple[float, float]] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            if ("canary", "1.1.0", 40) in host.variants():
                shares.append((attempts(front, "canary"), attempts(front, "stable")))
            time.sleep(0.2)

    watcher = threading.Thread(target=watch)
    watcher.start()
    reader, writer = os.pipe()
    deploying = host.begin("deploy", "1.1.0", stdout=writer, stderr=writer)
    os.close(writer)
    try:
        wait_until(lambda: bool(shares), "the canary", 120)
        # As when ssh goes away under Ansible: a canary is not left without its judge.
        os.close(reader)
        deploying.send_signal(signal.SIGHUP)
        assert deploying.wait(180) == 0
    finally:
        stop.set()
        watcher.join()
    # Between two looks well inside the bake; what is at work at either adds a few.
    first, last = shares[len(shares) // 3], shares[-2]
    canary, stable = last[0] - first[0], last[1] - first[1]
    assert canary > 3
    assert abs(canary - 0.4 * (canary + stable)) <= 4
    scene.serves("1.1.0")
    # The old one is kept warm.
    old = host.state()["previous"]["instance"]
    assert old in host.running()
    again = host.run("deploy", "1.1.0")
    assert (again.returncode, again.stdout) == (0, "unchanged\n")


def test_a_rollback_is_a_change_of_weights(scene: Scene) -> None:
    host = scene.host
    assert host.state()["previous"]["version"] == "1.0.0"
    done = host.run("rollback")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "changed"), done.stdout + done.stderr
    assert "starting" not in done.stdout
    scene.serves("1.0.0")
    host.write_settings(keep_warm_seconds=0)
    # Kept warm by the rollback under the old setting, until then.
    assert len(host.running()) == 2


def test_a_killed_deployment_is_undone_by_the_next_run(scene: Scene) -> None:
    host = scene.host
    host.write_settings(canary={**CANARY, "bake_seconds": 300})
    deploying = host.begin("deploy", "1.1.0")
    try:
        wait_until(lambda: ("canary", "1.1.0", 40) in host.variants(), "the canary", 120)
        second = host.run("deploy", "1.1.0")
        assert second.returncode == 1
        assert f"process {deploying.pid}" in second.stdout
        assert host.run("tidy").stdout == "unchanged: a deployment is at work\n"
    finally:
        deploying.kill()
        deploying.communicate()
    assert host.state()["deploying"]["phase"] == "canary at 40 %"
    assert host.enabled() == [host.state()["promoted"]["instance"]]
    healed = host.run("tidy")
    assert (healed.returncode, healed.stdout.splitlines()[-1]) == (0, "changed"), healed.stdout
    scene.serves("1.0.0")
    host.write_settings(canary=CANARY)


def test_a_deployment_that_is_told_to_stop_rolls_back(scene: Scene) -> None:
    host = scene.host
    deploying = host.begin("deploy", "1.1.0")
    wait_until(lambda: ("canary", "1.1.0", 40) in host.variants(), "the canary", 120)
    deploying.send_signal(signal.SIGTERM)
    said, _ = deploying.communicate(timeout=120)
    assert (deploying.returncode, said.splitlines()[-1]) == (1, "stopped; 1.0.0 serves")
    scene.serves("1.0.0")


def test_a_changed_configuration_comes_up_beside_the_old_one(scene: Scene) -> None:
    host = scene.host
    before = host.state()["promoted"]["instance"]
    runtime = host.make_runtime("bbbbbbbbbbbb")
    host.write_settings(worker={"runtime": str(runtime), "workers": 2})
    done = host.run("deploy")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "changed"), done.stdout + done.stderr
    assert host.state()["promoted"]["instance"] != before
    assert before not in host.running()
    scene.serves("1.0.0")
    wait_until(
        lambda: scene.front.state()["variants"][0]["workers"] == {"ready": 2, "total": 2, "reason": ""},
        "both workers",
    )


def test_in_place_requests_wait_while_one_stops_and_the_other_starts(scene: Scene) -> None:
    host = scene.host
    done = host.run("deploy", "1.1.0", "--in-place")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "changed"), done.stdout + done.stderr
    assert len(host.running()) == 1
    scene.serves("1.1.0")


def test_after_a_reboot_what_was_promoted_serves(host: Machine, front: FrontProcess) -> None:
    host.reboot()
    front.wait_ready()
    assert host.run("deploy").stdout == "unchanged\n"
    done = host.run("rollback")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "changed"), done.stdout + done.stderr
    with steady_load(front.url, WORK, clients=1) as statuses:
        wait_until(lambda: len(statuses) > 5, "answers")
        Scene(host, front, statuses).serves("1.0.0")
