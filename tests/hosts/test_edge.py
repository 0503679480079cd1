"""The edge on a real host, before a real front: what passes, what does not, and with which words."""

import http.client
import json
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from playwright.sync_api import FilePayload

from tests.hosts.edge import MAX_BODY, Edge, running_edge, served
from tests.hosts.harness import Hosts, Node
from tests.stands.browser import chromium, tab
from tests.stands.certificates import pair
from tests.stands.waiting import wait_until


@pytest.fixture(scope="module")
def edge(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with running_edge(hosts, tmp_path_factory.mktemp("edge")) as edge:
        yield edge


def test_second_run_changes_nothing(edge: Edge) -> None:
    assert edge.plays["check"].count("changed") > 0
    assert edge.plays["first"].count("changed") > 0
    assert edge.plays["second"].count("changed") == 0, edge.plays["second"].output


def test_self_signed_certificate_is_told_loudly_every_time(edge: Edge) -> None:
    for play in edge.plays.values():
        assert "WARNING: edge serves with a SELF-SIGNED certificate" in play.output
    with edge.client() as client:  # it names the address that it was deployed to
        assert client.get("/ping").json() == {"status": "ready"}
        assert "strict-transport-security" not in client.get("/ping").headers


def test_a_person_scores_a_dive_through_the_edge(edge: Edge) -> None:
    with chromium() as browser, tab(browser, edge.url, ignore_https_errors=True) as one:
        page = one.open()
        page.fill("#token", edge.token)
        page.keyboard.press("Enter")
        page.wait_for_selector(".intake")
        one.choose(FilePayload(name="a.mp4", mimeType="video/mp4", buffer=b"score=77 " + b"x" * 800_000))
        page.wait_for_selector(".detail[data-state=scored]")
        assert one.shown == 77


def test_boto3_signatures_survive(edge: Edge) -> None:
    answer = edge.boto3().invoke_endpoint(
        EndpointName="dive-scoring",
        Body=b"score=77 " + b"x" * 300_000,
        ContentType="video/mp4",
        CustomAttributes="a=1,  b=2",
        TargetVariant="stable",
        InferenceId="mine 1",
    )
    assert json.loads(answer["Body"].read())["score"] == 77
    assert answer["CustomAttributes"] == "a=1,  b=2"
    assert answer["InvokedProductionVariant"] == "stable"
    with pytest.raises(ClientError) as caught:
        edge.boto3(secret="x" * 40).invoke_endpoint(EndpointName="dive-scoring", Body=b"x")
    assert caught.value.response["Error"]["Code"] == "AccessDeniedException"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ping", 200),
        ("/", 200),
        ("/page/settings", 200),
        ("/page/0000000000000000/score/main.js", 404),
        ("/status", 403),
        ("/docs", 200),
        ("/docs/static/swagger-ui-bundle.js", 200),
        ("/docs/static/swagger-ui.css", 200),
        ("/openapi.json", 200),
        ("/endpoints/dive-scoring", 200),
        ("/metrics", 403),
        ("/metrics/torchserve", 403),
        ("/%6detrics", 403),
        ("//metrics", 403),
        ("/docs/../metrics", 403),
        ("/docs/%2e%2e%2fmetrics", 403),
        ("/metrics/", 404),
        ("/stub_status", 404),
        ("/models", 404),
        ("/predictions/dive", 405),
        ("/pingpong", 404),
        ("/.git/config", 404),
    ],
)
def test_only_the_fronts_paths_pass(edge: Edge, path: str, status: int) -> None:
    trust = ssl.create_default_context(cafile=str(edge.pem))
    connection = http.client.HTTPSConnection(edge.node.address, context=trust, timeout=90)
    # Not httpx: it would tidy the path first.
    headers = {"Authorization": f"Bearer {edge.token}", "X-Forwarded-For": "127.0.0.1"}
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == status, body
    assert answer.getheader("Server") == "nginx"
    if status != 200:
        assert (
            json.loads(body)["error"]["code"]
            == {
                403: "not_authorized",
                404: "no_such_route",
                405: "method_not_allowed",
            }[status]
        )


