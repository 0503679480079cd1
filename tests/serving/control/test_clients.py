"""Other people's clients make, ask and end endpoints of a control plane: AWS's own, as they are."""

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from model_handler import checkpoint
from model_handler.published import FILES
from springboard.auth import keys
from springboard.releases.registry import Registry
from springboard.system.checkout import ROOT
from tests.stands.environments import BIN, installed
from tests.stands.plane import ACCOUNT, ARN, ROLE, Machine, plane
from tests.stands.release import publish
from tests.stands.seaweedfs import ObjectStore

pytestmark = pytest.mark.xdist_group("control-clients")

PROGRAMS = Path(__file__).parent / "programs"
RELEASE = "s3://models/releases/dive/7.5.0/"
# The published script invokes this endpoint, whatever it deployed.
FIXED = "suhyun-test-2021-08-26-05-46-59-746"
CLIP = "20210809_140917_944266.mov"


@pytest.fixture(scope="module")
def machine(object_store: ObjectStore) -> Iterator[Machine]:
    options = ("--auth", "bearer", "--allow-bucket", "dives")
    writer = {"AWS_ACCESS_KEY_ID": "admin", "AWS_SECRET_ACCESS_KEY": "admin-secret"}
    with plane(object_store.environment | writer, *options, alias=FIXED) as one:
        publish(Registry("s3://models", object_store.client), one.folder / "made", "7.5.0")
        yield one


@pytest.fixture(scope="module")
def published(object_store: ObjectStore, machine: Machine) -> str:
    """The five published files with the demo's weights as a .tar.gz in S3, and a dive."""
    folder = machine.folder / "published"
    folder.mkdir()
    for part, state in checkpoint.load(ROOT / "demo/weights").parts.items():
        torch.save(state, folder / FILES[part][0].replace("*", "94"), _use_new_zipfile_serialization=False)
    with tarfile.open(machine.folder / "file.tar.gz", "w:gz", compresslevel=1) as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    object_store.client.upload_file(str(machine.folder / "file.tar.gz"), "models", "file.tar.gz")
    object_store.client.upload_file(str(ROOT / "demo/clips/good-dive.mp4"), "dives", CLIP)
    return "s3://models/file.tar.gz"


def run(machine: Machine, program: Path, *arguments: str | Path, **more: str) -> Any:
    """Run a program of its own environment against the server; return what it said last, JSON or nothing."""
    done = subprocess.run(
        [program, *arguments],
        env={"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **machine.client_environment, **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr + "\n".join(machine.server.log[-20:])
    said = done.stdout[max(done.stdout.rfind("\n{"), 0) :]
    return json.loads(said) if said.strip() else None


def test_the_published_scripts_calls_deploy_score_and_delete(
    machine: Machine, published: str, object_store: ObjectStore
) -> None:
    metadata = machine.folder / "resource-metadata.json"
    metadata.write_text(json.dumps({"ExecutionRoleArn": ROLE}))
    told = run(
        machine,
        installed(pip=["sagemaker==2.257.1"]) / "bin/python",
        PROGRAMS / "sdk_v2.py",
        *(metadata, published, FIXED, "dives", CLIP),
        IMAGE=f"{ACCOUNT}.dkr.ecr.us-west-2.amazonaws.com/any:latest",
        PLAIN=f"{machine.server.url}/invocations",
        TOKEN=keys.create_token(machine.folder / "keys.json", "plain"),
    )
    transformed = object_store.client.get_object(Bucket="dives", Key=f"scored/{CLIP}.out")["Body"].read()
    assert told["made"]["score"] == told["fixed"]["score"] == told["plain"]["score"] > 0
    assert json.loads(transformed)["score"] == pytest.approx(told["made"]["score"])
    assert not machine.wait("endpoint_deleted", told["name"])


def by_core(machine: Machine) -> Any:
    """sagemaker-core, of SDK 3: it follows each call by a Describe, and checks answers by its own types."""
    python = installed(pip=["sagemaker-core==2.27.0"]) / "bin/python"
    return run(machine, python, PROGRAMS / "sdk_v3.py", RELEASE, "by-core")


def by_node(machine: Machine) -> Any:
    """The SDK for JavaScript."""
    packages = ["@aws-sdk/client-sagemaker@3.1142.0", "@aws-sdk/client-sagemaker-runtime@3.1142.0"]
    folder = installed(npm=packages)
    program = shutil.copy(PROGRAMS / "life.mjs", folder)  # beside what is installed, where Node.js looks
    return run(machine, BIN / "node", program, RELEASE, "by-node")


def by_cli(machine: Machine) -> Any:
    """The AWS CLI."""
    folder = installed(pip=["awscli==1.46.3"]) / "bin"

    def aws(command: str, *more: str | Path, service: str = "sagemaker") -> Any:
        return run(machine, folder / "python", folder / "aws", service, command, *more, "--output", "json")

    named = ("--endpoint-name", "by-cli")
    model = ("--model-name", "by-cli", "--execution-role-arn", ROLE)
    aws("create-model", *model, "--primary-container", f"Image=image,ModelDataUrl={RELEASE}")
    variant = "VariantName=AllTraffic,ModelName=by-cli,InitialInstanceCount=1,InstanceType=ml.m5.xlarge"
    config = ("--endpoint-config-name", "by-cli")
    aws("create-endpoint-config", *config, "--production-variants", variant)
    aws("create-endpoint", *named, *config)
    machine.wait("endpoint_in_service", "by-cli")  # as the next does, which asks every 30 s
    aws("wait", "endpoint-in-service", *named)
    status = aws("describe-endpoint", *named)["EndpointStatus"]
    video, out = machine.folder / "dive.mp4", machine.folder / "answer.json"
    video.write_bytes(b"score=70.5")
    body = ("--body", f"fileb://{video}", out)
    variant = aws("invoke-endpoint", *named, *body, service="sagemaker-runtime")["InvokedProductionVariant"]
    aws("delete-endpoint", *named)
    machine.wait("endpoint_deleted", "by-cli")
    aws("delete-endpoint-config", *config)
    aws("delete-model", "--model-name", "by-cli")
    return {"score": json.loads(out.read_text())["score"], "variant": variant, "status": status}


def test_three_clients_have_endpoints_at_the_same_time(machine: Machine) -> None:
    with ThreadPoolExecutor() as threads:
        lives = [threads.submit(life, machine) for life in (by_core, by_node, by_cli)]
        core, node, cli = [life.result() for life in lives]
    right = {"score": 70.5, "variant": "AllTraffic", "status": "InService"}
    assert core == {**right, "all": ["by-core"]}
    assert node == {**right, "gone": f'Could not find endpoint "{ARN}:endpoint/by-node".'}
    assert cli == right
