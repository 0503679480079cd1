"""`springboard agent`, and `springboard serve --control-documents` beside it."""

import os
import pwd
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import typer
import yaml
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client
from typer.testing import CliRunner

from springboard.auth.check import Auth, MetricsRule, Mode
from springboard.auth.keys import Keys
from springboard.cli.app import app
from springboard.cli.plane import routes
from springboard.control import hosted, hosted_jobs
from springboard.control.alarms import Prometheus
from springboard.control.documents import Documents
from springboard.control.fleet import FleetAgent
from springboard.control.further import Agents, FurtherAgent
from springboard.control.hosted import HostAgent, OnHost
from springboard.control.hosted_jobs import HostTransformer
from springboard.control.lent import AsUser
from springboard.control.store import DocumentStore, Folder, Prefix
from springboard.endpoint.document import Endpoint
from springboard.front.front import Front
from springboard.front.routes import create_app
from springboard.jobs.opening import worker_token
from springboard.system import logs
from tests.stands.objects import Objects
from tests.stands.served import served
from tests.unit.control.conftest import ADMIN, Plane
from tests.unit.control.hosts import IDENTITY
from tests.unit.control.test_transforms import asked

CONTAINER = {"ModelDataUrl": "s3://models/releases/dive/1.0.0/"}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's own folder, where the worker's token is."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))


@pytest.fixture
def agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[OnHost]:
    """Those that would work, on a host that is configured."""
    found: list[OnHost] = []
    monkeypatch.setattr(hosted, "work", found.append)
    monkeypatch.setattr(logs, "configure", lambda as_json: None)
    monkeypatch.setattr(os, "setgroups", lambda _: None)
    monkeypatch.setenv("SPRINGBOARD_ROOT", str(tmp_path))
    path = tmp_path / "etc/springboard/host.yml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump({"models": "s3://models", "worker": {"runtime": "/runtime"}}))
    return found


def test_an_agent_works_on_its_hosts_documents(tmp_path: Path, agents: list[OnHost]) -> None:
    user = pwd.getpwuid(os.geteuid()).pw_name
    kinds: list[type[DocumentStore]] = []
    for words in ([str(tmp_path)], [str(tmp_path), "--user", user], ["s3://documents/gpu1"]):
        done = CliRunner().invoke(app, ["agent", "--slot", "0", "--documents", *words])
        assert done.exit_code == 0, done.output
        kinds.append(type(agents[-1].store))
    assert kinds == [Folder, AsUser, Prefix]
    assert {one.place.root for one in agents} == {tmp_path}
    assert agents[-1].look_seconds > agents[0].look_seconds  # S3 counts requests
    assert agents[-1].prometheus is None
    words = [str(tmp_path), "--prometheus", "http://10.0.0.9:9090", "--slot", "3"]
    assert CliRunner().invoke(app, ["agent", "--documents", *words]).exit_code == 0
    assert agents[-1].prometheus == Prometheus("http://10.0.0.9:9090")
    assert [(type(one), one.place.slot) for one in agents[-2:]] == [(HostAgent, 0), (FurtherAgent, 3)]


def test_each_endpoint_has_an_agent_of_its_own(
    tmp_path: Path, agents: list[OnHost], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Agents] = []
    monkeypatch.setattr(Agents, "work", lambda one, _: found.append(one))
    words = ["--documents", str(tmp_path), "--prometheus", "http://10.0.0.9:9090", "--log-json"]
    done = CliRunner().invoke(app, ["agent", *words])
    assert done.exit_code == 0, done.output
    (one,) = found
    assert one._command == [sys.executable, "-m", "springboard", "agent", *words, "--slot"]
    done = CliRunner().invoke(app, [*one._command[3:], "1"])
    assert done.exit_code == 0, done.output
    assert [type(one) for one in agents] == [FurtherAgent]


def test_an_agent_of_a_fleet_asks_whether_it_has_the_lease(agents: list[OnHost]) -> None:
    done = CliRunner().invoke(app, ["agent", "--documents", "s3://models/control", "--fleet"])
    assert done.exit_code == 0, done.output
    (agent,) = agents
    assert isinstance(agent, FleetAgent)
    assert agent.ask == agent.lease.ask


