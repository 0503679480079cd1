"""Every command of a runbook that reads a log or a page finds there what it promises.

The logs are a real front's and a real TorchServe's, under mixed load; what only a host has (the kernel,
Prometheus' own log) are lines as those write them.
"""

import json
import logging
import os
import re
import subprocess
from collections.abc import Iterator

import httpx
import pytest

from model_handler import logs
from springboard.auth import keys
from tests.monitoring.stack import RULES, Stack
from tests.stands.journal import Entry, entries_of, install
from tests.stands.waiting import wait_until

RUNBOOKS = RULES.parent / "runbooks"
READERS = ("journalctl", "curl -s http://127.0.0.1", "curl -s 'http://127.0.0.1")
KERNEL = (
    "NVRM: Xid (PCI:0000:00:1e): 79, pid=1, GPU has fallen off the bus.",
    "oom-kill:constraint=CONSTRAINT_MEMCG,task=python,pid=4711,uid=998",
    "Out of memory: Killed process 4711 (python) total-vm:9123456kB",
    "EXT4-fs (nvme0n1p1): Remounting filesystem read-only",
)
PROMETHEUS = (
    'ts=2026-11-28T03:00:00Z caller=main.go:1 level=info msg="Loading configuration file"',
    'ts=2026-11-28T03:00:00Z caller=main.go:2 level=error msg="Error reloading config" err="bad"',
    'ts=2026-11-28T03:00:00Z caller=refresh.go:1 component="discovery manager scrape" level=error err="x"',
    'level=warn component=dispatcher msg="Notify attempt failed, will retry later" err="503"',
)
# What each command must show, by alert and a part of the command that only this one has.
PROMISES = {
    "SpringboardAlertsUndelivered": {"grep -i notify": "Notify attempt failed"},
    "SpringboardAvailabilityBurnsFast": {
        ".code'": r"\d+ out_of_memory",
        "-p warning": "worker process died",
        "REQUEST_ID": r"(?s)ERROR unexpected error.*Traceback.*KeyError.* 502",
    },
    "SpringboardAvailabilityBurnsSlowly": {".code'": r"\d+ out_of_memory"},
    "SpringboardCanaryFails": {'"canary"': '"release":"1.1.0"'},
    "SpringboardCertificateExpires": {"certbot": "renew"},
    "SpringboardEndpointFileInvalid": {"not taken over": "endpoint.yml"},
    "SpringboardFrontGone": {"/ping": "springboard_|ready", "api/v1/targets": "^$"},
    "SpringboardGateRefusalsSurge": {"not_a_dive": "stable\t1.0.0"},
    "SpringboardGpuLost": {"nvrm": "fallen off the bus"},
    "SpringboardGpuMetricsGone": {"no GPU metrics": "no GPU metrics"},
    "SpringboardGpuXidErrors": {"xid": "Xid"},
    "SpringboardLatencyBurnsFast": {"stages_ms": '"queue"'},
    "SpringboardLatencyBurnsSlowly": {".ms > 5000": r"\d+ \d{4}-\d\d-\d\dT\d\d"},
    "SpringboardNoReadyWorker": {"/ping": "ready", "torchserve@": "worker process died"},
    "SpringboardNothingScraped": {"discovery": "discovery manager"},
    "SpringboardQueueFilling": {"springboard_queue_": "springboard_queue_oldest_seconds", "uniq -c": r"\d+ "},
    "SpringboardReloadFailed": {"level=": "Error reloading config"},
    "SpringboardRetriesRising": {
        "attempt on": r"\d+ attempt on \w+ failed, handler_raised",
        "-p warning": "(?s)worker process died.*oom-kill",
    },
    "SpringboardScoreDrift": {".bytes": r"\d+ \d+"},
    "SpringboardScrapeGone": {"api/v1/targets": "^$"},
    "SpringboardTorchServeGone": {"torchserve@": "worker process died", "_up": "springboard_torchserve_up"},
    "SpringboardWorkersCrash": {
        "lost worker processes": r"variant \w+ lost worker processes: \d+",
        "-p warning": "worker process died",
        "-k": "oom-kill",
    },
    "SpringboardDraining": {"tail -5": "endpoint file", "held_requests": "springboard_held_requests"},
    "SpringboardNothingDeployed": {"/ping": "ready"},
    "SpringboardTrafficStopped": {"access": r"T\S+ monitoring POST /invocations \d"},
    "SpringboardEveryCallerRefused": {
        "not_authorized": r"\d+ missing\t\t127\.0\.0\.1",
        "keys were edited": "keys were edited: .*gone: second",
    },
    "SpringboardStorageRefuses": {
        "S3 does not": "S3 could not be reached",
        "uniq -c": r"\d+ storage_unreachable",
    },
    "SpringboardFrontRestarts": {
        "Main process": "Main process exited",
        "-p err": "not taken over",
        "-i oom": "oom-kill",
    },
    "SpringboardUnreadableSurge": {"unreadable_video": r"\d+ monitoring\t(stable|canary)"},
    "SpringboardCanaryStays": {"first_attempts": 'outcome="scored",release="1.1.0"'},
    "SpringboardReleasesDiffer": {"release_info": "dive-scoring\tgpu1\tstable\t1.0.0"},
    "SpringboardDeploymentFailed": {"deployments_total": "gpu1\tpromoted\t"},
    "SpringboardCertificateEnds": {"certbot": "renew"},
    "SpringboardDiskReadOnly": {"remount": "Remounting"},
    "SpringboardMemoryLow": {"held_bytes": "springboard_held_bytes"},
    "SpringboardOutOfMemory": {"oom-kill": "CONSTRAINT_MEMCG"},
    "SpringboardUnitFailed": {"-p err": "not taken over"},
    "SpringboardUnreachable": {"/ping": "ready"},
    "SpringboardWatchdog": {"grep -i notify": "Notify attempt failed"},
    "SpringboardJobsUnattended": {"tail": "takes no reports"},
    "SpringboardJobsNotFalling": {".code": r"\d+ not_a_dive", "-p warning": "S3 refused"},
    "SpringboardJobsDead": {"tail": "S3 refused"},
    "SpringboardLiveError": {"springboard_live_": r'release="1.1.0",variant="canary"'},
    "SpringboardChannelNotFollowed": {"-u springboard-follow": "cannot be fetched"},
    "SpringboardKeysNotFollowed": {"-u springboard-keys-follow": "the keys known last stay"},
    "SpringboardWorkersMissing": {"torchserve@": "worker process died"},
}


