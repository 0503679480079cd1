"""What `make bench` counts, and what it shows of it."""

import io
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from bench import compare, load, machine
from bench.load import drive
from springboard.system.checkout import ROOT
from tests.stands.scoring import scoring


def test_a_load_counts_answers_and_failures_apart_and_sends_no_more_than_asked() -> None:
    with scoring() as model:
        good = drive(f"{model.url}/invocations", b"dive", clients=3, requests=7).figures()
        bad = drive(f"{model.url}/invocations", b"unreadable", clients=2, requests=4).figures()
        assert len(model.videos) == 11
    assert (good["requests"], good["failed"], good["clients"]) == (7, {}, 3)
    assert 0 < float(str(good["p50_s"])) <= float(str(good["p99_s"]))
    assert (bad["requests"], bad["failed"]) == (0, {"422": 4})


def test_an_answer_without_a_score_is_a_failure_whatever_its_status() -> None:
    answer = httpx.Response(200, json={"error": {"code": "internal_error"}})
    assert load._said(answer) == "no score"
    assert load._said(httpx.Response(200, json={"score": 61.5})) == load.SCORED


def test_a_server_that_is_gone_is_counted_as_failures() -> None:
    gone = drive("http://127.0.0.1:1/invocations", b"dive", clients=2, requests=3).figures()
    assert gone["failed"] == {"ConnectError": 3}


def test_what_children_take_counts_too() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "x = bytearray(50 << 20); print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout
    child.stdout.readline()
    try:
        assert child.pid in [one.pid for one in machine.group_of(os.getpid())]
        assert machine.used(child.pid)["memory_mib"] > 50
        assert machine.used(os.getpid())["memory_mib"] > machine.used(child.pid)["memory_mib"]
    finally:
        child.communicate(b"\n")


def test_the_table_shows_each_rate_beside_the_bare_cores() -> None:
    said = {"clients": 8, "requests": 16, "p50_s": 3.9, "p99_s": 4.5, "rate_per_s": 1.9, "failed": {"503": 2}}
    server = {"name": "ours", "ready_s": 9.5, "cpu_s_per_dive": 1.01, "memory_mib": 700, "loads": [said]}
    shown = io.StringIO()
    Console(file=shown, width=130).print(compare.table({"bare_s": 0.5, "servers": [server]}))
    (row,) = (line for line in shown.getvalue().splitlines() if "ours" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        *("ours", "9.5", "8", "3.900", "4.500", "1.900", "0.95", "2", "1.01", "700")
    ]


@pytest.mark.parametrize("there", [True, False])
def test_peers_are_measured_where_their_environment_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: bool
) -> None:
    python = tmp_path / "python"
    if there:
        python.touch()
    monkeypatch.setattr(compare, "PEERS", python)
    names = [one.name for one in compare.contenders(Path("dive-0.0.0-local.mar"), 1)]
    assert names == ["springboard", "FastAPI + uvicorn", *(["mosec"] if there else [])]


def test_a_server_that_does_not_start_is_said_so() -> None:
    (ROOT / "build").mkdir(exist_ok=True)
    broken = compare.Contender("broken", (sys.executable, "-c", "raise SystemExit(1)"))
    with (
        pytest.raises(SystemExit, match=r"broken did not start; .*bench-broken\.log says why"),
        compare.running(broken, 1, dict(os.environ)),
    ):
        pass
