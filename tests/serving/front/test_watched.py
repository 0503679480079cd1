"""What whoever watches the front gets: its log's lines, outcomes, TorchServe's own metrics."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.serving.front.conftest import Stage
from tests.stands.front import FrontProcess, write_endpoint
from tests.stands.waiting import wait_until

pytestmark = pytest.mark.xdist_group("front")


@pytest.fixture(scope="module")
def watched(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FrontProcess]:
    path = tmp_path_factory.mktemp("watched") / "endpoint.yml"
    write_endpoint(path, [("stable", stage.stable, 90), ("canary", stage.canary, 10)])
    with FrontProcess("--endpoint-file", path, "--log-json") as front:
        front.wait_ready()
        wait_until(lambda: all(v["workers"]["ready"] for v in front.state()["variants"]), "all variants")
        yield front


def line_of(front: FrontProcess, response: httpx.Response) -> dict[str, Any]:
    """The request's own line in the log, which must be the only one about it."""
    request_id = response.headers["x-amzn-requestid"]

    def lines() -> list[dict[str, Any]]:
        return [json.loads(line) for line in front.log if request_id in line]

    wait_until(lambda: bool(lines()), "the line")
    (line,) = lines()
    return line


def test_a_score_is_one_line_of_json_with_all_that_matters(watched: FrontProcess) -> None:
    body = b"score=84.15 not-for-the-log"
    response = watched.score(
        body,
        X_Amzn_SageMaker_Target_Variant="canary",
        X_Amzn_SageMaker_Inference_Id="dive-7",
        Authorization="Bearer do-not-log-me",
    )
    line = line_of(watched, response)
    assert line.pop("ms") > 0
    assert line.pop("time")
    stages = line.pop("stages_ms")
    assert stages.pop("queue") >= 0
    assert stages == {"fetch": 0.0, "decode": 1.5, "gate": 2.5, "score": 3.0}
    assert line == {
        "level": "INFO",
        "logger": "springboard.access",
        "message": "POST /invocations 200",
        "request_id": response.headers["x-amzn-requestid"],
        "status": 200,
        "outcome": "scored",
        "variant": "canary",
        "release": "1.1.0",
        "inference_id": "dive-7",
        "bytes": len(body),
        "score": 84.15,
    }
    assert not [text for text in watched.log if "not-for-the-log" in text or "do-not-log-me" in text]


def test_a_refusal_names_its_code(watched: FrontProcess) -> None:
    line = line_of(watched, watched.score(b"status=422 code=not_a_dive"))
    assert (line["outcome"], line["code"], line["status"]) == ("refused", "not_a_dive", 422)
    assert "score" not in line
    line = line_of(watched, watched.score(b""))
    assert (line["outcome"], line["code"], line["variant"]) == ("refused", "empty_body", "")


def test_a_path_cannot_break_the_line_nor_carry_a_token_into_it(watched: FrontProcess) -> None:
    response = httpx.get(f"{watched.url}/a%0Ab?token=do-not-log-me")
    assert line_of(watched, response)["message"] == "GET /a%0Ab 404"
    assert not [text for text in watched.log if "do-not-log-me" in text]


def test_boto3s_424_does_not_hide_whose_fault_it_was(watched: FrontProcess) -> None:
    runtime = boto3.client(
        "sagemaker-runtime",
        endpoint_url=watched.url,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
    )

    def count(outcome: str) -> float:
        return watched.metric("springboard_requests_total", status="424", outcome=outcome)

    for body, outcome in ((b"status=422 code=not_a_dive", "refused"), (b"status=503 code=full", "failed")):
        before = count(outcome)
        with pytest.raises(runtime.exceptions.ModelError):
            runtime.invoke_endpoint(EndpointName="dive-scoring", Body=body)
        assert count(outcome) == before + 1


def test_counters_of_a_variant_start_at_zero(stage: Stage, tmp_path: Path) -> None:
    path = write_endpoint(tmp_path / "endpoint.yml", [("stable", stage.stable, 1)])
    with FrontProcess("--endpoint-file", path) as front:
        page = httpx.get(f"{front.wait_ready().url}/metrics").text
        for name in ("retries", "gate_refusals"):
            assert f'springboard_{name}_total{{release="1.0.0",variant="stable"}} 0.0' in page


def test_torchserves_own_metrics_come_with_variant_and_release(watched: FrontProcess) -> None:
    for variant in ("stable", "canary"):
        watched.score(b"x", X_Amzn_SageMaker_Target_Variant=variant)
    page = httpx.get(f"{watched.url}/metrics/torchserve").text
    families = list(text_string_to_metric_families(page))
    names = [family.name for family in families]
    assert len(names) == len(set(names)), "each metric stands in one place"
    for name in ("springboard_torchserve_up", "ts_inference_requests_total"):
        found = {
            (sample.labels["variant"], sample.labels["release"]): sample.value
            for family in families
            for sample in family.samples
            if sample.name == name
        }
        assert set(found) == {("stable", "1.0.0"), ("canary", "1.1.0")}, name
        assert min(found.values()) >= 1
    assert all({"variant", "release"} <= set(s.labels) for family in families for s in family.samples)


def test_torchserve_runs_no_script_for_the_figures_of_the_host(stage: Stage) -> None:
    """It would die on every GPU host, a traceback a minute, and double with each release."""
    said = stage.stable.log.read_text()
    assert "Disable system metrics: true" in said
    assert "MetricCollector" not in said


def test_a_torchserve_that_is_away_shows_as_such(stage: Stage, tmp_path: Path) -> None:
    path = write_endpoint(tmp_path / "endpoint.yml", [("stable", stage.stable, 1)])
    path.write_text(path.read_text().replace(stage.stable.served.metrics, "http://127.0.0.1:1"))
    with FrontProcess("--endpoint-file", path) as front:
        page = httpx.get(f"{front.wait_ready().url}/metrics/torchserve").text
        assert 'springboard_torchserve_up{variant="stable",release="1.0.0"} 0' in page