def test_front_sees_who_calls_and_nobody_can_pretend(edge: Edge) -> None:
    with edge.client() as client:
        assert (
            client.get("/docs/nothing", headers={"X-Forwarded-For": "127.0.0.1"}).json()["error"]["code"]
            == "no_such_route"
        )
    # The front itself, asked as nginx would for a stranger, and for its own host.
    for forwarded, status in (("10.1.2.3", "403"), ("", "200")):
        header = f"-H 'X-Forwarded-For: {forwarded}'"
        command = f"curl -so /dev/null -w '%{{http_code}}' {header} http://127.0.0.1:8080/metrics"
        assert edge.node.sh(command) == status


def test_too_large_a_body_is_refused_in_the_fronts_words(edge: Edge) -> None:
    with edge.client() as client:
        answer = client.post("/invocations", content=b"x" * (MAX_BODY + 1))
        assert answer.status_code == 413
        error = answer.json()["error"]
        assert (error["code"], error["limit"], error["allowed"]) == (
            "body_too_large",
            "max_body_bytes",
            MAX_BODY,
        )
        assert "1,000,000" in error["message"]
        assert answer.headers["x-amzn-requestid"]
    with pytest.raises(ClientError, match=r"max_body_bytes is 1,000,000") as caught:
        edge.boto3().invoke_endpoint(EndpointName="dive-scoring", Body=b"x" * (MAX_BODY + 1))
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_a_stalled_upload_is_told_and_given_up(edge: Edge) -> None:
    plain = socket.create_connection((edge.node.address, 443), timeout=90)
    with ssl.create_default_context(cafile=str(edge.pem)).wrap_socket(
        plain, server_hostname=edge.node.address
    ) as slow:
        head = "POST /invocations HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 500000\r\n"
        slow.sendall(f"{head}Authorization: Bearer {edge.token}\r\n\r\nx".encode())
        assert b"upload_too_slow" in slow.makefile("rb").read()


@pytest.mark.parametrize(
    ("version", "spoken"),
    [
        (ssl.TLSVersion.TLSv1, False),
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_3, True),
    ],
)
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_only_current_tls_is_spoken(edge: Edge, version: ssl.TLSVersion, spoken: bool) -> None:
    context = ssl.create_default_context(cafile=str(edge.pem))
    context.set_ciphers("DEFAULT:@SECLEVEL=0")  # so that it is the host that refuses
    context.minimum_version = context.maximum_version = version
    with socket.create_connection((edge.node.address, 443), timeout=90) as plain:
        if spoken:
            context.wrap_socket(plain, server_hostname=edge.node.address).close()
        else:
            with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
                context.wrap_socket(plain, server_hostname=edge.node.address)


def test_plain_http_on_the_port_is_told_so(edge: Edge) -> None:
    answer = httpx.get(f"http://{edge.node.address}:443/ping")
    assert answer.status_code == 400
    assert "HTTPS" in answer.json()["error"]["message"]


def test_log_has_the_callers_request_id_and_no_secrets(edge: Edge) -> None:
    with edge.client() as client:
        answer = client.post(
            "/invocations?password=hunter2", content=b"score=60", headers={"X-Request-Id": "mine"}
        )
        assert answer.json()["score"] == 60
        refused = client.get("/nothing")
    logged = edge.log(answer.headers["x-amzn-requestid"])
    assert (logged["path"], logged["client_request_id"]) == ("/invocations", "mine")
    assert (logged["status"], logged["front_status"], logged["client"]) == (200, "200", edge.hosts.gateway)
    wait_until(lambda: any(logged["request_id"] in line for line in edge.front.log), "the front's line")
    assert edge.log(refused.headers["x-amzn-requestid"])["path"] == "/nothing"
    journal = edge.node.sh("journalctl -t springboard_edge -o cat")
    assert "hunter2" not in journal
    assert edge.token not in journal


def test_nothing_else_answers_from_outside(edge: Edge) -> None:
    listening = edge.node.sh("ss -HltnO | awk '{print $4}'").split()
    outside = {address.rpartition(":")[2] for address in listening if not address.startswith("127.0.0.")}
    assert outside == {"22", "443"}
    assert edge.node.sh("curl -s http://127.0.0.1:8081/stub_status").startswith("Active connections:")


