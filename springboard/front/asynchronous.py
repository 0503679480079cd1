"""Asynchronous inference: a job taken in, and where it stands. Shapes are botocore's, InvokeEndpointAsync."""

import asyncio
import json
import logging
import re
import time
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from model_handler.request.errors import InvalidRequest
from model_handler.request.source import S3Object, parse
from springboard.endpoint.document import Endpoint
from springboard.front import sagemaker as wire
from springboard.front import schema
from springboard.front.errors import (
    BodyTooLarge,
    Draining,
    InvalidHeader,
    JobRefused,
    JobsAway,
    NoJobs,
    UnknownJob,
)
from springboard.front.exchange import admitted, typed, unknown_endpoint
from springboard.front.front import Front
from springboard.jobs.desk import Desk, NameTaken, OtherInput
from springboard.jobs.job import Job, file_below, located, quoted
from springboard.jobs.queue import QueueAway
from springboard.jobs.store import StoreAway
from springboard.system import logs

log = logging.getLogger("springboard.exchange")

MAX_INLINE_BYTES = 128_000
_S3_HOST = re.compile(r"(?:(?P<bucket>.+)\.)?s3[.-](?:[a-z0-9-]+\.)?amazonaws\.com(?:\.cn)?")
_MAX_KEY_BYTES = 1024
_NO_JOBS = (
    "This server has no asynchronous inference: use InvokeEndpoint, which takes videos in S3 too, "
    'with the body {"s3_uri": "s3://BUCKET/KEY"}, or have `async` set in its endpoint.yml.'
)
_NO_UPLOADS = "Put the video into S3 and send its InputLocation to async-invocations."
_T = TypeVar("_T")


async def invoke_async(front: Front, request: Request, *, upload: bool = False) -> Response:
    """Answer one request that nobody waits on: 202 with the job's id, and where its result will be.

    With `upload` the video is still to come, to the address that is told, and the answer is 200.
    """
    call = wire.Call(logs.request_id.get(), wire.Dialect.TYPED)
    return await typed(front, request, call, _accepted(front, request, call, upload))


async def _accepted(front: Front, request: Request, call: wire.Call, upload: bool) -> Response:
    job, address = await _taken_in(front, request, call, upload)
    logs.told.get()["inference_id"] = job.id
    headers = {
        f"{wire.PREFIX}OutputLocation": located(job.output),
        f"{wire.PREFIX}FailureLocation": located(job.failure),
    }
    said = {"InferenceId": job.id}
    if upload:
        said |= {"InputLocation": job.input, "UploadUrl": address}
    return Response(json.dumps(said), 200 if upload else 202, headers, media_type="application/json")


async def find_job(front: Front, job_id: str) -> schema.JobState:
    """Say where a job stands; raise `UnknownJob`."""
    standing = await _on_thread(front, lambda desk: desk.find(job_id))
    if standing is None:
        raise UnknownJob(f"There is no job {job_id}.")
    job = standing.job
    return schema.JobState(
        inference_id=job.id,
        state=standing.state,
        output_location=located(job.output),
        failure_location=located(job.failure),
        received=job.received,
        expires=job.expires,
        failure_reason=standing.reason or None,
    )


async def _taken_in(front: Front, request: Request, call: wire.Call, upload: bool) -> tuple[Job, str]:
    if front.refusing:
        raise Draining
    if front.desk is None:
        raise NoJobs(_NO_JOBS)
    try:
        async with admitted(front, request, MAX_INLINE_BYTES) as body:
            if upload and (body or request.headers.get(f"{wire.PREFIX}InputLocation")):
                raise JobRefused("Send no video here, and no InputLocation: put the video to the UploadUrl.")
            job, named = _read(front, request, call, None if upload else body)
            return await _handed_in(front, job, named, upload)
    except BodyTooLarge:
        raise JobRefused(
            f"An inline body may have {MAX_INLINE_BYTES:,} bytes; put a larger video into S3 and "
            f"send its {wire.PREFIX}InputLocation."
        ) from None


async def _handed_in(front: Front, job: Job, named: bool, upload: bool) -> tuple[Job, str]:
    try:
        if upload:
            return await _on_thread(front, lambda desk: desk.promise(job, named))
        return await _on_thread(front, lambda desk: (desk.accept(job, named), ""))
    except OtherInput:
        raise JobRefused(
            f"{wire.PREFIX}Inference-Id {job.id} is a job's with another input; take another id."
        ) from None
    except NameTaken:
        raise JobRefused(
            f"{wire.PREFIX}Filename: {located(job.output)} is another job's; take another."
        ) from None


