"""What `make bench` counts, and what it shows of it."""

import io
import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest
import yaml
from rich.console import Console

from bench import compare, contenders, load, machine, picture, prices
from bench.archives import with_config
from bench.faults import callers_gone, with_garbage
from bench.limits import Bare
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
    assert load._said(httpx.Response(200, content=b"")) == "no JSON"


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


def server(**other: object) -> dict[str, object]:
    said = {"clients": 8, "requests": 16, "p50_s": 3.9, "p95_s": 4.4, "p99_s": 4.5, "rate_per_s": 1.9}
    load = {**said, "failed": {"503": 2}, "stages_ms": {"decode": 51.2}}
    figures = {"ready_s": 9.5, "cpu_s_per_dive": 1.01, "memory_mib": 700}
    return {"name": "ours", **figures, "loads": [load], "sizes": {}, **other}


def shown(*tables: object) -> list[list[str]]:
    """The cells of each line that has any."""
    out = io.StringIO()
    Console(file=out, width=140).print(*tables)
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in out.getvalue().splitlines()]


def test_the_table_shows_each_rate_beside_the_bare_cores() -> None:
    assert [*("ours", "9.5", "8", "3.900", "4.400", "4.500", "1.900", "0.95", "2", "1.01", "700")] in shown(
        compare.table({"bare_s": 0.5, "servers": [server()]})
    )


def test_the_other_tables_show_stages_sizes_what_was_lost_and_the_cost() -> None:
    killed = {"failed": {"ReadError": 3}, "scored": 29, "back_s": None}
    lost = {
        "killed": killed,
        "gone": {"alone_s": 0.1, "next_s": 0.9},
        "garbage": {"failed": {}, "scored": 16},
    }
    big = {
        "1080p": {"rate_per_s": 0.75, "p99_s": 11.5, "failed": {}},
        "small": {"rate_per_s": 0.0, "failed": {"422": 16}},
    }
    found = {"servers": [server(sizes=big, lost=lost)], "sizes": list(big)}
    cells = shown(*compare.other_tables(found | {"cost_per_1000": {"ours": {"g6.xlarge": 0.2236}}}))
    for row in (
        ["ours", "", "51.2", "", ""],
        ["ours", "0.750 (11.50)", "-, 16 failed: 422"],
        ["ours", "3 of 32", "never", "9.0 x", "0 of 16"],
        ["g6.xlarge", "0.2236"],
    ):
        assert row in cells


def test_a_thousand_dives_cost_what_the_documented_hour_does() -> None:
    date, hour = prices.table()
    assert date.split()[1].isdigit()
    assert prices.per_thousand(1.0)["g6.xlarge"] == pytest.approx(hour["g6.xlarge"] / 3.6, abs=1e-4)
    assert prices.per_thousand(0.0) == {}


def test_the_pipelined_limit_shares_the_cores_between_decoding_and_networks() -> None:
    assert Bare(0.6, 0.1, 0.5, decode_rate=20.0).pipelined_rate == pytest.approx(1 / 0.55)


def test_a_picture_has_a_line_for_each_server_and_leaves_gaps_out() -> None:
    drawn = picture.lines("dives a second", [1, 8], {"ours": [1.0, 2.0], "theirs": [None, 1.0]})
    assert drawn.count("<polyline") == 2
    assert 'points="60,160 520,30"' in drawn
    assert 'points="520,160"' in drawn


def test_a_picture_counts_in_round_numbers() -> None:
    drawn = picture.lines("p99 in seconds", [1, 8], {"ours": [1.3, 37.4]})
    assert re.findall(r'text-anchor="end">([^<]*)', drawn) == ["0", "10", "20", "30", "40"]


def test_callers_that_leave_and_garbage_are_counted_for_those_who_stay() -> None:
    with scoring() as model:
        url = f"http://127.0.0.1:{model.port}/invocations"
        gone = callers_gone(url, contenders.raw(b"dive"))
        bad = with_garbage(url, contenders.raw(b"dive"), contenders.raw(b"unreadable"))
    assert gone["next_s"] > 0
    assert bad == {"failed": {}, "scored": 16, "answered": {"422": 6}}


def test_who_is_refused_comes_back_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)
    refused = httpx.Response(429, headers={"Retry-After": "7"})
    monkeypatch.setattr(httpx.Client, "post", lambda *args, **more: refused)
    assert drive("http://127.0.0.1:1/", b"dive", 1, 3).failed == {"429": 3}
    assert slept == [0, 7, 7]
    assert drive("http://127.0.0.1:1/", b"dive", 1, seconds=5).failed == {"429": 1}, "not after its end"


def test_a_form_carries_the_video_as_its_file() -> None:
    body, kind = contenders.form(b"the video")
    assert kind.startswith("multipart/form-data; boundary=")
    assert b'name="content"' in body
    assert b"the video" in body


def test_an_archive_gets_another_configuration_and_keeps_the_rest(tmp_path: Path) -> None:
    archive = tmp_path / "dive-1.0.0.mar"
    with zipfile.ZipFile(archive, "w") as mar:
        mar.writestr(
            "model-config.yaml",
            json.dumps({"maxWorkers": 1, "handler": {"precision": "auto", "engine": "auto"}}),
        )
        mar.writestr("weights.safetensors", b"numbers")
    changed = with_config(archive, tmp_path / "other", {"maxWorkers": 2, "handler": {"engine": "torch"}})
    with zipfile.ZipFile(changed) as mar:
        assert yaml.safe_load(mar.read("model-config.yaml")) == {
            "maxWorkers": 2,
            "handler": {"precision": "auto", "engine": "torch"},
        }
        assert mar.read("weights.safetensors") == b"numbers"


def test_a_load_ends_after_its_seconds() -> None:
    with scoring() as model:
        assert drive(f"{model.url}/invocations", b"dive", clients=2, seconds=0).spent == []
        assert model.videos == []
        assert drive(f"{model.url}/invocations", b"dive", clients=1, requests=1).scores == {61.5}


@pytest.mark.parametrize("there", [True, False])
def test_peers_are_measured_where_their_environment_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, there: bool
) -> None:
    python = tmp_path / "python"
    if there:
        python.touch()
    monkeypatch.setattr(contenders, "PEERS", python)
    archive = Path("dive-0.0.0-local.mar")
    names = [one.name for one in contenders.contenders(archive, archive, 1)]
    peers = ["LitServe", "BentoML", "Ray Serve", "mosec"] if there else []
    assert names == [
        "springboard",
        "springboard, two workers",
        "FastAPI + uvicorn",
        *peers,
        "TorchServe",
        "the published way",
    ]


def test_a_server_that_does_not_start_is_said_so() -> None:
    (ROOT / "build").mkdir(exist_ok=True)
    broken = contenders.Contender("broken", (sys.executable, "-c", "raise SystemExit(1)"))
    with (
        pytest.raises(SystemExit, match=r"broken did not start; .*bench-broken\.log says why"),
        contenders.running(broken, 1, dict(os.environ)),
    ):
        pass
