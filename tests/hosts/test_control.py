"""SageMaker's control plane on a host, by boto3: the front takes the calls, root follows the documents."""

import itertools
import json
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from fastapi import FastAPI

from springboard.releases.registry import Registry
from tests.hosts.calling import PAUSE_S
from tests.hosts.harness import Hosts, Node
from tests.hosts.plane import AGENT, Plane, canary
from tests.hosts.served import Caller, Models, settings
from tests.stands.release import publish
from tests.stands.served import served
from tests.stands.waiting import at_work, wait_until

REGION, ACCOUNT = "eu-west-1", "123456789012"
NAME, OTHERS = "dive-scoring", "others"
CONTROL = ("--control", "/var/lib/springboard-control")
ON: dict[str, Any] = {"springboard_control": True, "springboard_control_as": f"{REGION}:{ACCOUNT}"}
ALARM = "SpringboardAvailabilityBurnsFast"
WATCHED = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": ALARM}]}}
ASYNC = {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://scores/control"}}}
VIDEOS = 40
TRANSFORMS = "/var/lib/springboard-jobs/transforms"
QUEUES = "/var/lib/springboard-jobs/endpoints"


@contextmanager
def prometheus(address: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield a Prometheus' URL, and the alerts that it tells of."""
    app, alerts = FastAPI(), list[dict[str, Any]]()

    @app.get("/api/v1/alerts")
    def told() -> dict[str, Any]:
        return {"status": "success", "data": {"alerts": alerts}}

    with served(app, address) as port:
        yield f"http://{address}:{port}", alerts


class HostPlane(Plane):
    """A host's, from elsewhere."""

    def __init__(self, node: Node, url: str, folder: Path) -> None:
        self.node, self._url, self._authority = node, url, folder / "edge.pem"
        self._authority.write_text(ssl.get_server_certificate((node.address, 443)))
        made = node.run("springboard", "keys", "create", "--admin", "ops")
        self._key = dict(line.split("=", 1) for line in made.split() if line.startswith("AWS_"))
        self._numbers = itertools.count()
        super().__init__(self._client("sagemaker"), NAME)
        self.runtime = self._client("sagemaker-runtime")
        wait_until(self._knows_us, "the front to know the key")

    def _knows_us(self) -> bool:
        try:
            return bool(self.sagemaker.list_endpoints()["Endpoints"])
        except (BotoCoreError, ClientError):
            return False

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self._url,
            region_name=REGION,
            aws_access_key_id=self._key["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self._key["AWS_SECRET_ACCESS_KEY"],
            verify=str(self._authority),
            config=Config(retries={"total_max_attempts": 1}),
        )

    def baking(self) -> bool:
        pending = self.told().get("PendingDeploymentSummary", {}).get("ProductionVariants", [])
        return any(one["VariantStatus"][0]["Status"] == "Baking" for one in pending)

    def kill_agent(self, status: str, of: Plane | None = None) -> None:
        """Kill the agents once an endpoint is in that state, which stays until systemd starts others."""
        told = (of or self).told
        wait_until(lambda: told()["EndpointStatus"] == status, status, 180)
        self.node.run("systemctl", "kill", "-s", "KILL", AGENT)
        assert told()["EndpointStatus"] == status

    def starting(self) -> bool:
        return bool(self.node.sh("systemctl list-units --plain --no-legend 'torchserve@*'"))

    def serves(self, config: str) -> dict[str, Any]:
        """As its own, and assert that all of the host says so."""
        told = super().serves(config)
        version = ".".join(config.split("-")[1:])
        state = json.loads(self.node.run("cat", "/var/lib/springboard/deployment.json"))
        assert (state["promoted"]["version"], state["deploying"]) == (version, None)
        assert self.node.run("springboard", "deploy", "--check").split() == ["unchanged"]
        return told

    @contextmanager
    def load(self, *names: str) -> Iterator[None]:
        """Call from two clients an endpoint, and see in the end that none of their requests has failed.

        Nor was any answered by what serves at another one: those beside the first have releases 6.
        """
        versions, failures = {name: list[str]() for name in names or (NAME,)}, list[str]()

        def calling(name: str) -> Callable[[], None]:
            runtime = self._client("sagemaker-runtime")

            def call() -> None:
                body = b"sleep=0.05 score=50 number=%d" % next(self._numbers)
                try:
                    answer = runtime.invoke_endpoint(EndpointName=name, Body=body)["Body"].read()
                except (BotoCoreError, ClientError) as error:
                    failures.append(f"{name}: {error}")
                else:
                    versions[name].append(json.loads(answer)["model"]["version"])

            return call

        with at_work(*[calling(name) for name in versions for _ in range(2)], pause=PAUSE_S):
            yield
        assert failures == []
        for name, answered in versions.items():
            assert len(answered) > 20, "the load itself"
            assert {one.startswith("6.") for one in answered} == {name == OTHERS}, set(answered)


def test_an_endpoint_by_sagemakers_api_lives_on_a_host(
    serving: Callable[[str], tuple[Node, Caller]], hosts: Hosts, models: Models, tmp_path: Path
) -> None:
    with prometheus(hosts.gateway) as (url, alerts):
        node, caller = serving("control")
        given: dict[str, Any] = {"springboard": [node], **settings(models)}
        on = {**given, **ON, "springboard_control_prometheus": url}
        play = hosts.play("configure.yml", **on)
        assert play.ok, play.output
        again = hosts.play("configure.yml", **on)
        assert (again.ok, again.count("changed")) == (True, 0), again.output
        registry = Registry("s3://models", models.client)
        good = ("5.0.0", "5.1.0", "6.0.0", "6.1.0")
        for version, fault in (*((one, "") for one in good), ("5.2.0", "raises")):
            publish(registry, tmp_path, version, fault=fault)
        plane = HostPlane(node, caller.url, tmp_path)

        as_the_playbooks_left_it(plane, caller)
        jobs_by_the_document(plane, models)
        transformed(plane, models)
        others = another_beside(plane)
        with plane.load(NAME, OTHERS):
            updated_beside(plane, others)
            updates(plane, alerts)
            play = hosts.play("deploy.yml", release="5.0.0", **on)
            assert play.ok, play.output
            wait_until(lambda: plane.told()["EndpointConfigName"] == "dive-5-0-0", "what Ansible did")
            plane.serves("dive-5-0-0")
        from_a_shell_over_a_reboot(plane, caller)
        play = hosts.play("deploy.yml", release="5.0.0", **given)
        assert "Delete them before that is switched" in play.output
        deleted_beside(plane, others)
        deleted_and_created_anew(plane)

        play = hosts.play("deploy.yml", release="5.0.0", **given)
        assert play.ok, play.output
        assert not node.succeeds("systemctl", "cat", AGENT)


def as_the_playbooks_left_it(plane: HostPlane, caller: Caller) -> None:
    plane.serves("dive-1-0-0")
    assert caller.score()["model"]["version"] == "1.0.0"
    data = {"ModelDataUrl": "s3://dives/model.tar.gz"}
    with pytest.raises(ClientError, match="A host runs what is published in its registry"):
        plane.sagemaker.create_model(ModelName="any", PrimaryContainer=data)


def jobs_by_the_document(plane: HostPlane, models: Models) -> None:
    given = {"EndpointName": NAME, "InputLocation": "s3://dives/good.mp4"}
    with pytest.raises(ClientError, match="This server has no asynchronous inference"):
        plane.runtime.invoke_endpoint_async(**given)
    plane.kill_agent("InService")
    config = plane.make("5.0.0", **ASYNC)
    plane.update("5.0.0")
    assert plane.serves(config)["AsyncInferenceConfig"] == ASYNC["AsyncInferenceConfig"]
    where = plane.runtime.invoke_endpoint_async(**given)["OutputLocation"]
    bucket, _, key = where.removeprefix("s3://").partition("/")
    wait_until(lambda: written(models, bucket, key), where, 120)


def written(models: Models, bucket: str, key: str) -> bool:
    return any(one["Key"] == key for one in models.client.list_objects_v2(Bucket=bucket).get("Contents", []))


def transformed(plane: HostPlane, models: Models) -> None:
    listed: list[Any] = [{"prefix": "s3://dives/heat/"}]  # hosts may not list this bucket
    for number in range(VIDEOS):
        body = b"sleep=0.2 score=50 number=%d" % number
        models.client.put_object(Bucket="dives", Key=f"heat/{number}.mp4", Body=body)
        listed.append(f"{number}.mp4")
    models.client.put_object(Bucket="dives", Key="heat.json", Body=json.dumps(listed).encode())
    source = {"S3DataSource": {"S3DataType": "ManifestFile", "S3Uri": "s3://dives/heat.json"}}
    plane.sagemaker.create_transform_job(
        TransformJobName="heat",
        ModelName="puppet-5-0-0",
        TransformInput={"DataSource": source},
        TransformOutput={"S3OutputPath": "s3://scores/heat"},
        TransformResources={"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
    )
    found = f"find {TRANSFORMS} -name '*.out'"
    wait_until(lambda: ".out" in plane.node.sh(found, check=False), "the first scores", 120)
    plane.node.run("systemctl", "kill", "-s", "KILL", "springboard-transforms.service")
    plane.sagemaker.get_waiter("transform_job_completed_or_stopped").wait(
        TransformJobName="heat", WaiterConfig={"Delay": 1, "MaxAttempts": 180}
    )
    told = plane.sagemaker.describe_transform_job(TransformJobName="heat")
    assert told["TransformJobStatus"] == "Completed", told
    results = models.client.list_objects_v2(Bucket="scores", Prefix="heat/")["Contents"]
    assert {one["Key"] for one in results} == {f"heat/{number}.mp4.out" for number in range(VIDEOS)}


def another_beside(plane: HostPlane) -> Plane:
    """Have a second endpoint serve; what it may not have is refused."""
    others = plane.beside(OTHERS)
    with pytest.raises(ClientError, match="AsyncInferenceConfig is the first endpoint's of a host"):
        plane.sagemaker.create_endpoint(EndpointName=OTHERS, EndpointConfigName="puppet-5-0-0")
    plane.sagemaker.create_endpoint(EndpointName=OTHERS, EndpointConfigName=others.make("6.0.0"))
    others.serves("puppet-6-0-0")
    plane.serves("puppet-5-0-0")
    return others


def updated_beside(plane: HostPlane, others: Plane) -> None:
    """Have the second one be another release, though the agents are killed in its middle."""
    before = promoted(plane)
    others.update("6.1.0", DeploymentConfig=canary(5))
    plane.kill_agent("Updating", others)
    assert "FailureReason" not in others.serves("puppet-6-1-0")
    assert promoted(plane) == before
    plane.node.run("systemctl", "restart", "springboard-front.service")


def promoted(plane: HostPlane) -> str:
    """Return the instance of the first endpoint, which runs."""
    state = json.loads(plane.node.run("cat", "/var/lib/springboard/deployment.json"))
    instance: str = state["promoted"]["instance"]
    assert plane.node.succeeds("systemctl", "is-active", f"torchserve@{instance}.service")
    return instance


def deleted_beside(plane: HostPlane, others: Plane) -> None:
    plane.sagemaker.delete_endpoint(EndpointName=OTHERS)
    plane.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=OTHERS, WaiterConfig={"Delay": 1})
    folders = "/var/lib/springboard/e /etc/springboard/endpoints /var/lib/springboard/instances /etc/systemd"
    named = " -o ".join(f"-name '{one}'" for one in ("1", "*-1", "1.yml", "*-1.service"))
    assert plane.node.sh(f"find {folders} {named}") == ""
    assert plane.node.sh("systemctl list-units --all --plain --no-legend 'torchserve@*-1.service'") == ""
    assert plane.serves("puppet-5-1-0")
    with pytest.raises(ClientError, match=f"Endpoint {OTHERS} of account {ACCOUNT} not found"):
        plane.runtime.invoke_endpoint(EndpointName=OTHERS, Body=b"score=50")


def updates(plane: HostPlane, alerts: list[dict[str, Any]]) -> None:
    plane.update("5.1.0", DeploymentConfig=canary(120) | WATCHED)
    wait_until(plane.baking, "the canary", 180)
    alerts.append({"state": "firing", "labels": {"alertname": ALARM, "endpoint": NAME}})
    plane.kill_agent("RollingBack")
    told = plane.serves("puppet-5-0-0")
    assert f"5.1.0 was not deployed, 5.0.0 serves: alarm: {ALARM} fires" in told["FailureReason"]
    alerts.clear()

    plane.update("5.1.0", DeploymentConfig=canary(15) | WATCHED)
    wait_until(plane.baking, "the canary", 180)
    plane.kill_agent("Updating")
    told = plane.serves("puppet-5-1-0")
    assert not {"FailureReason", "AsyncInferenceConfig"} & told.keys()

    plane.update("5.2.0", DeploymentConfig=canary(120))
    told = plane.serves("puppet-5-1-0")
    assert "5.2.0 was not deployed, 5.1.0 serves: error ratio: " in told["FailureReason"]
    assert told["LastDeploymentConfig"] == canary(120)


def from_a_shell_over_a_reboot(plane: HostPlane, caller: Caller) -> None:
    before = plane.node.run("springboard", "endpoint", "list", *CONTROL).split()
    assert before == [NAME, "InService", "dive-5-0-0", OTHERS, "InService", "puppet-6-1-0"]
    update = ("update", NAME, "puppet-5-1-0", "--deployment-config", json.dumps(canary(15)), *CONTROL)
    plane.node.run("springboard", "endpoint", *update)
    wait_until(plane.baking, "the canary", 180)
    plane.node.reboot()
    caller.wait_serving()
    below = f"/endpoints/{OTHERS}/front"
    wait_until(lambda: caller.client.get(f"{below}/ping").status_code == 200, f"{below}/ping to be 200", 300)
    refused = [caller.client.get(f"{path}/metrics").status_code for path in ("", below)]
    assert refused == [403, 403]
    with plane.load(NAME, OTHERS):
        told = plane.serves("puppet-5-1-0")
    assert "FailureReason" not in told


def deleted_and_created_anew(plane: HostPlane) -> None:
    assert plane.node.succeeds("ls", QUEUES)
    plane.sagemaker.delete_endpoint(EndpointName=NAME)
    plane.kill_agent("Deleting")
    plane.sagemaker.get_waiter("endpoint_deleted").wait(EndpointName=NAME, WaiterConfig={"Delay": 1})
    assert not plane.starting()
    assert not plane.node.succeeds("ls", QUEUES)

    plane.sagemaker.create_endpoint(EndpointName=NAME, EndpointConfigName="puppet-5-1-0")
    wait_until(plane.starting, "its instance", 120)
    plane.kill_agent("Creating")
    plane.serves("puppet-5-1-0")
