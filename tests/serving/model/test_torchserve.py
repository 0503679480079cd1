"""A real TorchServe process with a small model, spoken to over HTTP, with nothing else in front."""

import json
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from model_handler import checkpoint
from springboard.system.checkout import ROOT
from springboard.system.ports import free_ports
from springboard.torchserve import transport
from springboard.torchserve.management import NO_WORKERS
from springboard.torchserve.process import TorchServe, TorchServeError
from springboard.torchserve.transport import request as ask
from tests.clips import encode, moving_frames
from tests.conftest import archive, small_checkpoint
from tests.stands.seaweedfs import ObjectStore
from tests.stands.waiting import wait_until

pytestmark = pytest.mark.xdist_group("torchserve")


@pytest.fixture(scope="module")
def served(small_archive: Path, object_store: ObjectStore, dive_clip: bytes) -> Iterator[TorchServe]:
    put = object_store.client.put_object
    put(Bucket="dives", Key="good.mp4", Body=dive_clip)
    put(Bucket="dives", Key="big.mp4", Body=bytes(3_000_000))
    put(Bucket="secret", Key="good.mp4", Body=dive_clip)
    environment = {
        **os.environ,
        **object_store.environment,
        "SPRINGBOARD_VIDEO_BUCKETS": "dives secret absent",
    }
    with TorchServe(small_archive, environment=environment, network=True) as torchserve:
        yield torchserve


def config_file(folder: Path, **changes: object) -> Path:
    """model-config.yaml with top-level keys replaced; `limits` goes into its handler section."""
    config = yaml.safe_load((ROOT / "model_handler/model-config.yaml").read_text())
    config["handler"]["limits"].update(changes.pop("limits", {}))
    config.update(changes)
    path = folder / "model-config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.parametrize("path", ["/invocations", "/predictions/dive", "/predictions/dive/1.0.0"])
def test_every_torchserve_path_scores_a_raw_body(served: TorchServe, dive_clip: bytes, path: str) -> None:
    answer = ask("POST", transport.url(served.served.address, path), content=dive_clip)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body["prediction"] == int(body["score"])
    assert sum(clip["contribution"] for clip in body["clips"]) == pytest.approx(body["score"], abs=1e-3)
    assert [clip["start_frame"] for clip in body["clips"]] == [0, 16, 32]
    assert body["clips"][-1]["end_frame"] == 40
    size = {"width": 320, "height": 240}
    assert body["video"] == {"frames": 40, "fps": 25.0, "duration_s": 1.6, **size, "scored_frames": 40}
    assert body["model"] == {"name": "dive", "version": "1.0.0", "trained_on": "random numbers"}
    assert set(body["dive"]) == {"number", "position", "rotation", "somersaults", "twists", "armstand"}
    timings = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    assert list(timings) == ["fetch", "decode", "gate", "score"]
    assert all(float(timings[stage]) > 0 for stage in ("decode", "gate", "score"))


@pytest.mark.parametrize(
    "content_type", ["video/mp4", "application/octet-stream", "text/plain", "application/x-what"]
)
def test_the_content_type_of_a_video_does_not_matter(
    served: TorchServe, dive_clip: bytes, content_type: str
) -> None:
    answer = ask(
        "POST",
        served.predictions_url,
        content=dive_clip,
        headers={"content-type": content_type},
    )
    assert answer.status_code == 200, answer.text


def test_a_form_upload_is_scored_as_its_raw_body_is(served: TorchServe, dive_clip: bytes) -> None:
    raw = ask("POST", served.predictions_url, content=dive_clip).json()
    form = ask("POST", served.predictions_url, files={"video": ("dive.mp4", dive_clip)}).json()
    assert form["score"] == raw["score"]


@pytest.mark.parametrize(
    "pointer",
    [
        {"aqa_data": {"bucket_name": "dives", "object_key": "good.mp4"}},
        {"s3_uri": "s3://dives/good.mp4"},
    ],
)
def test_an_object_in_s3_is_scored(served: TorchServe, pointer: dict[str, object]) -> None:
    answer = ask("POST", served.predictions_url, json=pointer)
    assert answer.status_code == 200, answer.text
    assert "fetch;dur=0.0" not in answer.headers["server-timing"]


def test_a_named_version_of_an_object_is_the_one_scored(
    served: TorchServe, object_store: ObjectStore
) -> None:
    put = object_store.client.put_object
    first = put(Bucket="dives", Key="versioned.mp4", Body=encode(moving_frames(20)))["VersionId"]
    put(Bucket="dives", Key="versioned.mp4", Body=encode(moving_frames(50)))

    def frames(pointer: dict[str, str]) -> int:
        answer = ask("POST", served.predictions_url, json=pointer)
        return int(answer.json()["video"]["frames"])

    assert frames({"s3_uri": "s3://dives/versioned.mp4"}) == 50
    assert frames({"s3_uri": "s3://dives/versioned.mp4", "version_id": first}) == 20


