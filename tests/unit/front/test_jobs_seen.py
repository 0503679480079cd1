"""Jobs as whoever watches the front sees them: metrics, `GET /endpoints/{name}`, `springboard top`."""

import asyncio
import json
import logging
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from rich.console import Console

from springboard.auth.keys import Keys
from springboard.client.source import Source
from springboard.client.view import View
from springboard.front.metrics.jobs import JobFigures
from springboard.jobs.local import LocalQueue
from springboard.jobs.queue import Backlog
from springboard.jobs.report import GONE_SECONDS, MOST_ENDED, Ended, Report
from springboard.jobs.reporting import Reports
from tests.stands.cloud import environment
from tests.stands.scoring import Scoring, scoring
from tests.stands.waiting import wait_until
from tests.unit.jobs.shop import job

PATH = "/endpoints/dive-scoring/job-reports"


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Scoring]:
    """A front that takes jobs, with keys, and a queue with one that waits and one that is dead."""
    queue = LocalQueue(tmp_path / "queue")
    for _ in range(2):
        queue.put(job())
    claim = queue.claim(1)
    assert claim
    queue.dead(claim, "died: It ended 3 workers.")
    jobs = {"output": f"{tmp_path}/scores", "queue": f"{tmp_path}/queue"}
    with environment(STATE_DIRECTORY=str(tmp_path)), scoring(keys=Keys(), jobs=jobs) as one:
        yield one
    queue.close()


def _figures(model: Scoring) -> dict[str, float]:
    page = model.client.get("/metrics").text.splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in page if line.startswith("springboard_job")}


def _describe(model: Scoring) -> Any:
    return model.client.get("/endpoints/dive-scoring", headers=_ours(model)).json()["jobs"]


def _ours(model: Scoring) -> dict[str, str]:
    token = model.front.auth.worker_token
    return {"Authorization": f"Bearer {token}"} if token else {}


def test_the_queue_is_seen_in_the_metrics_and_at_the_endpoint(model: Scoring) -> None:
    assert "springboard_jobs_waiting" not in _figures(model)  # not yet looked at: unknown is not 0
    assert _describe(model)["waiting"] is None
    asyncio.run(model.front.look_at_jobs())
    told = _figures(model)
    names = ("jobs_waiting", "jobs_leased", "jobs_dead", "job_workers")
    assert [told[f"springboard_{name}"] for name in names] == [1, 0, 1, 0]
    assert 0 <= told["springboard_jobs_oldest_seconds"] < 60
    described = _describe(model)
    assert 0 <= described.pop("oldest_seconds") < 60
    assert described == {"waiting": 1, "at_work": 0, "dead": 1, "workers": 0}


def test_a_queue_that_is_away_is_told_once_and_not_as_empty(
    model: Scoring, caplog: pytest.LogCaptureFixture
) -> None:
    (broken := Path(model.front.desk.settings.output).parent / "file").touch()  # type: ignore[union-attr]
    settings = model.front.endpoint.asynchronous.model_copy(update={"queue": f"{broken}/queue"})  # type: ignore[union-attr]
    model.front.use(model.front.endpoint.model_copy(update={"asynchronous": settings}))
    with caplog.at_level(logging.WARNING, "springboard.front"):
        for _ in range(2):
            asyncio.run(model.front.look_at_jobs())
    assert len([one for one in caplog.records if "are not known" in one.message]) == 1
    assert _describe(model)["waiting"] is None


def test_a_front_that_cannot_even_find_its_queue_serves_on(
    model: Scoring, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_home() -> Backlog:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(model.front.desk, "backlog", no_home)
    asyncio.run(model.front.look_at_jobs())
    assert "home directory" in caplog.text
    assert _describe(model)["waiting"] is None


def test_what_the_worker_reports_is_counted(model: Scoring) -> None:
    reports = Reports(model.url, model.front.auth.worker_token, "dive-scoring")
    for outcome, attempt in (("again", 1), ("completed", 2), ("completed", 1), ("dead", 3)):
        reports.add(Ended.model_validate({"outcome": outcome, "attempt": attempt, "queued": 4, "worked": 2}))
    reports.start()
    wait_until(lambda: _figures(model)["springboard_job_attempts_total"] == 4, "the report")
    reports.add(Ended(outcome="expired", attempt=1, queued=4, worked=0))
    reports.stop()
    told = _figures(model)
    ended = {
        one: told[f'springboard_jobs_total{{outcome="{one}"}}'] for one in ("completed", "dead", "expired")
    }
    assert ended == {"completed": 2, "dead": 1, "expired": 1}
    assert told["springboard_job_workers"] == 1
    assert told["springboard_job_queued_seconds_count"] == 3  # by first attempts
    assert told["springboard_job_work_seconds_sum"] == 6
    assert _describe(model)["workers"] == 1


def test_a_report_that_did_not_arrive_comes_with_the_next(model: Scoring) -> None:
    reports = Reports("http://127.0.0.1:1", model.front.auth.worker_token, "dive-scoring")
    for _ in range(MOST_ENDED + 1):
        reports.add(Ended(outcome="completed", attempt=1, queued=0, worked=0))
    assert reports._told()  # nobody took it
    reports._client.base_url = httpx.URL(model.url)
    assert not reports._told()  # there is more
    assert reports._told()
    assert _figures(model)["springboard_job_attempts_total"] == MOST_ENDED + 1
    reports._client.close()


def test_only_the_machines_own_worker_reports(model: Scoring) -> None:
    body = Report(worker="x").model_dump_json()
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = model.post(PATH, body, headers=headers)
        assert answer.status_code == 403
        assert json.loads(answer.content)["error"]["code"] == "not_authorized"
    assert model.post(PATH, body, headers=_ours(model)).status_code == 204


def test_a_worker_that_is_silent_is_gone_and_old_figures_are_none() -> None:
    now = [0.0]
    figures = JobFigures(CollectorRegistry(), lambda: now[0])
    figures.begin(taking=True)
    figures.saw(Backlog(1, 0, 0, None))
    for name in ("one", "two", "one"):
        figures.take(Report(worker=name))
    assert (figures.workers, figures.backlog is None) == (2, False)
    now[0] = GONE_SECONDS + 40
    assert (figures.workers, figures.backlog is None) == (0, True)


def test_without_async_nothing_is_said_of_jobs() -> None:
    with scoring() as model:
        assert _describe(model) is None
        assert "springboard_job_workers" not in _figures(model)


def test_top_has_a_line_of_jobs_where_there_are_any(model: Scoring) -> None:
    asyncio.run(model.front.look_at_jobs())

    def drawn(of: Scoring) -> str:
        view, out = View(of.url), StringIO()
        for _ in range(2):
            view.add(Source(of.client, of.url).read())
        Console(file=out, width=80).print(view)
        return out.getvalue()

    line = next(one for one in drawn(model).splitlines() if "jobs waiting" in one)
    words = ["jobs waiting 1", "at work 0", "dead 1", "oldest", "done 0.0/s", "workers 0"]
    assert [word for word in words if word in " ".join(line.split())] == words
    with scoring() as without:
        assert "jobs waiting" not in drawn(without)
