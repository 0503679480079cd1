"""`springboard fleet` before moto's EC2 and S3, and fronts of this process."""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from springboard.cli.app import app
from springboard.client.fleet import Fleet, FleetAway, Instance
from springboard.client.fleet_table import drawn, watch
from springboard.client.source import Away
from springboard.system.ports import free_ports
from springboard.torchserve.management import Workers
from tests.stands.certificates import NAME, certificate
from tests.stands.cloud import ENVIRONMENT, REGION, Cloud, cloud, environment
from tests.stands.scoring import Scoring, scoring

NOBODY = f"127.0.0.1:{free_ports(1)[0]}"


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with cloud() as one:
        one.client("s3").create_bucket(Bucket="models")
        one.client("ec2").register_image(Name="a host's")
        yield one


@pytest.fixture(scope="module")
def model() -> Iterator[Scoring]:
    """A front of two variants, one of which has a worker that is ready."""
    with scoring() as one:
        yield one


@pytest.fixture
def hosts(aws: Cloud, model: Scoring) -> Iterator[Callable[..., str]]:
    """Start hosts that are asked at their name; they are gone after the test."""
    ec2, made = aws.client("ec2"), list[str]()
    image = ec2.describe_images(Owners=["self"])["Images"][0]["ImageId"]

    def start(name: str, zone: str = "a", role: str = "serving", **more: Any) -> str:
        tags = {"springboard:deployment": "pool", "springboard:role": role, "Name": name}
        (instance,) = ec2.run_instances(
            ImageId=image,
            MinCount=1,
            MaxCount=1,
            InstanceType="g4dn.xlarge",
            Placement={"AvailabilityZone": REGION + zone},
            TagSpecifications=[
                {"ResourceType": "instance", "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
            ],
            **more,
        )["Instances"]
        made.append(instance["InstanceId"])
        return made[-1]

    yield start
    ec2.terminate_instances(InstanceIds=made)


def fleet(aws: Cloud, *words: str, deployment: str = "pool", width: int = 250) -> Result:
    with environment(**aws.environment, COLUMNS=str(width)):
        found = ("--deployment", deployment, "--url", "http://{name}", "--seconds", "0.1")
        return CliRunner().invoke(app, ["fleet", *found, *words])


def told(aws: Cloud, *words: str) -> Any:
    done = fleet(aws, "--json", *words)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def ready(model: Scoring, *names: str) -> None:
    for lane in model.front.queue.lanes.values():
        lane.workers = Workers(frozenset({1} if lane.name in names else ()), 1, 1)


def test_each_host_is_a_row_whatever_it_answers(
    aws: Cloud, model: Scoring, hosts: Callable[..., str]
) -> None:
    ready(model, "stable", "canary")
    address = model.url.removeprefix("http://")
    serves = hosts(address, "b", InstanceMarketOptions={"MarketType": "spot"})
    silent, stopped = hosts(NOBODY), hosts("is-stopped", "c")
    hosts("not-ours", role="monitoring")
    aws.client("ec2").stop_instances(InstanceIds=[stopped])
    found = told(aws)
    assert [row["id"] for row in found["hosts"]] == [silent, serves, stopped], "by zone, and no other"
    first, second, third = found["hosts"]
    assert first["phase"] == "silent"
    assert f"no answer from http://{NOBODY}/endpoints/dive-scoring" in first["why"]
    assert (second["phase"], second["status"], second["why"]) == ("canary 10%", "InService", "")
    assert second["release"] == "1.0.0 90%, 1.1.0 10%"
    assert (second["ready"], second["workers"]) == (2, 2)
    assert (second["spot"], first["spot"]) == (True, False)
    assert (second["zone"], second["type"]) == (f"{REGION}b", "g4dn.xlarge")
    assert second["image"].startswith("ami-")
    assert second["rate"] >= 0
    assert 0 <= second["age_seconds"] < 600
    assert (third["phase"], third["release"], third["rate"]) == ("stopped", "", None)
    assert (found["channel"], found["told"]) == (None, [])


def test_the_table_names_what_is_wrong(aws: Cloud, model: Scoring, hosts: Callable[..., str]) -> None:
    ready(model)
    hosts(model.url.removeprefix("http://")), hosts(NOBODY)
    done = fleet(aws)
    assert done.exit_code == 0, done.output
    for words in (
        "g4dn.xlarge",
        "silent",
        "no answer from",
        "0/2",
        "OutOfService",
        "not asked yet",
        "no channel",
    ):
        assert words in done.stdout, done.stdout
    assert "2 hosts of dive-scoring" in done.stdout


def test_a_host_that_serves_otherwise_than_the_channel_says_differs(
    aws: Cloud, model: Scoring, hosts: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts(model.url.removeprefix("http://"))
    ready(model, "stable")
    monkeypatch.setattr(model.front.queue.lanes["canary"], "name", "careful")

    def channel(text: str) -> Any:
        aws.client("s3").put_object(Bucket="models", Key="channels/dive-scoring.json", Body=text.encode())
        found = told(aws, "--models", "s3://models")
        return found["channel"], found["hosts"][0]["phase"], found["told"]

    assert channel('{"release": "1.0.0"}') == ("1.0.0", "steady", [])
    assert channel('{"release": "1.2.0"}') == ("1.2.0", "differs", [])
    named, phase, why = channel("broken")
    assert (named, phase) == (None, "steady")
    assert "s3://models/channels/dive-scoring.json" in why[0]


def test_json_comes_a_line_a_look(
    aws: Cloud, hosts: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts(NOBODY)
    looks = iter([None, None, KeyboardInterrupt()])

    def sleep(_: float) -> None:
        if error := next(looks):
            raise error

    monkeypatch.setattr("springboard.cli.fleet.time.sleep", sleep)
    done = fleet(aws, "--json", "--watch")
    assert [len(json.loads(line)["hosts"]) for line in done.stdout.splitlines() if line[:1] == "{"] == [1, 1]


def test_without_hosts_there_is_an_empty_table(aws: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENT, "AWS_DEFAULT_REGION", "")  # boto3 reads that one alone
    done = fleet(aws, deployment="another")
    assert done.exit_code == 0
    assert "0 hosts of dive-scoring: none; no channel" in done.stdout


class Answers(BaseHTTPRequestHandler):
    """A host that nobody may look at, which says how it was called."""

    def do_GET(self) -> None:
        body = json.dumps({"error": {"message": f"not at {self.headers['Host']}"}}).encode()
        self.send_response(403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.mark.parametrize("named", [True, False])
def test_a_host_s_certificate_has_the_name_that_is_given(
    aws: Cloud, hosts: Callable[..., str], tmp_path: Path, named: bool
) -> None:
    certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            hosts(f"127.0.0.1:{server.server_port}")
            with environment(SSL_CERT_FILE=str(tmp_path / "ca.pem")):
                found = told(aws, "--url", "https://{name}", *(("--server-name", NAME) if named else ()))
        finally:
            server.shutdown()
            thread.join()
    (row,) = found["hosts"]
    assert row["phase"] == "silent"
    assert (f"403: not at {NAME}" if named else "certificate verify failed") in row["why"]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--url", "http://{address}"), 2, "may have {private}"),
        (("--url", "10.0.0.1"), 2, "is no address"),
    ],
)
def test_addresses_that_cannot_be_are_refused(
    aws: Cloud, words: tuple[str, ...], status: int, said: str
) -> None:
    done = fleet(aws, *words)
    assert done.exit_code == status
    assert said in done.stderr


def test_ec2_away_is_told_and_later_only_noted() -> None:
    with cloud() as gone:
        variables = gone.environment
    with environment(**variables):
        done = CliRunner().invoke(app, ["fleet"])
    assert done.exit_code == 1
    assert "EC2 does not say which hosts there are" in done.stderr
    assert "ec2:DescribeInstances" in done.stderr


METRICS = """
springboard_requests_total{{outcome="scored"}} {requests}
springboard_request_duration_seconds_bucket{{le="0.5"}} {half}
springboard_request_duration_seconds_bucket{{le="1.0"}} {requests}
springboard_request_duration_seconds_bucket{{le="+Inf"}} {requests}
springboard_gpu_utilization_ratio{{gpu="0"}} 0.5
springboard_gpu_utilization_ratio{{gpu="1"}} 1.0
"""


def serving(*answers: dict[str, Any]) -> Fleet:
    """Return a fleet of one host whose every look finds the next of these figures, or no figures."""
    pages = iter(answers)
    workers = {"ready": 1, "total": 1, "reason": ""}
    variant = {"name": "stable", "release": "[/red]", "weight": 1, "share": 1.0, "workers": workers}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/metrics":
            page = next(pages)
            return httpx.Response(200, text=METRICS.format(**page)) if page else httpx.Response(403)
        if request.url.path == "/ping":
            return httpx.Response(200)
        return httpx.Response(200, json={"status": "InService", "reason": "", "variants": [variant]})

    http = httpx.Client(transport=httpx.MockTransport(answer))
    one = Instance("i-1", "[bold]", "us-east-1a", "g5.xlarge", False, "ami-1", "running", 0.0, "10.0.0.1", "")
    return Fleet(lambda: [one], lambda: "", http, "dive-scoring", "http://{private}:8080")


def test_rate_p95_and_gpu_are_of_the_host_s_metrics() -> None:
    fleet = serving({"requests": 100, "half": 90}, {"requests": 200, "half": 180}, {})
    began = time.monotonic()
    fleet.look()
    (row,) = fleet.rows()
    assert (row.rate, row.gpu) == (None, 0.75)
    fleet.look()
    (row,) = fleet.rows()
    assert row.rate is not None
    assert row.rate >= 100 / (time.monotonic() - began)
    assert row.p95_seconds == pytest.approx(0.75)
    fleet.look()
    (row,) = fleet.rows()
    assert (row.phase, row.rate, row.gpu) == ("steady", None, None)
    assert "does not show its metrics to you" in row.why
    console = Console(width=250)
    with console.capture() as shown:
        console.print(drawn(fleet))
    for words in ("[bold]", "[/red]", "steady", "1/1"):
        assert words in shown.get()


def test_watching_draws_until_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet, looks = (
        serving({"requests": 1, "half": 1}, {"requests": 2, "half": 1}),
        iter([None, KeyboardInterrupt()]),
    )

    def sleep(_: float) -> None:
        if error := next(looks):
            raise error

    monkeypatch.setattr("springboard.client.fleet_table.time.sleep", sleep)
    shown = StringIO()
    watch(fleet, Console(width=100, force_terminal=True, file=shown), 2.0)
    assert shown.getvalue().count("1 host of dive-scoring: 1 InService") >= 2


def test_what_ec2_or_the_channel_does_not_say_any_more_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = serving({"requests": 1, "half": 1}, {"requests": 1, "half": 1})
    fleet.look()

    def away() -> Any:
        raise FleetAway("EC2 is away")

    def lost() -> Any:
        raise Away("S3 is away")

    fleet.listed, fleet.channel, fleet.wanted = away, lost, "1.0.0"
    monkeypatch.setattr("springboard.client.fleet._ANEW_SECONDS", 0.0)
    fleet.look()
    assert fleet.told == ["EC2 is away", "S3 is away"]
    assert [row.phase for row in fleet.rows()] == ["differs"], "what the channel said last"