def test_an_agent_that_cannot_work_says_why(tmp_path: Path, agents: list[OnHost]) -> None:
    for words, said in (
        ((str(tmp_path), "--user", "nobody-of-ours"), "--user: there is no user nobody-of-ours"),
        (("s3://",), "the registry should look like s3://my-bucket"),
    ):
        done = CliRunner().invoke(app, ["agent", "--documents", *words])
        assert (done.exit_code, said in done.stderr) == (2, True), done.output
    (tmp_path / "etc/springboard/host.yml").unlink()
    done = CliRunner().invoke(app, ["agent", "--documents", str(tmp_path)])
    assert (done.exit_code, "run playbooks/configure.yml" in done.stderr) == (2, True), done.output
    assert agents == []


@contextmanager
def host(
    place: str, watched: bool = False, fleet: str = "", endpoint: Endpoint | None = None
) -> Iterator[Any]:
    """Yield boto3 for a host's front with a control plane, whose alarms are `watched`."""
    keys = Auth(frozenset({Mode.SIGV4}), Keys(access_keys=(ADMIN,)))
    front = Front(endpoint or Endpoint(variants=()), keys, httpx.AsyncClient())
    application = create_app(front, MetricsRule.OPEN)
    add = routes(
        place,
        Path("/nowhere/endpoint.yml"),
        called="eu-west-1:123456789012",
        registry="s3://models",
        watched=watched,
        fleet=fleet,
    )
    add(application, front, partial(create_app, metrics_rule=MetricsRule.OPEN))
    with served(application) as port:
        yield Plane(f"http://127.0.0.1:{port}", Folder(Path("/nowhere"))).client()


def test_a_hosts_front_writes_documents_and_has_ten_endpoints(tmp_path: Path) -> None:
    with host(str(tmp_path)) as sagemaker:
        sagemaker.create_model(ModelName="dive", PrimaryContainer=CONTAINER)
        variant = {"VariantName": "AllTraffic", "ModelName": "dive"}
        sagemaker.create_endpoint_config(EndpointConfigName="dive", ProductionVariants=[variant])
        jobs = {"OutputConfig": {"S3OutputPath": "s3://scores/out"}}
        sagemaker.create_endpoint_config(
            EndpointConfigName="jobs", ProductionVariants=[variant], AsyncInferenceConfig=jobs
        )
        sagemaker.create_endpoint(EndpointName="dives-0", EndpointConfigName="jobs")
        with pytest.raises(ClientError, match="AsyncInferenceConfig is the first endpoint's of a host"):
            sagemaker.create_endpoint(EndpointName="dives-1", EndpointConfigName="jobs")
        for number in range(1, 10):
            sagemaker.create_endpoint(EndpointName=f"dives-{number}", EndpointConfigName="dive")
        with pytest.raises(ClientError, match="'Number of endpoints on this server' is 10, with current"):
            sagemaker.create_endpoint(EndpointName="others", EndpointConfigName="dive")
    assert [one["slot"] for one in Folder(tmp_path).every("endpoint")] == list(range(10))


@pytest.mark.parametrize(
    ("watched", "name", "said"),
    [
        (False, "SpringboardCanaryFails", "springboard_control_prometheus of a host"),
        (True, "Mine", "Mine is none of them; there are .*SpringboardCanaryFails"),
        (True, "SpringboardCanaryFails", ""),
    ],
)
def test_a_hosts_front_takes_names_of_alerts_where_its_agent_has_a_prometheus(
    tmp_path: Path, watched: bool, name: str, said: str
) -> None:
    deployment = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": name}]}}
    with host(str(tmp_path), watched) as sagemaker:
        sagemaker.create_model(ModelName="dive", PrimaryContainer=CONTAINER)
        variant = {"VariantName": "AllTraffic", "ModelName": "dive"}
        sagemaker.create_endpoint_config(EndpointConfigName="dive", ProductionVariants=[variant])
        given = {"EndpointName": "dives", "EndpointConfigName": "dive", "DeploymentConfig": deployment}
        with pytest.raises(ClientError, match=said) if said else nullcontext():
            sagemaker.create_endpoint(**given)
    assert len(Folder(tmp_path).every("endpoint")) == (not said)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, ""),
        ({"ModelName": "next"}, "by what serves there, 1.0.0, and model next is 1.1.0. Have an endpoint"),
        ({"ModelName": "elses"}, "s3://elses/releases/dive/1.0.0/ is no release of this host's registry"),
        ({"MaxPayloadInMB": 1}, "MaxPayloadInMB is given; the host's own limits hold"),
        ({"Environment": {"SPRINGBOARD_PRECISION": "fp16"}}, "SPRINGBOARD_PRECISION is given"),
        ({"uri": "s3://other/in/"}, "This server may not read bucket 'other'"),
    ],
)
def test_a_hosts_transform_jobs_are_of_what_serves_there(
    tmp_path: Path, more: dict[str, Any], said: str
) -> None:
    documents = Documents(Folder(tmp_path), IDENTITY)
    for name, data in (
        ("dive", "s3://models/releases/dive/1.0.0/"),
        ("next", "s3://models/releases/dive/1.1.0/"),
        ("elses", "s3://elses/releases/dive/1.0.0/"),
    ):
        documents.operations["CreateModel"]({"ModelName": name, "PrimaryContainer": {"ModelDataUrl": data}})
    variant = {"name": "stable", "release": "1.0.0", "address": "http://127.0.0.1:9"}
    served = Endpoint.model_validate({"variants": [variant], "allowed_buckets": ["dives"]})
    with host(str(tmp_path), endpoint=served) as sagemaker:
        with pytest.raises(ClientError, match=re.escape(said)) if said else nullcontext():
            sagemaker.create_transform_job(**asked(**more))
        assert len(sagemaker.list_transform_jobs()["TransformJobSummaries"]) == (not said)


