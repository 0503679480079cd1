"""Alarms of AutoRollbackConfiguration, which are alerts of a Prometheus."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from springboard.control import alarms, sources
from springboard.control.agent import Agent
from springboard.control.alarms import Prometheus, Watch
from springboard.control.documents import Documents
from springboard.control.endpoints import Endpoints
from springboard.control.errors import ControlError
from springboard.control.place import Place
from springboard.control.store import Folder
from springboard.deploy.canary import Rejected
from springboard.deploy.rollout import Rollout
from springboard.system.checkout import ROOT
from springboard.torchserve import transport
from tests.stands.served import served
from tests.unit.control.hosts import IDENTITY
from tests.unit.control.test_agent import BASE, wanted
from tests.unit.system.test_asking import SLOW, saying

FAILS = "SpringboardCanaryFails"


def rolled_back_by(*names: str) -> dict[str, Any]:
    return {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name} for name in names]}}


@pytest.fixture(scope="module")
def alerts() -> list[dict[str, Any]]:
    """What the Prometheus has, by name, state and endpoint."""
    return []


@pytest.fixture(scope="module")
def prometheus(alerts: list[dict[str, Any]]) -> Iterator[Prometheus]:
    app = FastAPI()

    @app.get("/api/v1/alerts")
    def told() -> dict[str, Any]:
        return {"status": "success", "data": {"alerts": alerts}}

    with served(app) as port:
        yield Prometheus(f"http://127.0.0.1:{port}")


def alert(name: str, state: str = "firing", **labels: str) -> dict[str, Any]:
    return {"labels": {"alertname": name, **labels}, "annotations": {}, "state": state, "value": "1e+00"}


def test_only_alerts_of_the_rules_are_alarms(tmp_path: Path) -> None:
    rules = [path.read_text() for path in (ROOT / "monitoring" / "rules").glob("*.yml")]
    named = {name for text in rules for name in re.findall(r"- alert: (\w+)", text)}
    assert named == alarms.KNOWN
    documents = Documents(Folder(tmp_path), IDENTITY)
    watched = Endpoints(documents, alarms=alarms.KNOWN)
    watched._check_deployment(rolled_back_by(FAILS))
    with pytest.raises(ControlError, match=r"and Mine is none of them; there are .*SpringboardCanaryFails"):
        watched._check_deployment(rolled_back_by(FAILS, "Mine"))
    with pytest.raises(ControlError, match="started without --control-prometheus"):
        Endpoints(documents)._check_deployment(rolled_back_by(FAILS))


@pytest.mark.parametrize(
    ("there", "rejected"),
    [
        (alert(FAILS), True),
        (alert(FAILS, endpoint="dives"), True),
        (alert(FAILS, endpoint="others"), False),
        (alert(FAILS, "pending"), False),
        (alert("SpringboardWatchdog"), False),
    ],
)
def test_an_alarm_that_fires_for_the_endpoint_ends_its_deployment(
    prometheus: Prometheus, alerts: list[dict[str, Any]], there: dict[str, Any], rejected: bool
) -> None:
    alerts[:] = [there]
    if not rejected:
        Watch(prometheus, "dives", [FAILS]).look()
        return
    with pytest.raises(Rejected, match="alarm: SpringboardCanaryFails fires"):
        Watch(prometheus, "dives", [FAILS]).look()


def test_a_prometheus_that_is_away_is_borne_with_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(Prometheus("http://127.0.0.1:9"), "dives", [FAILS])
    watch.look()
    monkeypatch.setattr(alarms, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(alarms, "_SILENT_SECONDS", 0.0)
    with pytest.raises(Rejected, match=r"not known: http://127\.0\.0\.1:9 does not answer"):
        watch.look()


@pytest.mark.parametrize("said", ["[" * 100_000, "[]", "1" * 5000, '{"data": {"alerts": [{"labels": [1]}]}}'])
def test_what_is_no_answer_of_a_prometheus_is_borne_with_too(
    monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    answer = httpx.Response(200, text=said, request=httpx.Request("GET", "http://prometheus"))
    monkeypatch.setattr(transport, "request", lambda *_, **__: answer)
    watch = Watch(Prometheus("http://prometheus"), "dives", [FAILS])
    watch.look()
    monkeypatch.setattr(alarms, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(alarms, "_SILENT_SECONDS", 0.0)
    with pytest.raises(Rejected, match="whether its alarms fire is not known"):
        watch.look()


@pytest.mark.timeout(30)
def test_a_prometheus_that_never_ends_its_answer_holds_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "_TIMEOUT_SECONDS", 0.5)
    with (
        saying(SLOW["body"]) as url,
        pytest.raises(httpx.ReadTimeout, match=r"no whole answer within 0\.5 s"),
    ):
        Prometheus(url).firing("dives")


def test_an_update_is_told_to_have_been_ended_by_its_alarm(
    prometheus: Prometheus, alerts: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts[:] = [alert(FAILS)]
    monkeypatch.setattr(Rollout, "deploy", lambda self, _: self._ask())
    monkeypatch.setattr(sources, "acquire", lambda *_: "1.0.0")
    store = Folder(tmp_path / "documents")
    asked = {**wanted(), "deployment": rolled_back_by(FAILS)}
    document = {"name": "dives", "created": 1.0, "status": "Updating", "wanted": asked, "serving": wanted()}
    store.write("endpoint", "dives", document, None)
    Agent("dives", Place(tmp_path), store, BASE, prometheus=prometheus).follow(document)
    (told,) = store.every("endpoint")
    assert (told["status"], told["failure"]) == ("InService", "alarm: SpringboardCanaryFails fires")