def commands(name: str) -> list[str]:
    text = (RUNBOOKS / f"{name}.md").read_text()
    found = re.findall(r"^    (.*)", text, re.MULTILINE)
    return [command for command in found if any(reader in command for reader in READERS)]


def test_every_command_that_reads_a_log_or_a_page_is_tried() -> None:
    read = {path.stem: commands(path.stem) for path in RUNBOOKS.glob("*.md") if commands(path.stem)}
    assert set(PROMISES) == set(read)
    for name, found in read.items():
        for command in found:
            assert len([part for part in PROMISES[name] if part in command]) == 1, command


@pytest.fixture(scope="module")
def host(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with the journal of all that the stack has said; REQUEST_ID is a failed request's."""

    def said(words: str) -> bool:
        return any(words in line for line in stack.front.log)

    good = stack.endpoint_file.read_text()
    stack.endpoint_file.write_text("variants: none")
    ours = {"Authorization": f"Bearer {stack.token}"}
    slow = httpx.post(f"{stack.front.url}/invocations", content=b"sleep=5.1", headers=ours, timeout=60)
    assert slow.status_code == 200, slow.text
    httpx.post(f"{stack.front.url}/invocations", content=b"die now", headers=ours, timeout=60)
    unreadable = b"status=422 code=unreadable_video"
    httpx.post(f"{stack.front.url}/invocations", content=unreadable, headers=ours, timeout=60)
    httpx.post(
        f"{stack.front.url}/invocations", json={"s3_uri": "s3://dives/a.mp4"}, headers=ours, timeout=60
    )
    keys.create_token(stack.folder / "keys.json", "second")
    wait_until(lambda: said("keys were edited: monitoring, second"), "another key")
    keys.revoke(stack.folder / "keys.json", "second")

    awaited = ("not taken over", "lost worker", "handler_raised", '"out_of_memory"', "gone: second")
    for words in (*awaited, "/invocations 502"):
        wait_until(lambda words=words: said(words), words)  # type: ignore[misc]
    draft = stack.endpoint_file.with_suffix(".good")
    draft.write_text(good + "\n# as before\n")
    draft.replace(stack.endpoint_file)
    front = [Entry("springboard-front.service", line, priority(line)) for line in list(stack.front.log)]
    failed = next(json.loads(entry.line) for entry in front if "/invocations 502" in entry.line)
    workers = [
        entry
        for server in stack.servers.values()
        for entry in entries_of(
            f"torchserve@{server.version}_abc.service", server.log.read_text().splitlines()
        )
    ]
    folder = tmp_path_factory.mktemp("host")
    others = [
        *(Entry("", line) for line in KERNEL),
        *(Entry("prometheus.service", line) for line in PROMETHEUS[:-1]),
        Entry("prometheus-alertmanager.service", PROMETHEUS[-1]),
        Entry("springboard-front.service", "springboard-front.service: Main process exited, code=killed"),
        Entry("certbot.service", "certbot.errors.Failed: could not renew"),
        Entry("springboard-jobs.service", '{"message": "job failed: x", "code": "not_a_dive"}', 4),
        Entry("springboard-jobs.service", '{"message": "S3 refused s3://scores/1.out (AccessDenied)"}', 4),
        Entry("springboard-jobs.service", '{"message": "the front takes no reports of jobs"}', 4),
        Entry("springboard-follow.service", "springboard: error: release 1.1.0 cannot be fetched", 3),
        Entry("springboard-keys-follow.service", "the keys known last stay: the secret cannot be had"),
        Entry("springboard-front.service", '{"message": "no GPU metrics: NVML Shared Library Not Found"}'),
    ]
    install(folder, [*worker_of(failed["request_id"]), *workers, *front, *others])
    (folder / "systemctl").write_text("#!/bin/sh\n")
    (folder / "systemctl").chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "REQUEST_ID": failed["request_id"]}


