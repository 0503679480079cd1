"""Transform jobs of a host, scored by a front that says what a test wants."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from springboard.control import hosted_jobs
from springboard.control.hosted_jobs import HostTransformer
from springboard.control.place import Place
from springboard.control.store import Folder
from springboard.deploy.settings import Host, Worker
from springboard.deploy.stop import Stop, Stopped
from springboard.endpoint.document import EndpointFileError
from springboard.jobs import batch as batches
from springboard.jobs.store import Store
from tests.stands.cloud import Cloud
from tests.stands.served import served
from tests.unit.control.test_transforms import asked


class FrontDesk:
    """A front, and what was asked of it; it serves `release` whatever it is asked for, if `says` is none."""

    def __init__(self) -> None:
        self.release, self.says = "1.0.0", ""
        self.asked: list[tuple[str, str, str]] = []
        self.app = FastAPI()

        @self.app.get("/ping")
        def ping() -> dict[str, str]:
            return {}

        @self.app.get("/endpoints/others/front/ping")
        def ping_others() -> dict[str, str]:
            return {}

        @self.app.post("/endpoints/others/front/predictions/dive/{version}")
        async def score_of_others(version: str) -> JSONResponse:
            self.asked.append((version, "of others", ""))
            return JSONResponse({"score": 50, "model": {"version": version}})

        @self.app.post("/predictions/dive/{version}")
        async def score(version: str, request: Request) -> JSONResponse:
            video = (await request.json())["s3_uri"]
            self.asked.append((version, request.headers["Authorization"], video))
            if version != self.release:
                error = {"code": "unknown_model", "message": f"There is no version {version}."}
                return JSONResponse({"error": error}, 404)
            return JSONResponse({"score": 50, "model": {"version": self.says or version}})


@pytest.fixture(scope="module")
def desk() -> FrontDesk:
    return FrontDesk()


@pytest.fixture(scope="module")
def url(desk: FrontDesk) -> Iterator[str]:
    with served(desk.app) as port:
        yield f"http://127.0.0.1:{port}"


class Unit:
    """The unit that does a host's jobs, in a folder."""

    def __init__(self, folder: Path, url: str, aws: Cloud) -> None:
        self.folder, self.own, self.aws = folder / "documents", folder / "own", aws
        self.documents, self.stop = Folder(self.folder), Stop()
        self.base = Host(models="s3://models", worker=Worker(runtime=Path("/")), allowed_buckets=("dives",))
        self.url = url

    def create(self, name: str, created: float, release: str = "1.0.0") -> None:
        self.aws.client("s3").put_object(Bucket="dives", Key=f"{name}/1.mp4", Body=b"a dive")
        document = {"name": name, "created": created, "modified": created, "status": "InProgress"}
        output = {"S3OutputPath": f"s3://scores/{name}"}
        document |= {"said": asked(name, f"s3://dives/{name}/", TransformOutput=output)}
        data = {"ModelDataUrl": f"s3://models/releases/dive/{release}/"}
        self.documents.write("transform-job", name, {**document, "model": {"PrimaryContainer": data}}, None)

    def made(self, name: str) -> HostTransformer:
        return HostTransformer(
            *(name, Place(self.own), self.documents, self.base, self.stop.ask),
            store=Store(self.aws.client("s3")),
            registry="s3://models",
            front=self.url,
            token="ours",
        )

    def work(self) -> None:
        """Have it work until there is nothing to do."""
        jobs = self.documents

        def ask() -> None:
            if all(one["status"] in ("Completed", "Failed") for one in jobs.every("transform-job")):
                self.stop.tell("nothing to do")
            self.stop.ask()

        hosted_jobs.work(self.folder, self.own, self.made, ask)

    def told(self, name: str) -> dict[str, Any]:
        found = self.documents.read("transform-job", name)
        assert found
        return found[0]

    def results(self, name: str) -> list[str]:
        found = self.aws.client("s3").list_objects_v2(Bucket="scores", Prefix=f"{name}/").get("Contents", [])
        return [one["Key"] for one in found]


