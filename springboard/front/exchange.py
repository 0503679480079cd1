"""One request's way: who calls, what they send, the score, and the answer in their dialect."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from model_handler.request.errors import AccessDenied, ScoringError, StorageError
from springboard.auth.check import Verify, address_of
from springboard.auth.errors import NotAuthorized
from springboard.endpoint.document import Endpoint
from springboard.endpoint.names import MODEL
from springboard.front import answers
from springboard.front import sagemaker as wire
from springboard.front.capture import Seen
from springboard.front.errors import (
    ClientGone,
    Draining,
    InternalFailure,
    InvalidHeader,
    NotReady,
    UnknownEndpoint,
    UnknownModel,
)
from springboard.front.front import NOTHING_DEPLOYED, Front
from springboard.front.intake.admission import Seat
from springboard.front.intake.body import check_length, client_gone, read_body
from springboard.front.intake.source import Body
from springboard.front.intake.unpack import coding_of
from springboard.front.metrics.record import Refused
from springboard.front.scheduling.lane import Ticket
from springboard.front.scheduling.queue import unknown_variant
from springboard.front.truth.store import Answered
from springboard.system import logs
from springboard.torchserve.client import Answer, Video

log = logging.getLogger("springboard.exchange")

# nginx's status for a client that left before its answer; seen in logs and metrics only.
CLIENT_GONE = 499
# A server without a control plane is nobody's account.
NO_ACCOUNT = "000000000000"
# 403 to whoever named an object in a bucket of ours: our own role lacks a right, and no caller can help that.
OURS = frozenset({AccessDenied.code, StorageError.code})
# Bodies above this are hashed on a thread: 256 KiB take about 0.2 ms.
_HASH_INLINE_BYTES = 1 << 18


# What `curl -d @dive.mp4` sends: the file without its line breaks.
_FORM_URLENCODED = "application/x-www-form-urlencoded"
_CURL_HINT = (
    f" It came as {_FORM_URLENCODED}, as curl -d sends a file, which takes its line breaks out: "
    "send it with --data-binary @FILE, or -F video=@FILE."
)


@dataclass(frozen=True)
class Asked:
    """What a request's path says: how to answer, and which endpoint, or model and release, it names."""

    dialect: wire.Dialect = wire.Dialect.PLAIN
    endpoint: str | None = None
    model: str | None = None
    release: str | None = None


async def invoke(front: Front, request: Request, asked: Asked) -> Response:
    """Answer one request for a score."""
    return await _Exchange(front, request, asked).answer()


def tell_unauthorized(front: Front, request: Request, error: NotAuthorized) -> None:
    """Count a request without the right credentials, and say in its line of the log whose it was and why."""
    front.metrics.not_authorized.labels(error.reason).inc()
    address = request.client.host if request.client else ""
    logs.told.get().update(code=error.code, reason=error.reason, key_id=error.key_id, address=address)


def unknown_endpoint(front: Front, name: str) -> UnknownEndpoint:
    """Return what SageMaker says of an endpoint that is not there, and which one is."""
    here = f" This server has {front.name}." if front.queue.lanes else ""
    return UnknownEndpoint(f"Endpoint {name} of account {front.account or NO_ACCOUNT} not found.{here}")


async def typed(front: Front, request: Request, call: wire.Call, work: Awaitable[Response]) -> Response:
    """Return what `work` answers, or SageMaker's typed error that says why it does not."""
    try:
        return await work
    except ScoringError as error:
        if isinstance(error, NotAuthorized):
            tell_unauthorized(front, request, error)
        logs.told.get()["code"] = error.code
        return wire.refusal(call, error)
    except ClientGone:
        return Response(status_code=CLIENT_GONE)
    except Exception:
        log.exception("a bug of ours")
        return wire.refusal(call, InternalFailure(call.request_id))