def _refusals() -> list[tuple[str, bytes, int, str, str]]:
    """Name, body, status, code, and what the message must say."""
    tiny = encode(moving_frames(5))
    return [
        ("empty", b"", 400, "empty_body", "empty"),
        ("bad json", b"{", 400, "invalid_request", "JSON"),
        ("json without a video", b'{"x": 1}', 400, "invalid_request", "s3_uri"),
        ("not a video", b"not a video" * 99, 422, "unreadable_video", "mp4"),
        ("cut off", encode(moving_frames(40))[:3000], 422, "unreadable_video", "incomplete"),
        (
            "no video stream",
            encode(moving_frames(1), codec="", audio=True),
            422,
            "unreadable_video",
            "stream",
        ),
        ("too short", tiny, 422, "unreadable_video", "Only 5 frames"),
        ("too many frames", encode(moving_frames(400, 64, 48)), 413, "limit_exceeded", "announces 400"),
        ("bucket not allowed", b'{"s3_uri": "s3://other/k"}', 403, "bucket_not_allowed", "'other'"),
        ("access denied", b'{"s3_uri": "s3://secret/good.mp4"}', 403, "access_denied", "refused"),
        ("no such object", b'{"s3_uri": "s3://dives/none.mp4"}', 404, "object_not_found", "none.mp4"),
        ("no such bucket", b'{"s3_uri": "s3://absent/x.mp4"}', 404, "object_not_found", "absent"),
    ]


