"""`springboard endpoint`: the control plane's documents, by a command."""

import json
import os
import pwd
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from springboard.cli.app import app
from springboard.control.documents import Documents
from springboard.control.endpoints import Endpoints
from springboard.control.names import Identity
from springboard.control.place import Place
from springboard.control.store import DocumentStore, Folder, Prefix
from springboard.system.files import lock
from tests.stands.objects import Objects

CANARY = {
    "BlueGreenUpdatePolicy": {
        "TrafficRoutingConfiguration": {
            "Type": "CANARY",
            "WaitIntervalInSeconds": 60,
            "CanarySize": {"Type": "CAPACITY_PERCENT", "Value": 10},
        }
    }
}


@pytest.fixture
def store(tmp_path: Path) -> Folder:
    return served(tmp_path / "documents")


def served(folder: Path) -> Folder:
    made = Folder(folder)
    fill(made)
    return made


def fill(made: DocumentStore) -> None:
    """Have the endpoint dives on configuration old, and a configuration new."""
    documents = Documents(made, Identity())
    for name in ("old", "new"):
        container = {"ModelDataUrl": f"s3://models/{name}.tar.gz"}
        documents.operations["CreateModel"]({"ModelName": name, "PrimaryContainer": container})
        variant = {"VariantName": "AllTraffic", "ModelName": name}
        documents.operations["CreateEndpointConfig"](
            {"EndpointConfigName": name, "ProductionVariants": [variant]}
        )
    endpoints = Endpoints(documents).operations
    endpoints["CreateEndpoint"]({"EndpointName": "dives", "EndpointConfigName": "old"})
    made.change("endpoint", "dives", _served)


def _served(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "status": "InService", "serving": document["wanted"]}


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["endpoint", *words, "--control", str(folder)])


def test_endpoints_are_listed_and_described_as_sagemaker_does(store: Folder, tmp_path: Path) -> None:
    assert run(tmp_path, "list").stdout == "dives\tInService\told\n"
    told = json.loads(run(tmp_path, "describe", "dives", "--control-as", "eu-west-1:123456789012").stdout)
    assert told["EndpointArn"] == "arn:aws:sagemaker:eu-west-1:123456789012:endpoint/dives"
    assert told["ProductionVariants"][0]["VariantName"] == "AllTraffic"
    assert told["CreationTime"].endswith("+00:00")


def test_an_update_is_a_document_that_the_server_follows(store: Folder, tmp_path: Path) -> None:
    done = run(tmp_path, "update", "dives", "new", "--deployment-config", json.dumps(CANARY))
    assert done.exit_code == 0, done.output
    assert "no server is at work" in done.stderr
    (document,) = store.every("endpoint")
    assert (document["status"], document["wanted"]["config"]) == ("Updating", "new")
    assert document["wanted"]["deployment"] == CANARY
    again = run(tmp_path, "update", "dives", "new")
    assert (again.exit_code, "Cannot update in-progress endpoint" in again.stderr) == (1, True)


def test_what_is_deleted_is_so_by_the_server(store: Folder, tmp_path: Path) -> None:
    done = run(tmp_path, "delete", "dives")
    assert (done.exit_code, "no server is at work" in done.stderr) == (0, True)
    (document,) = store.every("endpoint")
    assert document["status"] == "Deleting"
    again = run(tmp_path, "delete", "dives")
    assert (again.exit_code, "Cannot update in-progress endpoint" in again.stderr) == (1, True)


def test_who_waits_is_told_how_it_ended(
    store: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = [{}, {"failure": "error ratio: 0.5", "wanted": store.every("endpoint")[0]["wanted"]}]

    def agent(_: float) -> None:
        store.change("endpoint", "dives", lambda document: _served({**document, **ends[0]}))

    monkeypatch.setattr("springboard.cli.endpoints.time.sleep", agent)
    with Place(tmp_path).lock.open("a+") as held:  # as a server at work has it
        assert lock(held)
        done = run(tmp_path, "update", "dives", "new", "--wait")
        assert (done.exit_code, done.stdout, done.stderr) == (0, "dives\tInService\tnew\n", "")
        ends.pop(0)
        done = run(tmp_path, "update", "dives", "new", "--wait")
        assert (done.exit_code, done.stdout) == (1, "dives\tInService\told\terror ratio: 0.5\n")


def test_on_a_host_root_writes_documents_that_the_front_reads() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        made = served(folder / "control")
        owner = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
        for path in (folder / "control", *(folder / "control").rglob("*")):
            os.chown(path, owner, -1)
        assert run(folder / "control", "list").stdout == "dives\tInService\told\n"
        done = run(folder / "control", "update", "dives", "new")
        assert (done.exit_code, done.stderr) == (0, "")
        assert made.every("endpoint")[0]["status"] == "Updating"
        assert (folder / "control/endpoint/dives.json").stat().st_uid == owner


def test_what_cannot_be_is_said(store: Folder, tmp_path: Path) -> None:
    for words, status, said in (
        (("describe", "none"), 1, 'Could not find endpoint "arn:aws:sagemaker:us-east-1:000000000000:'),
        (("update", "dives", "none"), 1, "Could not find endpoint configuration"),
        (("update", "dives", "new", "--deployment-config", "{"), 2, "--deployment-config is no JSON"),
        (
            ("update", "dives", "new", "--deployment-config", '{"RollingUpdatePolicy": {}}'),
            1,
            "must not be null",
        ),
        (("list", "--control-as", "mine"), 2, "--control-as: expected REGION:ACCOUNT"),
    ):
        done = run(tmp_path, *words)
        assert (done.exit_code, said in done.stderr) == (status, True), done.output
    done = run(tmp_path / "absent", "list")
    assert (done.exit_code, "is no folder of a control plane" in done.stderr) == (2, True)


def test_a_fleets_documents_are_where_its_hosts_have_them(monkeypatch: pytest.MonkeyPatch) -> None:
    objects = Objects()
    monkeypatch.setattr("springboard.releases.bucket.boto3.client", lambda *_, **__: objects)
    fill(Prefix("s3://models/control"))
    told = CliRunner().invoke(app, ["endpoint", "list", "--control", "s3://models/control"])
    assert told.stdout == "dives\tInService\told\n"
    words = ["endpoint", "update", "dives", "new", "--control", "s3://models/control"]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(objects.held["control/endpoint/dives.json"])["status"] == "Updating"
    objects.away = True
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, "S3 could not be reached" in done.stderr) == (1, True)
    done = CliRunner().invoke(app, [*words[:-1], "s3://"])
    assert (done.exit_code, "--control: the registry should look like" in done.stderr) == (2, True)