def _read(front: Front, request: Request, call: wire.Call, body: bytes | None) -> tuple[Job, bool]:
    """Return the job that a request asks for, and whether the caller named its result.

    Without any `body` its video will be put where `uploads` says.
    """
    desk, endpoint = front.desk, front.endpoint
    assert desk is not None  # noqa: S101 - the caller looked
    if not front.answers_to(name := request.path_params["name"]):
        raise unknown_endpoint(front, name)
    call = wire.read_call(request.headers, call)
    said = {name: _header(request, name) for name in wire.ASYNC_RULES}
    ttl, timeout = (_seconds(request, name) for name in wire.ASYNC_SECONDS)
    if body is not None and bool(said["InputLocation"]) == bool(body):
        raise JobRefused(f"Send either {wire.PREFIX}InputLocation or a body, one of them.")
    extension, filename = said["S3OutputPathExtension"], said["Filename"]
    if any(step in ("", ".", "..") for step in extension.strip("/").split("/") if extension):
        raise InvalidHeader(f"{wire.PREFIX}S3OutputPathExtension must be steps of a path, without . and ..")
    job_id = call.inference_id or call.request_id
    output, failure = desk.place(job_id, extension, filename)
    if max(len(place.encode()) for place in (output, failure)) > _MAX_KEY_BYTES:
        raise InvalidHeader(f"{wire.PREFIX}S3OutputPathExtension makes the result's place too long.")
    if body is None:
        said["InputLocation"] = _upload_of(job_id, endpoint)
    now = time.time()
    job = Job(
        id=job_id,
        endpoint=front.name,
        input=_located(said["InputLocation"], endpoint) if said["InputLocation"] else "",
        body=body or b"",
        content_type=said["Content-Type"] or (request.headers.get("Content-Type", "") if body else ""),
        accept=said["Accept"],
        received=now,
        expires=now + ttl,
        timeout=timeout,
        output=output,
        failure=failure,
    )
    return job, bool(extension or filename)


def _upload_of(job_id: str, endpoint: Endpoint) -> str:
    """Return where a job's video is to be put."""
    if not (endpoint.asynchronous and endpoint.asynchronous.uploads):
        raise NoJobs("This server takes no uploads: its operator has set no async.uploads. " + _NO_UPLOADS)
    return f"{endpoint.asynchronous.uploads.rstrip('/')}/{quoted(job_id)}"


def _header(request: Request, name: str) -> str:
    if value := request.headers.get(wire.PREFIX + name, ""):
        wire.check(name, value, wire.ASYNC_RULES[name])
    return value


def _seconds(request: Request, name: str) -> int:
    least, most, default = wire.ASYNC_SECONDS[name]
    value = request.headers.get(wire.PREFIX + name)
    if value is None:
        return default
    if not re.fullmatch(r"[0-9]{1,6}", value) or not least <= int(value) <= most:
        raise InvalidHeader(f"{wire.PREFIX}{name} must be a whole number from {least} to {most}.")
    return int(value)


def _located(location: str, endpoint: Endpoint) -> str:
    """Return an input's place as the worker reads it, if this endpoint takes videos from there."""
    if location.startswith("file://"):
        return _file(location, endpoint)
    uri = _s3_uri(location) if location.startswith("https://") else location
    try:
        source = parse(json.dumps({"s3_uri": uri}).encode())
    except InvalidRequest as error:
        raise JobRefused(f"{wire.PREFIX}InputLocation: {error.message}") from None
    assert isinstance(source, S3Object)  # noqa: S101 - nothing else has an s3_uri
    if source.bucket not in endpoint.allowed_buckets:
        raise JobRefused(
            f"{wire.PREFIX}InputLocation: this server may not read bucket {source.bucket!r}. Its operator "
            "lists the buckets it may read."
        )
    return uri


def _s3_uri(location: str) -> str:
    parts = urlsplit(location)
    host = _S3_HOST.fullmatch(parts.netloc)
    if host is None or parts.query:
        raise JobRefused(f"{wire.PREFIX}InputLocation is no address of S3; send s3://BUCKET/KEY.")
    path = unquote(parts.path.removeprefix("/"))
    return f"s3://{host['bucket']}/{path}" if host["bucket"] else f"s3://{path}"


def _file(location: str, endpoint: Endpoint) -> str:
    folders = endpoint.asynchronous.inputs if endpoint.asynchronous else ()
    if file_below(location, folders) is None:
        raise JobRefused(
            f"{wire.PREFIX}InputLocation: this server takes files of its own from these folders only: "
            f"{', '.join(folders) or 'none'} (async.inputs)."
        )
    return location


async def _on_thread(front: Front, call: Callable[[Desk], _T]) -> _T:
    """Call with the endpoint's desk on a thread of its own kind; raise `JobsAway`, `NoJobs`."""
    if (desk := front.desk) is None:
        raise NoJobs(_NO_JOBS)
    try:
        return await asyncio.get_running_loop().run_in_executor(front.job_threads, lambda: call(desk))
    except (QueueAway, StoreAway) as error:
        log.error("%s", error)
        raise JobsAway(
            "The queue of jobs or the place of their results cannot be reached; the server's log tells more. "
            "The same Inference-Id may be sent again."
        ) from None