@pytest.mark.parametrize(
    ("name", "body", "status", "code", "says"), _refusals(), ids=[r[0] for r in _refusals()]
)
def test_each_refusal_has_its_status_and_says_why(
    served: TorchServe, name: str, body: bytes, status: int, code: str, says: str
) -> None:
    answer = ask("POST", served.predictions_url, content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert says in answer.json()["error"]["message"]


def test_a_truncated_file_is_scored_with_a_warning(served: TorchServe) -> None:
    video = encode(moving_frames(60), codec="mjpeg", container="avi")
    answer = ask("POST", served.predictions_url, content=video[: len(video) // 2]).json()
    assert 16 <= answer["video"]["frames"] < 60
    assert "truncated" in answer["warnings"][0]


@pytest.fixture(scope="module")
def batching(small_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchServe]:
    """Batches of 4, tight limits, and an S3 that nobody answers for."""
    folder = tmp_path_factory.mktemp("batching")
    limits = {"max_bytes": 2_000_000, "max_pixels": 640 * 480, "max_duration_s": 5}
    config = config_file(folder, batchSize=4, maxBatchDelay=3000, limits=limits)
    mar = archive(small_weights, folder, "1.0.0-batch", "--config", str(config))
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{free_ports(1)[0]}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_REGION": "us-east-1",
        "SPRINGBOARD_VIDEO_BUCKETS": "dives",
    }
    with TorchServe(mar, environment=environment, network=True) as torchserve:
        yield torchserve


def post_together(torchserve: TorchServe, bodies: list[bytes]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(bodies)) as threads:
        return list(threads.map(lambda b: ask("POST", torchserve.predictions_url, content=b), bodies))


def test_one_bad_row_of_a_batch_fails_alone(batching: TorchServe) -> None:
    clips = [encode(moving_frames(n, seed=n)) for n in (20, 40, 60)]
    alone = [ask("POST", batching.predictions_url, content=clip).json()["score"] for clip in clips]
    answers = post_together(batching, [clips[0], b"not a video", clips[1], clips[2]])
    assert [a.status_code for a in answers] == [200, 422, 200, 200]
    assert answers[1].json()["error"]["code"] == "unreadable_video"
    together = [a.json()["score"] for a in answers if a.status_code == 200]
    assert together == pytest.approx(alone, abs=0.3)
    # Rows of one batch share one pass through the networks, hence its time to the tenth of a millisecond.
    scoring = {a.headers["server-timing"].split("score;dur=")[1] for a in answers if a.status_code == 200}
    assert len(scoring) == 1


def test_limits_are_named_with_what_was_found(batching: TorchServe) -> None:
    cases = {
        "max_pixels": (encode(moving_frames(20, 800, 600)), "800x600"),
        "max_duration_s": (encode(moving_frames(200, 64, 48)), "8.0 s"),
        "max_bytes": (bytes(2_000_001), "2000001 bytes"),
    }
    answers = post_together(batching, [body for body, _ in cases.values()])
    for answer, (limit, (_, found)) in zip(answers, cases.items(), strict=True):
        error = answer.json()["error"]
        assert (answer.status_code, error["limit"]) == (413, limit)
        assert found in error["message"]
        assert limit in error["message"]


def test_an_unreachable_s3_is_a_502(batching: TorchServe) -> None:
    answer = ask("POST", batching.predictions_url, json={"s3_uri": "s3://dives/good.mp4"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "storage_unreachable")


def test_a_video_the_gate_refuses_is_a_422_with_its_answer(
    tmp_path: Path, dive_clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.save(small_checkpoint(gate_class=7), tmp_path / "other.safetensors")
    with TorchServe(archive(tmp_path / "other.safetensors", tmp_path, "2.0.0")) as torchserve:
        answer = ask("POST", torchserve.predictions_url, content=dive_clip)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "not_a_dive")
    assert answer.json()["error"]["gate"]["class"] == 7


def test_a_release_that_cannot_load_says_why_and_leaves_nothing_running(
    small_archive: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "dive-1.0.0.mar"
    with zipfile.ZipFile(small_archive) as source, zipfile.ZipFile(broken, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(
                name, content.replace(b"c3d-avg-mtl", b"c3d-avg-mtx") if "weights" in name else content
            )
    torchserve = TorchServe(broken)
    with pytest.raises(TorchServeError, match="metadata format"), torchserve:
        pass
    assert torchserve.pid is None


def test_a_damaged_archive_is_named_at_once(small_archive: Path, tmp_path: Path) -> None:
    broken = tmp_path / "dive-1.0.0.mar"
    broken.write_bytes(small_archive.read_bytes()[:40_000])
    with pytest.raises(TorchServeError, match=r"dive-1\.0\.0\.mar cannot be loaded"), TorchServe(broken):
        pass


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_whoever_started_it(small_archive: Path, number: signal.Signals) -> None:
    """Not even when that is killed: an orphan would hold its memory and GPU for ever."""
    code = (
        "import sys, time; from pathlib import Path; from springboard.torchserve.process import TorchServe\n"
    )
    code += "t = TorchServe(Path(sys.argv[1])); t.start(); t.wait_ready()\n"
    code += "print(t.pid, flush=True); time.sleep(600)"
    command = [sys.executable, "-c", code, str(small_archive)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        group = int(starter.stdout.readline())
        members = list(_members(group))
        assert len(members) >= 3  # launcher, JVM, worker
        starter.send_signal(number)
    _, alive = psutil.wait_procs(members, timeout=60)
    assert alive == []


def _members(group: int) -> Iterator[psutil.Process]:
    """Yield a group's processes; others end while one looks."""
    for process in psutil.process_iter():
        with suppress(ProcessLookupError):
            if os.getpgid(process.pid) == group:
                yield process


def test_the_archive_brings_its_own_code(served: TorchServe) -> None:
    """A release must not change when the checkout it was built from does."""
    process = Path(f"/proc/{min((served.workers() or NO_WORKERS).ready)}")
    environment = dict(v.split("=", 1) for v in (process / "environ").read_text().split("\0") if "=" in v)
    first = Path(environment["PYTHONPATH"].split(":")[0])
    assert (first / "model_handler" / "pipeline.py").is_file()
    assert json.loads((first / "MAR-INF" / "MANIFEST.json").read_text())["model"]["modelVersion"] == "1.0.0"


def test_from_a_requests_id_to_the_workers_error(tmp_path: Path, dive_clip: bytes) -> None:
    """As the journal gets it: JSON, its priority before it. These weights give no number."""
    broken = small_checkpoint()
    broken.parts["score"]["fc_final_score.bias"].fill_(3e38)  # 17 times that is infinite
    checkpoint.save(broken, tmp_path / "broken.safetensors")
    with TorchServe(archive(tmp_path / "broken.safetensors", tmp_path)) as server:
        headers = {"X-Request-Id": "find-me"}
        answer = ask("POST", server.predictions_url, content=dive_clip, headers=headers)
        assert answer.status_code == 500, answer.text
        wait_until(lambda: "not a number" in server.log.read_text(), "the line")
        lines = [line for line in server.log.read_text().splitlines() if "find-me" in line]
        told = {json.loads(line[3:])["message"]: line[:3] for line in lines}
        assert told["received"] == "<6>"
        assert told["the networks gave a score that is not a number"] == "<3>"
        (worker,) = (server.workers() or NO_WORKERS).ready
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: "worker process died" in server.log.read_text(), "TorchServe to tell of its death")
        (died,) = [line for line in server.log.read_text().splitlines() if "worker process died" in line]
        assert died.startswith("<4>")
