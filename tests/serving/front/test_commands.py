"""The commands a person uses, and the whole way with a real network: `serve --archive`, `score`, boto3."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest

from springboard.auth import keys
from tests.stands.front import SPRINGBOARD, FrontProcess
from tests.stands.seaweedfs import ObjectStore

pytestmark = pytest.mark.xdist_group("front")


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, keys.AccessKey]:
    file = tmp_path_factory.mktemp("keys") / "keys.json"
    return file, keys.create_access_key(file, "app")


@pytest.fixture(scope="module")
def served(
    small_archive: Path, object_store: ObjectStore, signing: tuple[Path, keys.AccessKey]
) -> Iterator[FrontProcess]:
    """A small network with random weights, behind a front that asks for signatures."""
    options: list[str | Path] = ["--archive", small_archive, "--auth", "sigv4", "--keys-file", signing[0]]
    options += ["--allow-bucket", "dives"]
    with FrontProcess(*options, environment=object_store.environment) as front:
        yield front.wait_ready()


@pytest.fixture
def caller(served: FrontProcess, signing: tuple[Path, keys.AccessKey]) -> dict[str, str]:
    """The environment of someone who has a key."""
    return {
        "AWS_ACCESS_KEY_ID": signing[1].access_key_id,
        "AWS_SECRET_ACCESS_KEY": signing[1].secret_access_key,
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": served.url,
        "SPRINGBOARD_URL": served.url,
    }


def score(caller: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SPRINGBOARD, "score", *arguments],
        env={**os.environ, **caller, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_boto3_signed_gets_a_dive_scored_and_a_typed_error(
    caller: dict[str, str], dive_clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in caller.items():
        monkeypatch.setenv(name, value)
    runtime: Any = boto3.Session().client("sagemaker-runtime")
    response = runtime.invoke_endpoint(EndpointName="dive-scoring", Body=dive_clip)
    answer = json.loads(response["Body"].read())
    assert answer["video"]["frames"] == 40
    assert sum(clip["contribution"] for clip in answer["clips"]) == pytest.approx(answer["score"], abs=0.01)
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        runtime.invoke_endpoint(EndpointName="dive-scoring", Body=b"no video")
    assert caught.value.response["OriginalStatusCode"] == 422


def test_score_prints_a_table_of_files_and_s3_objects_and_fails_if_one_fails(
    caller: dict[str, str], dive_clip: bytes, tmp_path: Path, object_store: ObjectStore
) -> None:
    object_store.client.put_object(Bucket="dives", Key="heat/054.mp4", Body=dive_clip)
    (tmp_path / "dive.mp4").write_bytes(dive_clip)
    (tmp_path / "bad.mp4").write_bytes(b"no video")
    good = score(caller, "--sign", tmp_path / "dive.mp4", "s3://dives/heat/054.mp4")
    assert good.returncode == 0, good.stdout + good.stderr
    assert "054.mp4" in good.stdout
    assert good.stdout.count("│ 40 ") == 2
    mixed = score(
        caller, "--sign", "--json", tmp_path / "bad.mp4", tmp_path / "absent.mp4", tmp_path / "dive.mp4"
    )
    assert mixed.returncode == 1
    bad, absent, dive = map(json.loads, mixed.stdout.splitlines())
    assert (bad["status"], bad["error"]["code"]) == (422, "unreadable_video")
    assert (absent["status"], absent["error"]["message"]) == (0, "cannot be read: No such file or directory")
    assert dive["status"] == 200
    assert "not authorized" in score(caller, tmp_path / "dive.mp4").stdout


def test_an_s3_video_is_fetched_by_the_front_and_its_faults_are_typed(
    caller: dict[str, str], dive_clip: bytes, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    object_store.client.put_object(Bucket="dives", Key="one.mp4", Body=dive_clip)
    for name, value in caller.items():
        monkeypatch.setenv(name, value)
    runtime: Any = boto3.Session().client("sagemaker-runtime")

    def invoke(bucket: str, key: str) -> Any:
        pointer = {"aqa_data": {"bucket_name": bucket, "object_key": key}}
        return runtime.invoke_endpoint(EndpointName="dive-scoring", Body=json.dumps(pointer))

    response = invoke("dives", "one.mp4")
    assert json.loads(response["Body"].read())["video"]["frames"] == 40
    assert "s3;dur=" in response["ResponseMetadata"]["HTTPHeaders"]["server-timing"]
    for bucket, key, status in (("dives", "absent", 404), ("secret", "x", 403)):
        with pytest.raises(runtime.exceptions.ModelError) as caught:
            invoke(bucket, key)
        assert caught.value.response["OriginalStatusCode"] == status


def test_the_process_that_parses_video_has_no_credentials(served: FrontProcess) -> None:
    front = psutil.Process(served.process.pid)
    assert front.environ()["AWS_SECRET_ACCESS_KEY"]  # with which it fetched the videos above
    workers = [
        child for child in front.children(recursive=True) if "model_service_worker" in str(child.cmdline())
    ]
    assert workers
    for worker in workers:
        assert not [name for name in worker.environ() if name.startswith("AWS_") and "KEY" in name]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "exactly one of"),
        (["--archive", "absent.mar"], "archive.sh"),
        (["--endpoint-file", "absent.yml"], "No such file"),
        (["--archive", "absent.mar", "--endpoint-file", "x.yml"], "exactly one of"),
        (["--weights", "absent"], "does not exist"),
    ],
)
def test_serve_says_what_it_needs(tmp_path: Path, arguments: list[str], said: str) -> None:
    command: list[str | Path] = [SPRINGBOARD, "serve", "--port", "0", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False)
    assert run.returncode == 2
    assert said in run.stderr
    assert "Traceback" not in run.stderr


def test_an_archive_that_cannot_be_loaded_ends_the_server_with_the_reason(tmp_path: Path) -> None:
    broken = tmp_path / "dive-1.0.0.mar"
    broken.write_bytes(b"no archive")
    command: list[str | Path] = [SPRINGBOARD, "serve", "--port", "0", "--archive", broken]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 2
    assert "dive-1.0.0.mar cannot be loaded" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_port_in_use_is_named(front: FrontProcess, endpoint_file: Path) -> None:
    port = front.url.rsplit(":", 1)[1]
    command: list[str | Path] = [SPRINGBOARD, "serve", "--port", port, "--endpoint-file", endpoint_file]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in run.stderr
