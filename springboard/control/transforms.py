"""Transform jobs: their operations. transforming.py has what runs follow from their documents.

A job's document holds what was asked for (`said`), its model as it was when the call came, and how far it is.
"""

import time
from collections.abc import Callable, Collection

from springboard.control.documents import Answer, Documents, Operation, check_environment, container
from springboard.control.errors import ControlError
from springboard.control.inputs import MANIFEST, PREFIX, bucket_of, check_bucket
from springboard.control.names import MODEL, SAID, TRANSFORM
from springboard.control.store import Document, DocumentStore

IN_PROGRESS, COMPLETED, FAILED = "InProgress", "Completed", "Failed"
STOPPING, STOPPED = "Stopping", "Stopped"
UNENDED = (IN_PROGRESS, STOPPING)
_ACCEPTED = ("", "application/json", "*/*")


class Transforms:
    """The operations on transform jobs, by their names in SageMaker's API."""

    def __init__(
        self,
        documents: Documents,
        buckets: Callable[[], Collection[str]],
        wake: Callable[[], None] = lambda: None,
        refuse: Callable[[Document, Document], None] = lambda asked, model: None,
    ) -> None:
        """Work on these documents; `buckets` may be read, `wake` is called when there is something to do.

        `refuse` raises `ControlError` of a job, as it was asked for, and its model, that are not done here.
        """
        self._documents, self._store, self._identity = documents, documents.store, documents.identity
        self._buckets, self._wake, self._refuse = buckets, wake, refuse
        self.operations: dict[str, Operation] = {
            "CreateTransformJob": self._create,
            "DescribeTransformJob": self._describe,
            "ListTransformJobs": self._list,
            "StopTransformJob": self._stop,
        }

    def _create(self, asked: Document) -> Answer:
        self._check(asked)
        model = self._documents.find(MODEL, asked["ModelName"])[0]["said"]
        environment = {**container(model).get("Environment", {}), **asked.get("Environment", {})}
        model = {"PrimaryContainer": {**container(model), "Environment": environment}}
        self._refuse(asked, model)
        tags = asked.pop("Tags", [])
        document = {"status": IN_PROGRESS, "modified": time.time(), "said": asked, "model": model}
        arn = self._documents.create(TRANSFORM, asked["TransformJobName"], document, tags)
        self._wake()
        return {"TransformJobArn": arn}

    def _describe(self, asked: Document) -> Answer:
        document, _ = self._documents.find(TRANSFORM, asked["TransformJobName"])
        return {
            **document["said"],
            "TransformJobArn": self._identity.arn(TRANSFORM, document["name"]),
            "TransformJobStatus": document["status"],
            "FailureReason": document.get("failure"),
            "CreationTime": document["created"],
            "TransformStartTime": document.get("started"),
            "TransformEndTime": document.get("ended"),
        }

    def _list(self, asked: Document) -> Answer:
        return self._documents.listed(TRANSFORM, "TransformJobSummaries", asked, _summary, "TransformJob")

    def _stop(self, asked: Document) -> Answer:
        name = asked["TransformJobName"]

        def how(document: Document) -> Document | None:
            if (status := document["status"]) not in UNENDED:
                raise ControlError(
                    f"The request was rejected because the {SAID[TRANSFORM]} is in status {status}."
                )
            if "started" not in document:
                return ended(document, STOPPED)
            return {**document, "status": STOPPING, "modified": time.time()}

        if self._store.change(TRANSFORM, name, how) is None:
            # What clients match on: Kubeflow's components take it for a job that was never made.
            raise ControlError(f"Could not find job to update with name: {name}")
        return {}

    def _check(self, asked: Document) -> None:
        source, output = asked["TransformInput"], asked["TransformOutput"]
        self._check_source(source["DataSource"]["S3DataSource"])
        for name, value in (
            ("CompressionType", source.get("CompressionType", "None")),
            ("SplitType", source.get("SplitType", "None")),
            ("JoinSource", asked.get("DataProcessing", {}).get("JoinSource", "None")),
        ):
            if value != "None":
                raise ControlError(
                    f"{name} {value} is not offered: each object is one video, and has one answer."
                )
        for name in ("InputFilter", "OutputFilter"):
            if (path := asked.get("DataProcessing", {}).get(name, "$")) != "$":
                raise ControlError(f"{name} {path!r} is not offered: only $, the whole of it.")
        bucket_of(output["S3OutputPath"], "TransformOutput.S3OutputPath")
        if (accept := output.get("Accept", "")) not in _ACCEPTED:
            raise ControlError(f"Accept {accept!r} is not offered: answers are application/json.")
        check_environment(asked.get("Environment", {}))
        self._check_counterparts(asked)

    def _check_source(self, data: Document) -> None:
        if data["S3DataType"] not in (PREFIX, MANIFEST):
            raise ControlError(
                f"S3DataType {data['S3DataType']} is not offered: only {PREFIX} and {MANIFEST} are."
            )
        check_bucket(bucket_of(data["S3Uri"], "S3DataSource.S3Uri"), self._buckets())

    def _check_counterparts(self, asked: Document) -> None:
        resources = asked["TransformResources"]
        if (count := resources["InstanceCount"]) != 1:
            self._documents.no_counterpart(f"InstanceCount is {count}, and this is one machine.")
        if "KmsKeyId" in asked["TransformOutput"] or "VolumeKmsKeyId" in resources:
            self._documents.no_counterpart("A KMS key is given; results are encrypted as their bucket says.")
        if "DataCaptureConfig" in asked:
            self._documents.no_counterpart("DataCaptureConfig of a transform job is not offered here.")


def turn(store: DocumentStore) -> str:
    """Return the name of the job whose turn it is, the oldest that has not ended; empty where all have."""
    unended = [one for one in store.every(TRANSFORM) if one["status"] in UNENDED]
    first = min(unended, key=lambda one: (one["created"], one["name"]), default={"name": ""})
    return str(first["name"])


def ended(document: Document, status: str, failure: str = "") -> Document:
    """Return a job's document as it is when the job has ended."""
    now = time.time()
    told = {"failure": failure} if failure else {}
    return {**document, "status": status, "modified": now, "ended": now, **told}


def _summary(document: Document) -> Answer:
    return {
        "TransformJobStatus": document["status"],
        "LastModifiedTime": document["modified"],
        "TransformEndTime": document.get("ended"),
        "FailureReason": document.get("failure"),
    }