@pytest.fixture
def unit(
    tmp_path: Path, url: str, desk: FrontDesk, aws: Cloud, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Unit]:
    monkeypatch.setattr(batches, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(hosted_jobs, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(hosted_jobs, "_AGAIN_SECONDS", 0)
    desk.asked.clear()
    yield Unit(tmp_path, url, aws)
    desk.release, desk.says = "1.0.0", ""


def test_jobs_are_scored_by_the_hosts_front_one_after_the_other(unit: Unit, desk: FrontDesk) -> None:
    unit.create("second", 2.0)
    unit.create("first", 1.0)
    unit.work()
    videos = [f"s3://dives/{name}/1.mp4" for name in ("first", "second")]
    assert desk.asked == [("1.0.0", "Bearer ours", video) for video in videos]
    for name in ("first", "second"):
        assert unit.told(name)["status"] == "Completed"
        assert unit.results(name) == [f"{name}/1.mp4.out"]
    assert not unit.own.exists()


def test_a_job_is_scored_by_whichever_endpoint_serves_its_model(unit: Unit, desk: FrontDesk) -> None:
    for slot, name, release in ((1, "others", "2.0.0"), (0, "dives", "1.0.0")):
        serving = {"variants": [{"release": one} for one in ("1.0.0", release)]}
        unit.documents.write("endpoint", name, {"name": name, "slot": slot, "serving": serving}, None)
    unit.documents.write("endpoint", "new", {"name": "new", "slot": 2, "serving": None}, None)
    for created, release in ((1.0, "2.0.0"), (2.0, "1.0.0")):
        unit.create(f"of-{release[0]}", created, release)
    unit.work()
    video = "s3://dives/of-1/1.mp4"
    assert desk.asked == [("2.0.0", "of others", ""), ("1.0.0", "Bearer ours", video)]
    assert {unit.told(f"of-{one}")["status"] for one in (1, 2)} == {"Completed"}


def test_a_release_that_serves_no_more_fails_its_job(unit: Unit, desk: FrontDesk) -> None:
    unit.create("other", 1.0, "0.9.0")
    unit.work()
    assert "(unknown_model 1)" in unit.told("other")["failure"]
    desk.says = "1.1.0"  # it took the other's place while a video waited
    unit.create("late", 2.0)
    unit.stop = Stop()
    unit.work()
    why = "s3://dives/late/1.mp4 was scored by 1.1.0: 1.0.0 serves no more"
    assert (unit.told("late")["status"], unit.told("late")["failure"]) == ("Failed", why)
    assert unit.results("late") == []


def test_a_host_that_serves_nothing_yet_is_waited_for(
    unit: Unit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unit.create("early", 1.0)
    made, times = unit.made, iter((False, True))

    def soon(name: str) -> HostTransformer:
        if not next(times):
            raise EndpointFileError("endpoint.yml: No such file")
        return made(name)

    monkeypatch.setattr(unit, "made", soon)
    with caplog.at_level(logging.WARNING, "springboard.control"):
        unit.work()
    assert "endpoint.yml: No such file; it is tried again" in caplog.text
    assert unit.told("early")["status"] == "Completed"


def test_a_document_that_is_no_json_is_named(unit: Unit, caplog: pytest.LogCaptureFixture) -> None:
    unit.create("job", 1.0)
    damaged = unit.folder / "transform-job" / "damaged.json"
    damaged.write_text("{")
    looks = iter(range(1))

    def once() -> None:
        if next(looks, None) is None:
            raise Stopped

    hosted_jobs.work(unit.folder, unit.own, unit.made, once)
    assert f"{damaged} is no JSON" in caplog.text
    assert "a bug of ours" not in caplog.text
    damaged.unlink()
    unit.work()
    assert unit.told("job")["status"] == "Completed"
