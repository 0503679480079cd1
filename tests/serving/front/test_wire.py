"""SageMaker's contract, spoken over HTTP to a front before two real TorchServes."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.stands.front import FrontProcess

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.xdist_group("front")


@pytest.fixture(scope="module")
def runtime(front: FrontProcess) -> Iterator[Any]:
    """The real client, unmodified but for where it sends; this front asks for no signature."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", front.url)
        client = boto3.client(
            "sagemaker-runtime", region_name="eu-central-1", config=Config(signature_version=UNSIGNED)
        )
    yield client
    client.close()


def invoke(runtime: Any, body: bytes, **more: str) -> Any:
    return runtime.invoke_endpoint(EndpointName="dive-scoring", Body=body, **more)


def refused(runtime: Any, body: bytes, **more: str) -> Any:
    with pytest.raises(ClientError) as caught:
        invoke(runtime, body, **more)
    return caught.value.response


def test_ping_is_200_and_invocations_score(front: FrontProcess) -> None:
    assert httpx.get(f"{front.url}/ping").status_code == 200
    response = front.score(b"score=84.15")
    assert response.status_code == 200
    assert response.json()["prediction"] == 84
    assert response.headers["x-amzn-requestid"]
    assert "queue;dur=" in response.headers["server-timing"]
    assert "decode;dur=1.5" in response.headers["server-timing"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["-F", "video=@FILE"],
        ["-F", "whatever=@FILE;type=video/mp4"],
        ["--data-binary", "@FILE"],
        ["-d", "@FILE"],
        ["-T", "FILE"],
        ["-H", "Expect: 100-continue", "--data-binary", "@FILE"],
        ["-H", "Transfer-Encoding: chunked", "-T", "FILE"],
    ],
    ids=" ".join,
)
@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: apt-get install curl")
def test_every_way_curl_uploads_works(front: FrontProcess, tmp_path: "Path", arguments: list[str]) -> None:
    file = tmp_path / "dive.mp4"
    file.write_bytes(b"score=61.5 " + b"x" * 300_000)
    arguments = [argument.replace("FILE", str(file)) for argument in arguments]
    command = ["curl", "-sS", "--fail-with-body", *arguments, f"{front.url}/invocations"]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=60).stdout)
    assert answer["score"] == 61.5
    assert answer["model"]["bytes"] == file.stat().st_size


def test_the_models_own_errors_pass_with_their_status(front: FrontProcess) -> None:
    response = front.score(b"status=422 code=not_a_dive")
    assert response.status_code == 422
    assert response.json()["error"]["code"] == "not_a_dive"


@pytest.mark.parametrize("body", [b"raise", b"cuda"])
def test_torchserves_own_errors_become_one_that_says_what_happened(front: FrontProcess, body: bytes) -> None:
    response = front.score(body)
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "model_failed"


def test_a_body_over_the_limit_is_413_with_the_limit_before_and_while_it_streams(front: FrontProcess) -> None:
    for content in (b"x" * 1_000_001, iter([b"x" * 600_000] * 2)):
        response = httpx.post(f"{front.url}/invocations", content=content)
        assert response.status_code == 413
        assert response.json()["error"]["allowed"] == 1_000_000
    assert front.score(b"x" * 1_000_000).status_code == 200


def test_unknown_routes_and_methods_are_json_too(front: FrontProcess) -> None:
    assert httpx.get(f"{front.url}/models/dive").json()["error"]["code"] == "no_such_route"
    response = httpx.delete(f"{front.url}/invocations")
    assert response.status_code == 405
    assert "error" in response.json()


def test_boto3_gets_a_score_with_everything_the_service_model_names(runtime: Any) -> None:
    response = invoke(
        runtime,
        b"score=70.5",
        ContentType="video/mp4",
        CustomAttributes="camera=3m",
        InferenceId="heat-2 dive 4",
        SessionId="heat-2",
    )
    assert json.loads(response["Body"].read())["score"] == 70.5
    assert response["ContentType"] == "application/json"
    assert response["CustomAttributes"] == "camera=3m"
    assert response["InvokedProductionVariant"] in ("stable", "canary")
    assert len(response["ResponseMetadata"]["RequestId"]) == 36


