"""Who may call: the real boto3 signs, and everything forged is refused alike."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import ClientError

from springboard.auth import keys
from springboard.client.score import Signed
from tests.stands.front import SPRINGBOARD, FrontProcess
from tests.stands.waiting import wait_until

pytestmark = pytest.mark.xdist_group("front")


@dataclass
class Guarded:
    """A front that wants credentials, and the file that holds them."""

    front: FrontProcess
    file: Path
    key: keys.AccessKey
    token: str

    @property
    def invocations(self) -> str:
        return f"{self.front.url}/endpoints/dive-scoring/invocations"


@pytest.fixture(scope="module")
def guarded(endpoint_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    key, token = keys.create_access_key(file, "app"), keys.create_token(file, "ci")
    options: list[str | Path] = [
        "--auth",
        "sigv4",
        "--auth",
        "bearer",
        "--keys-file",
        file,
        "--metrics",
        "callers",
    ]
    with FrontProcess("--endpoint-file", endpoint_file, *options) as front:
        yield Guarded(front.wait_ready(), file, key, token)


def client(guarded: Guarded, secret: str | None = None, region: str = "eu-central-1") -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", guarded.front.url)
        return boto3.client(
            "sagemaker-runtime",
            region_name=region,
            aws_access_key_id=guarded.key.access_key_id,
            aws_secret_access_key=secret or guarded.key.secret_access_key,
        )


def code_of(response: httpx.Response) -> str:
    assert response.status_code == 403
    assert "credentials, signature or date" in response.json()["Message"]
    return response.headers["x-amzn-errortype"]


@pytest.mark.parametrize("region", ["eu-central-1", "us-west-2"])
def test_unmodified_boto3_is_let_in(guarded: Guarded, region: str) -> None:
    # 300 kB: above what is hashed on the event loop.
    for body in (b"score=77", b"score=77 " + b"x" * 300_000):
        response = client(guarded, region=region).invoke_endpoint(
            EndpointName="dive-scoring", Body=body, CustomAttributes="a=1,  b=2", TargetVariant="stable"
        )
        assert json.loads(response["Body"].read())["score"] == 77


def test_a_wrong_secret_is_refused(guarded: Guarded) -> None:
    with pytest.raises(ClientError) as caught:
        client(guarded, secret="x" * 40).invoke_endpoint(EndpointName="dive-scoring", Body=b"x")
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_body_changed_on_the_way_is_refused(guarded: Guarded) -> None:
    runtime = client(guarded)

    def tamper(request: AWSPreparedRequest, **_: Any) -> None:
        request.body = b"y"

    runtime.meta.events.register("before-send.sagemaker-runtime", tamper)
    with pytest.raises(ClientError, match="not authorized"):
        runtime.invoke_endpoint(EndpointName="dive-scoring", Body=b"x")


def test_a_changed_header_path_or_hash_is_refused(guarded: Guarded) -> None:
    signer = Signed(
        ReadOnlyCredentials(guarded.key.access_key_id, guarded.key.secret_access_key, None), "us-east-1"
    )
    request = httpx.Request("POST", guarded.invocations, content=b"x")
    (signed,) = signer.auth_flow(request)
    good = dict(signed.headers)
    assert httpx.post(guarded.invocations, content=b"x", headers=good).status_code == 200
    late = (datetime.now(UTC) + timedelta(seconds=1)).strftime("%Y%m%dT%H%M%SZ")
    for change in (
        {"x-amz-date": late},
        {"authorization": good["authorization"].replace("us-east", "us-west")},
    ):
        assert code_of(httpx.post(guarded.invocations, content=b"x", headers={**good, **change}))
    # The signature covers the path too.
    assert httpx.post(f"{guarded.front.url}/invocations", content=b"x", headers=good).status_code == 403


def test_a_signature_that_leaves_the_body_out_is_refused(guarded: Guarded) -> None:
    credentials = ReadOnlyCredentials(guarded.key.access_key_id, guarded.key.secret_access_key, None)
    host = guarded.front.url.removeprefix("http://")
    request = AWSRequest(method="POST", url=guarded.invocations, data=b"x", headers={"Host": host})
    request.context["payload_signing_enabled"] = False
    SigV4Auth(credentials, "sagemaker", "us-east-1").add_auth(request)
    assert request.headers["X-Amz-Content-SHA256"] == "UNSIGNED-PAYLOAD"
    assert code_of(httpx.post(guarded.invocations, content=b"x", headers=dict(request.headers.items())))


def test_an_old_signature_is_refused(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    old = datetime.now(UTC) - timedelta(minutes=6)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda *_: old.replace(tzinfo=None))
    with pytest.raises(ClientError, match="not authorized"):
        client(guarded).invoke_endpoint(EndpointName="dive-scoring", Body=b"x")


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", "Basic eDp5", "AWS4-HMAC-SHA256 nonsense", "Bearer \xff"],
)
def test_every_other_credential_is_refused_in_the_same_words(guarded: Guarded, authorization: str) -> None:
    headers = {b"Authorization": authorization.encode("latin-1")} if authorization else {}
    assert code_of(httpx.post(guarded.invocations, content=b"x", headers=headers)) == "AccessDeniedException"
    assert httpx.get(f"{guarded.front.url}/endpoints/dive-scoring", headers=headers).status_code == 403


def test_a_token_is_let_in_until_it_is_revoked(guarded: Guarded) -> None:
    def ask(token: str) -> int:
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.post(f"{guarded.front.url}/invocations", content=b"x", headers=headers).status_code

    assert ask(guarded.token) == 200
    create: list[str | Path] = [
        SPRINGBOARD,
        "keys",
        "create",
        "--bearer",
        "guest",
        "--keys-file",
        guarded.file,
    ]
    shown = subprocess.run(create, check=True, capture_output=True, text=True).stdout
    guest = shown.strip().removeprefix("SPRINGBOARD_TOKEN=")
    wait_until(lambda: ask(guest) == 200, "the server to take over the new token")
    subprocess.run([*create[:2], "revoke", "guest", "--keys-file", guarded.file], check=True)
    wait_until(lambda: ask(guest) == 403, "the server to forget the token")
    assert ask(guarded.token) == 200


def test_ping_is_open_and_metrics_have_their_own_rule(guarded: Guarded) -> None:
    url = guarded.front.url
    assert httpx.get(f"{url}/ping").status_code == 200
    assert httpx.get(f"{url}/metrics").status_code == 200, "from this machine"
    rebound = {"Host": "page.example"}  # by a page whose name resolves to this machine
    assert httpx.get(f"{url}/metrics", headers=rebound).status_code == 403
    headers = {"X-Forwarded-For": "10.1.2.3"}  # as the edge tells of someone else
    assert httpx.get(f"{url}/metrics", headers=headers).status_code == 403
    assert httpx.get(f"{url}/metrics/torchserve", headers=headers).status_code == 403
    headers["Authorization"] = f"Bearer {guarded.token}"
    assert "springboard_ready 1.0" in httpx.get(f"{url}/metrics", headers=headers).text


def test_no_authentication_is_refused_off_loopback_unless_forced(endpoint_file: Path) -> None:
    command: list[str | Path] = [
        SPRINGBOARD,
        "serve",
        "--endpoint-file",
        endpoint_file,
        "--host",
        "0.0.0.0",
        "--port",
        "0",
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2
    assert "--auth" in run.stderr
    with FrontProcess("--endpoint-file", endpoint_file, "--host", "0.0.0.0", "--insecure") as front:
        front.url = front.url.replace("0.0.0.0", "127.0.0.1")
        front.wait_ready()
        assert front.score(b"x", Host="elsewhere.example").status_code == 200, "it may be known by any name"


def test_without_authentication_loopback_answers_its_own_names_and_those_allowed(endpoint_file: Path) -> None:
    with FrontProcess("--endpoint-file", endpoint_file, "--allow-host", "dives.internal") as front:
        front.wait_ready()
        assert front.score(b"x", Host="dives.internal").status_code == 200
        refused = front.score(b"x", Host="rebound.example")
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "foreign_request")
        assert front.score(b"x", Origin="https://pages.example").status_code == 403
        wait_until(lambda: any("/invocations 403" in line for line in list(front.log)), "its line in the log")