def priority(line: str) -> int:
    """What the front itself would put before it, were its output the journal."""
    return {"ERROR": 3, "WARNING": 4}.get(json.loads(line)["level"], 6)


def worker_of(request_id: str) -> Iterator[Entry]:
    """The line that model_handler writes of a video that breaks it; the stack's workers are puppets."""
    try:
        raise KeyError("a bug")
    except KeyError as error:
        told = (KeyError, error, error.__traceback__)
        record = logging.LogRecord("m", logging.ERROR, "", 1, "unexpected error while reading", (), told)
    with logs.about(request_id):
        line = logs.JsonLines().format(record)
    yield Entry("torchserve@1.0.0_abc.service", line, 3)


@pytest.mark.parametrize(
    ("alert", "part"), [(alert, part) for alert, parts in PROMISES.items() for part in parts]
)
def test_a_runbooks_command_finds_what_it_promises(
    stack: Stack, host: dict[str, str], alert: str, part: str
) -> None:
    (command,) = [command for command in commands(alert) if part in command]
    command = command.replace("http://127.0.0.1:8080", stack.front.url)
    command = command.replace("http://127.0.0.1:9090", stack.prometheus)
    command = command.replace("REQUEST_ID", host["REQUEST_ID"])
    for other in ("systemctl list-timers; ", "springboard keys list; "):
        command = command.removeprefix(other)
    found = ""

    def promised() -> bool:  # of pages that change: a scrape may have failed a moment ago
        nonlocal found
        done = subprocess.run(["bash", "-c", command], env=host, capture_output=True, text=True, check=False)
        found = done.stdout + done.stderr
        return not done.stderr and bool(re.search(PROMISES[alert][part], done.stdout))

    try:
        wait_until(promised, PROMISES[alert][part], 30)
    except AssertionError:
        pytest.fail(f"{command}\n{found}")