def test_new_settings_take_effect_without_a_restart(edge: Edge, node: Callable[..., Node]) -> None:
    """Monitoring reads /metrics, a limit of requests: all while nginx runs on."""
    before = edge.node.sh("systemctl show -P MainPID nginx")
    more: dict[str, Any] = {
        "edge_monitoring_cidrs": [f"{edge.hosts.gateway}/32"],
        "edge_requests_per_second": 2,
    }
    play = edge.play(**more)
    assert play.ok, play.output
    assert edge.node.sh("systemctl show -P MainPID nginx") == before
    ask = f"curl -sk -o /dev/null -w '%{{http_code}}' https://{edge.node.address}"
    assert node("stranger").sh(f"{ask}/metrics") == "403"
    with edge.client() as client:
        assert "springboard_requests_total" in client.get("/metrics").text
        assert client.get("/metrics/torchserve").status_code == 200
        assert client.post("/invocations", content=b"x" * 900_000).status_code == 200
        answers = [client.get("/endpoints/dive-scoring") for _ in range(20)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert refused[0].headers["x-amzn-errortype"] == "ThrottlingException"
    assert "2 a second" in refused[0].json()["Message"]


def test_given_certificate_is_served(edge: Edge, tmp_path: Path) -> None:
    pem, key = pair(tmp_path, "dives.example", edge.node.address, days=10)
    given: dict[str, Any] = {"edge_certificate": str(pem), "edge_certificate_key": str(key)}
    play = edge.play(**given)
    assert play.ok, play.output
    wait_until(lambda: served(edge) == pem.read_text().strip(), "the given certificate")
    assert "SELF-SIGNED" not in play.output
    assert "is valid only until" in play.output  # 10 days are few
    assert edge.node.sh("stat -c '%U %a' /etc/nginx/springboard/given.key") == "root 600\n"
    trust = ssl.create_default_context(cafile=str(pem))
    answer = httpx.get(f"{edge.url}/ping", verify=trust)
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert edge.play(**given).count("changed") == 0
    # The same pair, as certbot would have put it there.
    given = {
        name: f"/etc/nginx/springboard/given.{end}" for name, end in zip(given, ("pem", "key"), strict=True)
    }
    play = edge.play(**given, edge_certificate_on_host=True)
    assert play.ok, play.output
    assert served(edge) == pem.read_text().strip()
    # Another one, which nginx was not told of.
    for file, path in zip(pair(tmp_path, "renewed", edge.node.address), given.values(), strict=True):
        edge.node.run("cp", "/dev/stdin", path, input=file.read_text())
    assert served(edge) == pem.read_text().strip()
    renewed = (tmp_path / "renewed.pem").read_text().strip()
    for changed in (1, 0):
        play = edge.play(**given, edge_certificate_on_host=True)
        assert play.count("changed") == changed, play.output
        wait_until(lambda: served(edge) == renewed, "the renewed certificate")


def test_certificate_that_is_no_good_is_refused_before_it_lands(edge: Edge, tmp_path: Path) -> None:
    before = served(edge)
    pem, key = pair(tmp_path, "ended", edge.node.address, days=-1)
    other, _ = pair(tmp_path, "other", edge.node.address)
    for certificate, why in ((pem, "is valid from"), (other, "is not the certificate of the key")):
        play = edge.play(edge_certificate=str(certificate), edge_certificate_key=str(key))
        assert not play.ok
        assert why in " ".join(play.output.split())
    play = edge.play(edge_certificate=str(pem))
    assert "Give both edge_certificate and edge_certificate_key" in " ".join(play.output.split())
    edge.node.sh("systemctl reload nginx")
    assert served(edge) == before


def test_front_that_does_not_answer_fails_the_play_and_is_told_to_callers(edge: Edge) -> None:
    play = edge.play(edge_front_address="127.0.0.1:9")
    assert not play.ok
    assert "the front should listen on 127.0.0.1:9" in " ".join(play.output.split())
    with edge.client() as client:
        answer = client.get("/ping")
    assert answer.status_code == 502
    assert answer.json()["error"]["code"] == "front_unreachable"
    with pytest.raises(ClientError) as caught:
        edge.boto3().invoke_endpoint(EndpointName="dive-scoring", Body=b"x")
    assert caught.value.response["Error"]["Code"] == "ServiceUnavailable"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert edge.play().ok


def test_edge_steps_back_for_a_load_balancer(edge: Edge) -> None:
    play = edge.play(edge_enabled=False)
    assert play.ok, play.output
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((edge.node.address, 443), timeout=90)
    assert edge.play(edge_enabled=False).count("changed") == 0