def test_jobs_of_documents_that_hosts_may_share_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Prefix("s3://documents/gpu1", cast("S3Client", Objects()))
    monkeypatch.setattr("springboard.cli.plane.store_of", lambda _: store)
    unknown = pytest.raises(ClientError, match="StopTransformJob is not offered")
    with host("s3://documents/gpu1") as sagemaker, unknown:
        sagemaker.stop_transform_job(TransformJobName="heat")


def test_a_host_does_its_jobs_by_its_own_front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "configure", lambda as_json: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    (tmp_path / "endpoint.yml").write_text(yaml.safe_dump({"variants": [], "allowed_buckets": ["dives"]}))
    made: list[HostTransformer] = []
    monkeypatch.setattr(hosted_jobs, "work", lambda folder, own, make, ask: made.append(make("heat")))
    options = {
        "--documents": str(tmp_path),
        "--registry": "s3://models",
        "--endpoint-file": str(tmp_path / "endpoint.yml"),
    }
    words = [word for option in options.items() for word in option]
    done = CliRunner().invoke(app, ["transforms", *words])
    assert done.exit_code == 0, done.output
    (job,) = made
    assert (job.name, job.registry, job.front) == ("heat", "s3://models", "http://127.0.0.1:8080")
    assert (job.base.allowed_buckets, job.token) == (("dives",), worker_token())
    assert job.place.own == tmp_path / "state" / "transforms"


def test_a_fleets_front_has_the_endpoint_that_its_hosts_follow(tmp_path: Path) -> None:
    with host(str(tmp_path), fleet="scores") as sagemaker:
        sagemaker.create_model(ModelName="dive", PrimaryContainer=CONTAINER)
        variant = {"VariantName": "AllTraffic", "ModelName": "dive"}
        sagemaker.create_endpoint_config(EndpointConfigName="dive", ProductionVariants=[variant])
        with pytest.raises(ClientError, match="The hosts of this fleet serve one endpoint, scores"):
            sagemaker.create_endpoint(EndpointName="dives", EndpointConfigName="dive")
        sagemaker.create_endpoint(EndpointName="scores", EndpointConfigName="dive")


def test_documents_that_are_away_are_no_fault_of_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = Objects()
    store = Prefix("s3://documents/gpu1", cast("S3Client", objects))
    monkeypatch.setattr("springboard.cli.plane.store_of", lambda _: store)
    with host("s3://documents/gpu1") as sagemaker:
        sagemaker.create_model(ModelName="dive", PrimaryContainer=CONTAINER)
        assert list(objects.held) == ["gpu1/model/dive.json"]
        objects.away = True
        with pytest.raises(ClientError, match="S3 could not be reached") as error:
            sagemaker.list_models()
    said = error.value.response
    assert said["ResponseMetadata"]["HTTPStatusCode"] == 503
    assert said["Error"]["Code"] == "ServiceUnavailable"


def test_arns_of_nobodys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(typer.Exit):
        routes(str(tmp_path), tmp_path / "endpoint.yml", called="mine", registry="s3://models")
