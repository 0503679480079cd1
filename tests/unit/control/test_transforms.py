"""Transform jobs: their operations by boto3, and a batch through a worker that says what a test wants."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from springboard.control import sources
from springboard.control.errors import ControlError
from springboard.control.inputs import Inputs
from springboard.control.place import Place
from springboard.control.store import Folder
from springboard.control.transforming import Transformer, host_of
from springboard.deploy.rollout import Rollout
from springboard.deploy.settings import Host
from springboard.deploy.stop import Stop, Stopped
from springboard.jobs import batch as batches
from springboard.jobs.asking import Answer
from springboard.jobs.job import Job
from springboard.jobs.opening import open_queue
from springboard.jobs.store import Store
from springboard.jobs.worker import Worker
from tests.stands.cloud import Cloud
from tests.stands.waiting import wait_until
from tests.unit.control.conftest import Plane
from tests.unit.control.test_agent import BASE
from tests.unit.control.test_documents import ARN, model, refused
from tests.unit.jobs.shop import Said


def asked(
    name: str = "heat", uri: str = "s3://dives/in/", kind: str = "S3Prefix", **more: Any
) -> dict[str, Any]:
    return {
        "TransformJobName": name,
        "ModelName": "dive",
        "TransformInput": {"DataSource": {"S3DataSource": {"S3DataType": kind, "S3Uri": uri}}},
        "TransformOutput": {"S3OutputPath": "s3://scores/out"},
        "TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
        **more,
    }


def test_a_job_is_shown_as_it_was_given_and_stopped_at_once_before_its_turn(sagemaker: Any) -> None:
    model(sagemaker)
    given = asked(Environment={"SPRINGBOARD_WORKERS": "2"}, MaxConcurrentTransforms=3)
    made = sagemaker.create_transform_job(**given, Tags=[{"Key": "team", "Value": "a"}])
    assert made["TransformJobArn"] == f"{ARN}:transform-job/heat"
    told = sagemaker.describe_transform_job(TransformJobName="heat")
    assert told["TransformJobStatus"] == "InProgress"
    assert {name: told[name] for name in given} == given
    assert "TransformStartTime" not in told
    assert sagemaker.list_tags(ResourceArn=made["TransformJobArn"])["Tags"] == [{"Key": "team", "Value": "a"}]
    sagemaker.stop_transform_job(TransformJobName="heat")
    told = sagemaker.describe_transform_job(TransformJobName="heat")
    assert told["TransformJobStatus"] == "Stopped"
    assert "TransformEndTime" in told
    sagemaker.get_waiter("transform_job_completed_or_stopped").wait(TransformJobName="heat")
    with pytest.raises(ClientError) as error:
        sagemaker.stop_transform_job(TransformJobName="heat")
    assert refused(error) == (
        "ValidationException",
        "The request was rejected because the transform job is in status Stopped.",
    )


def test_names_are_taken_once_and_others_not_found_in_sagemakers_words(sagemaker: Any) -> None:
    model(sagemaker)
    sagemaker.create_transform_job(**asked())
    with pytest.raises(ClientError) as error:
        sagemaker.create_transform_job(**asked())
    assert refused(error) == (
        "ResourceInUse",
        "Job name must be unique within an AWS account and region, and a job with this name already exists "
        f"({ARN}:transform-job/heat)",
    )
    for call, said in (
        (sagemaker.describe_transform_job, "Could not find requested job with name: none"),
        (sagemaker.stop_transform_job, "Could not find job to update with name: none"),
    ):
        with pytest.raises(ClientError) as error:
            call(TransformJobName="none")
        assert refused(error) == ("ValidationException", said)


def test_a_job_at_work_is_stopping_until_it_has_ended(plane: Plane, sagemaker: Any) -> None:
    model(sagemaker)
    sagemaker.create_transform_job(**asked())
    plane.store.change("transform-job", "heat", lambda document: {**document, "started": 1.0})
    for _ in range(2):
        sagemaker.stop_transform_job(TransformJobName="heat")
        told = sagemaker.describe_transform_job(TransformJobName="heat")
        assert told["TransformJobStatus"] == "Stopping"


def test_jobs_are_listed_by_name_and_state(sagemaker: Any) -> None:
    model(sagemaker)
    for name in ("heat-1", "heat-2", "final"):
        sagemaker.create_transform_job(**asked(name))
    sagemaker.stop_transform_job(TransformJobName="heat-1")

    def names(**more: Any) -> list[str]:
        rows = sagemaker.list_transform_jobs(SortBy="Name", **more)["TransformJobSummaries"]
        return [one["TransformJobName"] for one in rows]

    assert names(SortOrder="Ascending") == ["final", "heat-1", "heat-2"]
    assert names(NameContains="heat") == ["heat-2", "heat-1"]
    assert names(StatusEquals="InProgress") == ["heat-2", "final"]
    (one,) = sagemaker.list_transform_jobs(StatusEquals="Stopped")["TransformJobSummaries"]
    assert {"TransformJobArn", "CreationTime", "TransformEndTime", "LastModifiedTime"} < one.keys()
    pages = sagemaker.get_paginator("list_transform_jobs").paginate(PaginationConfig={"PageSize": 2})
    assert [len(page["TransformJobSummaries"]) for page in pages] == [2, 1]


S3 = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://dives/in/"}}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"ModelName": "none"}, 'Could not find model "'),
        ({"TransformInput": {"DataSource": S3, "SplitType": "Line"}}, "SplitType Line is not offered"),
        ({"TransformInput": {"DataSource": S3, "CompressionType": "Gzip"}}, "CompressionType Gzip"),
        ({"DataProcessing": {"JoinSource": "Input"}}, "JoinSource Input is not offered"),
        ({"DataProcessing": {"OutputFilter": "$.score"}}, "OutputFilter '$.score' is not offered"),
        ({"TransformOutput": {"S3OutputPath": "https://scores/out"}}, "S3OutputPath must be s3://"),
        ({"TransformOutput": {"S3OutputPath": "s3://scores/out", "Accept": "text/csv"}}, "'text/csv'"),
        ({"TransformOutput": {"S3OutputPath": "s3://scores/out", "KmsKeyId": "k"}}, "KMS key"),
        ({"TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 2}}, "InstanceCount is 2"),
        ({"Environment": {"SPRINGBOARD_SPEED": "9"}}, "SPRINGBOARD_SPEED"),
        ({"DataCaptureConfig": {"DestinationS3Uri": "s3://c/d"}}, "DataCaptureConfig of a transform job"),
        ({"uri": "s3://other/in/"}, "may not read bucket 'other': serve with --allow-bucket other"),
        ({"kind": "AugmentedManifestFile"}, "S3DataType AugmentedManifestFile is not offered"),
    ],
)
def test_what_has_no_counterpart_is_refused_with_a_sentence(
    sagemaker: Any, more: dict[str, Any], words: str
) -> None:
    model(sagemaker)
    with pytest.raises(ClientError) as error:
        sagemaker.create_transform_job(**asked(**more))
    assert words in refused(error)[1]
    assert sagemaker.list_transform_jobs()["TransformJobSummaries"] == []


def test_a_job_is_the_engines_host(tmp_path: Path) -> None:
    said = asked(MaxPayloadInMB=2, ModelClientConfig={"InvocationsMaxRetries": 0}, MaxConcurrentTransforms=7)
    made = {"PrimaryContainer": {"Environment": {"SPRINGBOARD_WORKERS": "2"}}}
    host = host_of(BASE, {"name": "heat", "said": said, "model": made}, tmp_path)
    assert Host.model_validate(host.model_dump(by_alias=True)) == host
    assert (host.endpoint, host.worker.workers, host.limits.max_object_bytes) == ("heat", 2, 2 * 2**20)
    assert host.asynchronous
    assert (host.asynchronous.max_concurrent, host.asynchronous.max_attempts) == (7, 1)


def put(aws: Cloud, key: str, body: bytes = b"x") -> None:
    aws.client("s3").put_object(Bucket="dives", Key=key, Body=body)


@pytest.mark.parametrize(
    ("uri", "results"),
    [
        ("s3://dives/p/heat/", ["1.mp4", "a/2.mp4"]),
        ("s3://dives/p/heat", ["1.mp4", "a/2.mp4", "heat2/3.mp4"]),
        ("s3://dives/p/he", ["heat/1.mp4", "heat/a/2.mp4", "heat2/3.mp4"]),
        ("s3://dives/p/heat/1.mp4", ["1.mp4"]),
        ("s3://dives/p/these.json", ["a/2.mp4", "1.mp4"]),
    ],
)
def test_results_lie_as_their_objects_do_below_the_prefix(aws: Cloud, uri: str, results: list[str]) -> None:
    for key in ("p/heat/", "p/heat/1.mp4", "p/heat/a/2.mp4", "p/heat2/3.mp4"):
        put(aws, key)
    listed = [{"prefix": "s3://dives/p/heat/"}, "a/2.mp4", "1.mp4", "1.mp4"]
    put(aws, "p/these.json", json.dumps(listed).encode())
    kind = "ManifestFile" if uri.endswith(".json") else "S3Prefix"
    inputs = Inputs(Store(aws.client("s3")), {"S3Uri": uri, "S3DataType": kind}, ["dives"])
    places = list(inputs.places(""))
    assert [inputs.result(place, "s3://scores/out/") for place in places] == [
        f"s3://scores/out/{path}.out" for path in results
    ]
    for number, place in enumerate(places):
        assert list(inputs.places(place)) == places[number + 1 :]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no manifest", "is no manifest"),
        ('["1.mp4"]', "is no manifest"),
        ('[{"prefix": "s3://other/in/"}, "1.mp4"]', "may not read bucket 'other'"),
        ('[{"prefix": "/etc/"}, "passwd"]', "must be s3://"),
    ],
)
def test_a_manifest_that_is_none_is_said(aws: Cloud, text: str, words: str) -> None:
    put(aws, "manifest", text.encode())
    source = {"S3Uri": "s3://dives/manifest", "S3DataType": "ManifestFile"}
    with pytest.raises(ControlError, match=words):
        list(Inputs(Store(aws.client("s3")), source, ["dives"]).places(""))


class Shift:
    """Transform jobs in one folder, and who answers their videos."""

    def __init__(self, folder: Path, aws: Cloud, answer: Callable[[Job], Answer]) -> None:
        self.folder, self.aws, self.asked = folder, aws, Counter[str]()
        self.documents, self.place = Folder(folder / "documents"), Place(folder)
        self.base = BASE.model_copy(update={"allowed_buckets": ("dives",)})
        self._answer = answer

    def create(self, name: str, uri: str, **more: Any) -> dict[str, Any]:
        document = {"name": name, "created": 1.0, "modified": 1.0, "status": "InProgress"}
        document |= {"said": asked(name, uri, **more), "model": {"PrimaryContainer": {"Image": "x"}}}
        self.documents.write("transform-job", name, document, None)
        return document

    def told(self, name: str) -> dict[str, Any]:
        found = self.documents.read("transform-job", name)
        assert found
        return found[0]

    def transformer(self, name: str, **more: Any) -> Transformer:
        store = Store(self.aws.client("s3"))
        return Transformer(name, self.place, self.documents, self.base, store=store, **more)

    @contextmanager
    def working(self, name: str) -> Iterator[None]:
        settings = host_of(self.base, self.told(name), self.folder).asynchronous
        assert settings

        def answer(job: Job) -> Answer:
            self.asked[job.input] += 1
            return self._answer(job)

        queue = open_queue(settings, name)
        worker = Worker(settings, name, queue, lambda _: Said(answer), Store(self.aws.client("s3")))
        worker.start()
        try:
            yield
        finally:
            worker.stop(10)
            queue.close()

    def results(self, prefix: str) -> dict[str, bytes]:
        s3 = self.aws.client("s3")
        found = s3.list_objects_v2(Bucket="scores", Prefix=prefix).get("Contents", [])
        return {
            one["Key"].removeprefix(prefix): s3.get_object(Bucket="scores", Key=one["Key"])["Body"].read()
            for one in found
        }


def _answer(job: Job) -> Answer:
    if "bad" in job.input:
        return Answer.failure("not_a_dive", "This is no dive.")
    return Answer(b'{"score":  50}')  # as it is: no JSON of ours


@pytest.fixture
def shift(tmp_path: Path, aws: Cloud, monkeypatch: pytest.MonkeyPatch) -> Shift:
    monkeypatch.setattr(batches, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(sources, "acquire", lambda *_: "1.0.0")
    monkeypatch.setattr(Rollout, "deploy", lambda *_: True)
    monkeypatch.setattr(Rollout, "heal", lambda _: True)
    return Shift(tmp_path, aws, _answer)


def output(path: str, **more: Any) -> dict[str, Any]:
    return {"S3OutputPath": f"s3://scores/{path}", **more}


def test_each_object_has_its_result_beside_its_path(shift: Shift, aws: Cloud) -> None:
    for number in range(5):
        put(aws, f"good/a {number}/ä.mp4")
    shift.create("good", "s3://dives/good", TransformOutput=output("good", AssembleWith="Line"))
    with shift.working("good"):
        shift.transformer("good").run()
    told = shift.told("good")
    assert (told["status"], "failure" in told, told["ended"] >= told["started"]) == ("Completed", False, True)
    assert shift.results("good/") == {f"a {number}/ä.mp4.out": b'{"score":  50}\n' for number in range(5)}


def test_what_cannot_be_scored_fails_the_job_and_keeps_no_other_result(shift: Shift, aws: Cloud) -> None:
    for name in ("1", "2-bad", "3", "4-bad"):
        put(aws, f"mixed/{name}.mp4")
    shift.create("mixed", "s3://dives/mixed/", TransformOutput=output("mixed"))
    with shift.working("mixed"):
        shift.transformer("mixed").run()
    told = shift.told("mixed")
    assert told["status"] == "Failed"
    assert told["failure"] == (
        "2 of 4 objects were not scored (not_a_dive 2), the others were. "
        "The first: s3://dives/mixed/2-bad.mp4: not_a_dive: This is no dive."
    )
    assert shift.results("mixed/") == {"1.mp4.out": b'{"score":  50}', "3.mp4.out": b'{"score":  50}'}


def test_one_that_was_killed_goes_on_and_scores_nothing_twice(shift: Shift, aws: Cloud) -> None:
    for number in range(20):
        put(aws, f"killed/{number:02}.mp4")
    shift.create("killed", "s3://dives/killed/", TransformOutput=output("killed"))
    stop = Stop()

    def ask() -> None:
        if len(shift.asked) > 5:
            stop.tell("the server ends")
        stop.ask()

    with shift.working("killed"):
        with pytest.raises(Stopped):
            shift.transformer("killed", ask=ask).run()
        assert shift.told("killed")["status"] == "InProgress"
        shift.transformer("killed").run()
    assert shift.told("killed")["status"] == "Completed"
    assert len(shift.results("killed/")) == 20
    assert set(shift.asked.values()) == {1}


def test_one_that_is_stopped_says_so(shift: Shift, aws: Cloud) -> None:
    put(aws, "stopped/1.mp4")
    shift.create("stopped", "s3://dives/stopped/")
    job = threading.Thread(target=shift.transformer("stopped").run)
    job.start()  # and nobody works
    wait_until(lambda: "started" in shift.told("stopped"), "it to begin")
    shift.documents.change("transform-job", "stopped", lambda one: {**one, "status": "Stopping"})
    job.join(60)
    assert shift.told("stopped")["status"] == "Stopped"
    shift.transformer("stopped").run()
    assert shift.told("stopped")["status"] == "Stopped"


def test_one_that_cannot_be_done_says_why(shift: Shift, aws: Cloud) -> None:
    shift.create("nothing", "s3://dives/nothing/")
    shift.transformer("nothing").run()
    why = 'No S3 objects found under S3 URL "s3://dives/nothing/" given in input data source.'
    assert (shift.told("nothing")["status"], shift.told("nothing")["failure"]) == ("Failed", why)
    put(aws, "full/1.mp4")
    shift.create("full", "s3://dives/full/")
    shift.transformer("full", holds=lambda _: False).run()
    assert "CapacityError: this server's memory holds no model" in shift.told("full")["failure"]
