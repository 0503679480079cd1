"""InvokeEndpointAsync as boto3 speaks it, unmodified and signed, and what becomes of it on the queue."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from springboard.auth.keys import AccessKey, Keys
from springboard.jobs.job import Job
from springboard.jobs.local import LocalQueue
from tests.stands.cloud import environment
from tests.stands.scoring import Scoring, scoring
from tests.unit.front.sent import VIDEO

URI = "s3://dives/054.mp4"


@dataclass
class Office:
    """A front that takes jobs, its queue and the folder of its results."""

    model: Scoring
    folder: Path
    runtime: Any

    def invoke(self, **asked: Any) -> Any:
        return self.runtime.invoke_endpoint_async(EndpointName="dive-scoring", **asked)

    def refused(self, **asked: Any) -> tuple[str, str, int]:
        with pytest.raises(ClientError) as caught:
            self.invoke(**asked)
        answer = caught.value.response
        error = answer["Error"]
        return error["Code"], error["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]

    def queued(self) -> list[Job]:
        """Take what is on the queue."""
        queue, found = LocalQueue(self.folder / "queue"), []
        while claim := queue.claim(0):
            found.append(Job.read(claim.message))
            queue.done(claim)
        queue.close()
        return found


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    (folder / "in").mkdir()
    (folder / "in" / "dive one.mp4").write_bytes(VIDEO)
    key = AccessKey(
        name="judge", access_key_id="SB" + "J" * 18, secret_access_key="s" * 40, created=datetime.now(UTC)
    )
    jobs = {"output": f"{folder}/scores", "queue": f"{folder}/queue", "inputs": [f"{folder}/in"]}
    with environment(STATE_DIRECTORY=str(folder)), scoring(Keys(access_keys=(key,)), jobs=jobs) as model:
        runtime = boto3.client(
            "sagemaker-runtime",
            region_name="eu-central-1",
            endpoint_url=model.url,
            aws_access_key_id=key.access_key_id,
            aws_secret_access_key=key.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}),
        )
        yield Office(model, folder, runtime)
        runtime.close()


@pytest.fixture(autouse=True)
def _empty(office: Office) -> Iterator[None]:
    yield
    office.queued()


def test_a_job_is_taken_in_and_told_where_its_result_will_be(office: Office) -> None:
    answer = office.invoke(
        InputLocation=URI,
        InferenceId="dive 1/2",
        ContentType="video/mp4",
        Accept="application/json",
        CustomAttributes="trace=1",
        RequestTTLSeconds=60,
        InvocationTimeoutSeconds=3600,
    )
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["InferenceId"] == "dive 1/2"
    assert answer["OutputLocation"] == f"file://{office.folder}/scores/dive%201%2F2.out"
    assert answer["FailureLocation"] == f"file://{office.folder}/scores/failures/dive%201%2F2-error.out"
    (job,) = office.queued()
    assert (job.id, job.input, job.body, job.endpoint) == ("dive 1/2", URI, b"", "dive-scoring")
    assert (job.content_type, job.accept, job.timeout) == ("video/mp4", "application/json", 3600)
    assert job.expires == job.received + 60


def test_a_job_without_an_id_gets_one_and_sagemakers_defaults(office: Office) -> None:
    answer = office.invoke(InputLocation=URI)
    (job,) = office.queued()
    assert answer["InferenceId"] == job.id == answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]
    assert (job.expires - job.received, job.timeout) == (21600, 900)


def test_a_small_video_may_come_in_the_request(office: Office) -> None:
    office.invoke(Body=VIDEO, ContentType="video/mp4")
    (job,) = office.queued()
    assert (job.input, job.body) == ("", VIDEO)
    code, message, status = office.refused(Body=bytes(128_001))
    assert (code, status) == ("ValidationError", 400)
    assert "128,000" in message
    assert office.queued() == []


def test_the_result_goes_where_the_caller_says_below_the_output(office: Office) -> None:
    answer = office.invoke(InputLocation=URI, S3OutputPathExtension="2026/may", Filename="first.json")
    assert answer["OutputLocation"].endswith("/scores/2026/may/first.json")
    code, message, _ = office.refused(
        InputLocation=URI, S3OutputPathExtension="2026/may", Filename="first.json"
    )
    assert code == "ValidationError"
    assert "another job's" in message


def test_the_same_id_with_the_same_input_is_one_job(office: Office) -> None:
    first = office.invoke(InputLocation=URI, InferenceId="once")
    again = office.invoke(InputLocation=URI, InferenceId="once")
    assert first["OutputLocation"] == again["OutputLocation"]
    assert [job.id for job in office.queued()] == ["once"]
    (office.folder / "scores" / "once.out").write_text("{}")
    office.invoke(InputLocation=URI, InferenceId="once")
    assert office.queued() == []
    for asked in ({"InputLocation": "s3://dives/055.mp4"}, {"Body": VIDEO}):
        code, message, _ = office.refused(InferenceId="once", **asked)
        assert code == "ValidationError"
        assert "another input" in message


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "InputLocation or a body"),
        ({"InputLocation": URI, "Body": VIDEO}, "InputLocation or a body"),
        ({"InputLocation": "ftp://dives/1.mp4"}, "InputLocation must"),
        ({"InputLocation": "s3://dives"}, "InputLocation"),
        ({"InputLocation": "s3://others/1.mp4"}, "may not read bucket 'others'"),
        ({"InputLocation": "https://example.com/1.mp4"}, "no address of S3"),
        ({"InputLocation": "file:///etc/passwd"}, "from these folders only"),
        ({"InputLocation": URI, "S3OutputPathExtension": "../../etc"}, "without . and .."),
        ({"InputLocation": URI, "S3OutputPathExtension": "a//b"}, "without . and .."),
        ({"InputLocation": URI, "S3OutputPathExtension": "s3://b"}, "S3OutputPathExtension must"),
        ({"InputLocation": URI, "Filename": "a.b.c"}, "Filename must"),
        ({"InputLocation": URI, "Filename": "../a"}, "Filename must"),
        ({"InputLocation": URI, "InferenceId": "x" * 65}, "Inference-Id must"),
    ],
)
def test_what_cannot_be_a_job_is_told_why(office: Office, asked: dict[str, Any], words: str) -> None:
    code, message, status = office.refused(**asked)
    assert (code, status) == ("ValidationError", 400)
    assert words in message
    assert office.queued() == []


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("RequestTTLSeconds", "59"),
        ("RequestTTLSeconds", "21601"),
        ("RequestTTLSeconds", "1e3"),
        ("InvocationTimeoutSeconds", "0"),
        ("InvocationTimeoutSeconds", "3601"),
    ],
)
def test_bounds_are_sagemakers(tmp_path: Path, header: str, value: str) -> None:
    jobs = {"output": f"{tmp_path}/scores", "queue": f"{tmp_path}/queue"}
    with environment(STATE_DIRECTORY=str(tmp_path)), scoring(jobs=jobs) as model:
        headers = {"X-Amzn-SageMaker-InputLocation": URI, f"X-Amzn-SageMaker-{header}": value}
        response = model.client.post("/endpoints/dive-scoring/async-invocations", headers=headers)
        assert response.status_code == 400
        assert response.headers["x-amzn-errortype"] == "ValidationError"
        assert header in response.json()["Message"]


@pytest.mark.parametrize(
    "location",
    [
        "https://dives.s3.eu-central-1.amazonaws.com/a%20b.mp4",
        "https://s3.eu-central-1.amazonaws.com/dives/a%20b.mp4",
        "https://dives.s3.amazonaws.com/a%20b.mp4",
        "https://s3-eu-west-1.amazonaws.com/dives/a%20b.mp4",
    ],
)
def test_an_address_over_https_is_its_object(office: Office, location: str) -> None:
    office.invoke(InputLocation=location)
    assert [job.input for job in office.queued()] == ["s3://dives/a b.mp4"]


def test_files_come_from_listed_folders(office: Office) -> None:
    location = f"file://{office.folder}/in/dive%20one.mp4"
    office.invoke(InputLocation=location)
    assert [job.input for job in office.queued()] == [location]


def test_only_who_may_call_hands_in_jobs(office: Office) -> None:
    path = "/endpoints/dive-scoring/async-invocations"
    headers = {"X-Amzn-SageMaker-InputLocation": URI}
    response = office.model.client.post(path, headers=headers)
    assert response.status_code == 403
    assert response.headers["x-amzn-errortype"] == "AccessDeniedException"
    wrong = {**headers, "Authorization": "Bearer nobody"}
    assert office.model.client.post(path, headers=wrong).status_code == 403
    assert office.model.client.get("/endpoints/dive-scoring/jobs/once").status_code == 403
    assert office.queued() == []


def test_an_endpoint_of_another_name_is_told_apart(office: Office) -> None:
    with pytest.raises(ClientError, match="has dive-scoring"):
        office.runtime.invoke_endpoint_async(EndpointName="other", InputLocation=URI)


def test_the_worker_of_this_machine_may_ask(office: Office) -> None:
    token = (office.folder / "worker.token").read_text()
    assert (office.folder / "worker.token").stat().st_mode & 0o777 == 0o600
    own = {"Authorization": f"Bearer {token}"}
    assert office.model.post("/invocations", VIDEO, headers=own).status_code == 200
    assert office.model.tickets[-1].caller == "worker"
    assert not office.model.tickets[-1].low
    office.model.post("/invocations", VIDEO, headers={**own, "X-Springboard-Priority": "low"})
    assert office.model.tickets[-1].low


def test_where_a_job_stands(tmp_path: Path) -> None:
    jobs = {"output": f"{tmp_path}/scores", "queue": f"{tmp_path}/queue"}
    with environment(STATE_DIRECTORY=str(tmp_path)), scoring(jobs=jobs) as model:
        headers = {"X-Amzn-SageMaker-Inference-Id": "one"}
        sent = model.client.post("/endpoints/dive-scoring/async-invocations", content=VIDEO, headers=headers)
        output = Path(sent.headers["X-Amzn-SageMaker-OutputLocation"].removeprefix("file://"))
        failure = Path(sent.headers["X-Amzn-SageMaker-FailureLocation"].removeprefix("file://"))
        path = "/endpoints/dive-scoring/jobs"
        assert model.client.get(f"{path}/one").json()["state"] == "unfinished"
        failure.parent.mkdir()
        failure.write_text(json.dumps({"error": {"code": "not_a_dive", "message": "No dive."}}))
        told = model.client.get(f"{path}/one").json()
        assert (told["state"], told["failure_reason"]) == ("failed", "not_a_dive: No dive.")
        output.write_text("{}")
        told = model.client.get(f"{path}/one").json()
        assert (told["state"], told["failure_reason"]) == ("completed", None)
        absent = model.client.get(f"{path}/absent")
        assert (absent.status_code, absent.json()["error"]["code"]) == (404, "unknown_job")


def test_a_server_without_async_says_what_to_use(model: Scoring) -> None:
    response = model.client.post("/endpoints/dive-scoring/async-invocations", content=VIDEO)
    assert (response.status_code, response.headers["x-amzn-errortype"]) == (400, "ValidationError")
    assert "use InvokeEndpoint" in response.json()["Message"]
    assert model.client.get("/endpoints/dive-scoring/jobs/one").status_code == 400


def test_a_queue_that_is_away_is_said_and_can_be_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    jobs = {"output": f"{tmp_path}/scores", "queue": f"{tmp_path}/file/queue"}
    with environment(STATE_DIRECTORY=str(tmp_path)), scoring(jobs=jobs) as model:
        headers = {"X-Amzn-SageMaker-Inference-Id": "one"}
        path = "/endpoints/dive-scoring/async-invocations"
        response = model.client.post(path, content=VIDEO, headers=headers)
        assert (response.status_code, response.headers["x-amzn-errortype"]) == (503, "ServiceUnavailable")
        assert response.headers["retry-after"] == "5"
        (tmp_path / "file").unlink()
        assert model.client.post(path, content=VIDEO, headers=headers).status_code == 202
        queue = LocalQueue(tmp_path / "file" / "queue")
        assert queue.backlog().waiting == 1
        queue.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Springboard-Priority": "high"},
        {"X-Springboard-Priority": "low", "X-Springboard-Work-Seconds": "0"},
        {"X-Springboard-Priority": "low", "X-Springboard-Work-Seconds": "3601"},
    ],
)
def test_priorities_that_make_no_sense_are_refused(model: Scoring, headers: dict[str, str]) -> None:
    response = model.post("/invocations", VIDEO, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (400, "invalid_header")