@asynccontextmanager
async def admitted(front: Front, request: Request, most: int) -> AsyncIterator[bytes]:
    """Let a request in, and yield its body, of so many bytes at most, whose sender may call.

    Raises `NotAuthorized`, `BodyTooLarge` and what else a body may be refused for.
    """
    with front.accepted():
        verify = front.auth.begin(request)
        async with front.admission.seat(_sender(front.auth.caller(request), request, verify)) as seat:
            limits = front.endpoint.limits.model_copy(update={"max_body_bytes": most})
            check_length(request, limits)
            body = await read_body(request, seat, limits)
            if verify:
                verify(body)
            yield body


def _sender(caller: str, request: Request, verify: Verify) -> str:
    # Until its signature was seen, a key's name alone takes nothing from the key's share.
    return f"{caller} {address_of(request)}" if verify else caller


class _Exchange:
    def __init__(self, front: Front, request: Request, asked: Asked) -> None:
        self._front = front
        self._request = request
        self._asked = asked
        self._call = wire.Call(logs.request_id.get(), asked.dialect)
        self._proven = False
        self._caller = self._variant = self._release = self._coding = ""
        # As on /invocations: boto3's 424 hides whose fault it was.
        self._status = 0
        self._told = logs.told.get()

    async def answer(self) -> Response:
        front, clock = self._front, asyncio.get_running_loop().time
        began = clock()
        try:
            response = await self._admitted()
        except ScoringError as error:
            response = self._refused(error)
        except ClientGone:
            self._status = CLIENT_GONE
            response = Response(status_code=CLIENT_GONE)
        except Exception:
            log.exception("a bug of ours")
            response = self._refused(InternalFailure(self._call.request_id))
        self._record(response.status_code, clock() - began)
        if code := self._told.get("code"):
            front.metrics.last_refused.append(
                Refused(time.time(), self._call.request_id, self._status, str(code), self._variant)
            )
        if self._call.inference_id is not None:
            self._told["inference_id"] = self._call.inference_id
        return response

    def _record(self, status: int, seconds: float) -> None:
        """Count how it ended, and say so in its line of the log."""
        metrics, told = self._front.metrics, self._told
        outcome = outcome_of(self._status, str(told.get("code", "")))
        labels = (self._variant, self._release)
        exemplar = {"request_id": self._call.request_id}
        metrics.requests.labels(self._front.name, *labels, str(status), outcome).inc(exemplar=exemplar)
        metrics.duration.labels(self._front.name, *labels).observe(seconds, exemplar=exemplar)
        code = {"scored": "scored", "left": "left"}.get(outcome, str(told.get("code", "")))
        metrics.answers.labels(*labels, code).inc()
        caller = self._caller.removeprefix("key ") if self._proven and self._caller[:4] == "key " else ""
        metrics.record_caller(caller, outcome)
        if caller:
            told["caller"] = caller
        told |= {"variant": self._variant, "release": self._release, "outcome": outcome}

    def _refused(self, error: ScoringError) -> Response:
        self._status = error.status
        self._told["code"] = error.code
        self._front.metrics.refused.labels(error.code).inc()
        if isinstance(error, NotAuthorized):
            tell_unauthorized(self._front, self._request, error)
        elif isinstance(error, StorageError) and error.code in OURS:
            log.warning("S3 does not give what we asked for: %s%s", error.message, _s3_id(error))
        return wire.refusal(self._call, error)

    async def _admitted(self) -> Response:
        front = self._front
        if front.refusing:
            raise Draining
        with front.accepted():
            verify = front.auth.begin(self._request)
            self._caller = front.auth.caller(self._request)
            self._proven = verify is None
            async with front.admission.seat(_sender(self._caller, self._request, verify)) as seat:
                return await self._handled(seat, verify)

    async def _handled(self, seat: Seat, verify: Verify) -> Response:
        front, request = self._front, self._request
        if not front.queue.lanes and front.account and self._asked.endpoint is not None:
            raise unknown_endpoint(front, self._asked.endpoint)
        if not front.queue.lanes:
            raise NotReady(f"{NOTHING_DEPLOYED[0].upper()}{NOTHING_DEPLOYED[1:]}.")
        if verify is None:
            self._read_call()
        front.admission.check(seat.caller)
        endpoint = front.endpoint
        front.queue.check(self._ticket(asyncio.get_running_loop().time(), endpoint))
        content = await self._read_body(seat, endpoint, verify)
        self._proven = True
        if verify is not None:  # names and rules are for whoever may call
            self._read_call()
        body = Body(
            content,
            request.headers.get("Content-Type"),
            self._coding,
            endpoint.limits.max_body_bytes,
            any_base64=self._asked.dialect is wire.Dialect.LAMBDA,
        )
        seat.count()
        scoring = asyncio.create_task(self._score(body, endpoint, seat))
        leaving = asyncio.create_task(client_gone(request))
        try:
            await asyncio.wait({scoring, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not scoring.done():
                raise ClientGone
            return scoring.result()
        finally:
            scoring.cancel()
            leaving.cancel()

    async def _read_body(self, seat: Seat, endpoint: Endpoint, verify: Verify) -> bytes:
        check_length(self._request, endpoint.limits)
        content = await read_body(self._request, seat, endpoint.limits)
        # A signature is of the bytes as they came.
        if verify and len(content) > _HASH_INLINE_BYTES:
            await asyncio.to_thread(verify, content)
        elif verify:
            verify(content)
        return content

    def _read_call(self) -> None:
        """Read headers and names."""
        front, asked = self._front, self._asked
        self._coding = coding_of(self._request.headers.getlist("Content-Encoding"))
        self._call = wire.read_call(self._request.headers, self._call)
        if asked.endpoint is not None and not front.answers_to(asked.endpoint):
            raise unknown_endpoint(front, asked.endpoint)
        if asked.model is not None and asked.model != MODEL:
            raise UnknownModel(f"There is no model {asked.model}; this server has {MODEL}.")
        if asked.release is not None:
            self._pin_release(asked.release)
        if self._call.variant is not None and self._call.variant not in front.queue.lanes:
            raise unknown_variant(self._call.variant, front.queue.lanes)

    def _pin_release(self, release: str) -> None:
        lanes = self._front.queue.lanes.values()
        variants = [lane.name for lane in lanes if lane.served.release == release]
        if not variants:
            served = ", ".join(sorted({lane.served.release for lane in lanes}))
            raise UnknownModel(f"There is no version {release} of {MODEL}; this server has {served}.")
        if self._call.variant not in (None, *variants):
            raise InvalidHeader(f"{wire.PREFIX}Target-Variant and the path name different releases.")
        self._call = replace(self._call, variant=self._call.variant or variants[0])

    def _ticket(self, since: float, endpoint: Endpoint) -> Ticket:
        limits, low = endpoint.limits, self._call.low
        return Ticket(
            pin=self._call.variant,
            session=self._call.session,
            caller=self._caller,
            since=since,
            target=since + limits.deadline_seconds * (1 if low else limits.overload_share),
            deadline=since + limits.deadline_seconds,
            low=low,
            work_seconds=self._call.work_seconds,
        )

    async def _score(self, body: Body, endpoint: Endpoint, seat: Seat) -> Response:
        front, call, clock = self._front, self._call, asyncio.get_running_loop().time
        began = clock()
        deadline = began + endpoint.limits.deadline_seconds
        s3_seconds = None
        source = await front.sources.read(body, seat, deadline - began)
        if not isinstance(source, bytes):
            source = await front.downloads.fetch(source, endpoint, seat, deadline - clock())
            s3_seconds = clock() - began
        front.metrics.request_bytes.inc(len(source))
        self._told["bytes"] = len(source)
        asked = await front.answers.asked(source, call.include) if front.answers.on else None
        if asked is not None and (response := self._remembered(asked)):
            return response
        ticket = self._ticket(began, endpoint)
        seat.may_leave = lambda: not ticket.at_work
        try:
            with front.places.holding(self._caller, call.inference_id, ticket):
                scored = await front.dispatcher.score(Video(source, call.request_id, call.include), ticket)
        finally:
            if ticket.lane is not None:
                self._variant, self._release = ticket.lane.name, ticket.lane.served.release
        self._status = scored.answer.status
        points = front.metrics.record_answer(scored, s3_seconds)
        front.mirror.offer(source, scored.answer, call.request_id)
        self._remember(points, scored.variant, scored.release)
        content_type = self._request.headers.get("Content-Type", "")
        answer, inference_id = scored.answer.body, call.inference_id or call.request_id
        front.capture.offer(lambda: Seen(scored.variant, content_type, source, answer, inference_id))
        if asked is not None and ticket.lane is not None and ticket.lane.served.release == scored.release:
            front.answers.put(ticket.lane.served, asked, scored.answer)
        stages = {"queue": scored.queued_seconds * 1000}
        if s3_seconds is not None:
            stages["s3"] = s3_seconds * 1000
        self._told["stages_ms"] = {k: round(v, 1) for k, v in (stages | scored.answer.stages).items()}
        if scored.answer.code:
            self._told["code"] = scored.answer.code
        if points is not None:
            self._told["score"] = points
        response = wire.answer(call, self._hinted(scored.answer), scored.variant, stages)
        if asked is not None:
            response.headers[wire.CACHE] = "miss"
        return response

    def _remembered(self, asked: answers.Asked) -> Response | None:
        """Return what the release that this request goes to has said of the same bytes, if it has.

        While several share the traffic, only who pins one knows whose answer is wanted: a canary's videos
        are all scored, by whom its judge expects.
        """
        front, call = self._front, self._call
        lanes = [lane for lane in front.queue.lanes.values() if call.variant == lane.name]
        if call.variant is None:
            lanes = [lane for lane in front.queue.lanes.values() if lane.weight]
        answer = front.answers.get(lanes[0].served, asked) if len(lanes) == 1 else None
        front.metrics.cache.labels("hit" if answer else "miss").inc()
        if answer is None:
            return None
        self._variant, self._release = lanes[0].name, lanes[0].served.release
        self._status = answer.status
        self._told |= {"cache": "hit", "score": answer.score}
        self._remember(answer.score, self._variant, self._release)
        response = wire.answer(call, replace(answer, stages={}), self._variant, {"cache": 0.0})
        response.headers[wire.CACHE] = "hit"
        return response

    def _remember(self, points: float | None, variant: str, release: str) -> None:
        """Have a score remembered until its truth comes, where `truth` says so."""
        if points is not None and self._front.truth.on:
            call, now = self._call, time.time()
            name = call.inference_id or call.request_id
            self._front.truth.remember(Answered(name, call.request_id, variant, release, points, now))

    def _hinted(self, answer: Answer) -> Answer:
        """Say what most likely broke a video that cannot be read, where the request tells."""
        content_type = self._request.headers.get("Content-Type", "").lower()
        if answer.code != "unreadable_video" or not content_type.startswith(_FORM_URLENCODED):
            return answer
        document: dict[str, Any] = answer.json()
        message: str = document["error"]["message"]
        # The worker knows better where it named the file, or saw that bytes are missing.
        if message.startswith(("This is a ", "This is an ")) or "--data-binary" in message:
            return answer
        document["error"]["message"] = message + _CURL_HINT
        return replace(answer, body=json.dumps(document).encode())


def _s3_id(error: StorageError) -> str:
    """Return what AWS's support asks for, where S3 has answered."""
    response = getattr(error.__cause__, "response", None) or {}
    request_id = response.get("ResponseMetadata", {}).get("RequestId")
    return f" S3's request id: {request_id}" if request_id else ""


def outcome_of(status: int, code: str = "") -> str:
    """Return whose doing an answer was, from its status on `/invocations`: what the objectives count.

    `scored`; `refused`: the caller's or the video's fault; `failed`: ours, a full queue too; `left`: the
    caller did not wait. Some errors' `code` tells more than a status of the caller's.
    """
    if status == CLIENT_GONE:
        return "left"
    if status == 429 or status >= 500 or code in OURS:
        return "failed"
    return "scored" if status == 200 else "refused"