def test_boto3_pins_a_variant_against_the_weights(runtime: Any) -> None:
    for _ in range(5):
        response = invoke(runtime, b"x", TargetVariant="canary")
        assert response["InvokedProductionVariant"] == "canary"
        assert json.loads(response["Body"].read())["model"]["version"] == "1.1.0"


def test_boto3_gets_a_model_error_with_the_original_and_pays_for_one_inference(
    runtime: Any, front: FrontProcess
) -> None:
    before = front.metric("springboard_attempts_total")
    response = refused(runtime, b"status=422 code=not_a_dive")
    assert response["Error"]["Code"] == "ModelError"
    assert response["OriginalStatusCode"] == 422
    assert json.loads(response["OriginalMessage"])["error"]["code"] == "not_a_dive"
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert response["LogStreamArn"] == f"request-id:{response['ResponseMetadata']['RequestId']}"
    assert front.metric("springboard_attempts_total") == before + 1


@pytest.mark.parametrize(
    ("body", "original", "code"),
    [
        (b"", 400, "empty_body"),
        (b'{"s3_uri": "s3://not-ours/x.mp4"}', 403, "bucket_not_allowed"),
        (b'{"s3_uri": 5}', 400, "invalid_request"),
        (b"raise", 502, "model_failed"),
    ],
)
def test_every_fault_of_video_or_address_is_a_model_error(
    runtime: Any, body: bytes, original: int, code: str
) -> None:
    response = refused(runtime, body)
    assert response["Error"]["Code"] == "ModelError"
    assert response["OriginalStatusCode"] == original
    assert json.loads(response["OriginalMessage"])["error"]["code"] == code


def test_headers_names_and_size_are_validation_errors(runtime: Any, front: FrontProcess) -> None:
    assert refused(runtime, b"x", TargetVariant="beta")["Error"] == {
        "Code": "ValidationError",
        "Message": "There is no variant beta; this endpoint has stable, canary.",
    }
    assert refused(runtime, b"x" * 1_000_001)["Error"]["Code"] == "ValidationError"
    with pytest.raises(ClientError, match="Endpoint other of account 000000000000 not found") as caught:
        runtime.invoke_endpoint(EndpointName="other", Body=b"x")
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    response = httpx.post(
        f"{front.url}/endpoints/dive-scoring/invocations",
        content=b"x",
        headers={"X-Amzn-SageMaker-Inference-Id": "x" * 65},
    )
    assert (response.status_code, response.headers["x-amzn-errortype"]) == (400, "ValidationError")
    assert "Inference-Id must have at most 64" in response.json()["Message"]


def test_the_endpoint_describes_itself(front: FrontProcess) -> None:
    state = front.state()
    assert state["status"] == "InService"
    stable, canary = state["variants"]
    assert (stable["release"], stable["share"], stable["workers"]["ready"]) == ("1.0.0", 0.9, 2)
    assert (canary["release"], canary["share"], canary["workers"]["ready"]) == ("1.1.0", 0.1, 1)
    assert stable["latency_seconds"].keys() == {"p50", "p90", "p99"}
    assert httpx.get(f"{front.url}/endpoints/other").status_code == 404


def test_metrics_tell_of_requests_stages_scores_and_workers(front: FrontProcess) -> None:
    front.score(b"score=33", X_Amzn_SageMaker_Target_Variant="stable")
    labels = {"variant": "stable", "release": "1.0.0"}
    assert front.metric("springboard_requests_total", status="200", endpoint="dive-scoring", **labels) >= 1
    assert front.metric("springboard_score_points_bucket", le="40.0", **labels) >= 1
    assert front.metric("springboard_stage_duration_seconds_count", stage="decode", **labels) >= 1
    assert front.metric("springboard_workers_ready", **labels) == 2
    assert front.metric("springboard_variant_weight", **labels) == 90
    assert front.metric("springboard_release_info", **labels) == 1
    assert front.metric("springboard_held_bytes") == 0
