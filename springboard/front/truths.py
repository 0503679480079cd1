"""Judges' scores of what was answered, taken in: one JSON object or JSON lines."""

import asyncio
import logging
from collections import Counter

from starlette.requests import Request
from starlette.responses import Response

from model_handler.request.errors import ScoringError
from springboard.auth.check import address_of
from springboard.auth.errors import NotAuthorized
from springboard.front import sagemaker as wire
from springboard.front import schema
from springboard.front.errors import (
    ClientGone,
    Draining,
    InternalFailure,
    TruthAway,
    TruthRefused,
    UnknownEndpoint,
)
from springboard.front.exchange import CLIENT_GONE, tell_unauthorized
from springboard.front.front import Front
from springboard.front.intake.body import check_length, read_body
from springboard.front.truth.ledger import LedgerAway
from springboard.front.truth.lines import NoTruth
from springboard.front.truth.lines import read_body as read_truths
from springboard.system import logs

log = logging.getLogger("springboard.exchange")

MAX_TRUTH_BYTES = 1_000_000
# An answer names so many ids that nothing is known of; more are counted.
_MOST_NAMED = 100
_NO_TRUTH = "This server remembers no answers: have `truth` set in its endpoint.yml (docs/truth.md)."


async def take_truths(front: Front, request: Request) -> Response:
    """Answer one request that brings truths: what became of them. All are taken, or none."""
    call = wire.Call(logs.request_id.get(), wire.Dialect.TYPED)
    try:
        told = await _taken(front, request)
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
    return Response(told.model_dump_json(), media_type="application/json")


async def _taken(front: Front, request: Request) -> schema.TruthsTaken:
    if front.refusing:
        raise Draining
    with front.accepted():
        verify = front.auth.begin(request)
        caller = front.auth.caller(request)
        async with front.admission.seat(f"{caller} {address_of(request)}" if verify else caller) as seat:
            limits = front.endpoint.limits.model_copy(update={"max_body_bytes": MAX_TRUTH_BYTES})
            check_length(request, limits)
            body = await read_body(request, seat, limits)
            if verify:
                verify(body)
            if not front.answers_to(name := request.path_params["name"]):
                raise UnknownEndpoint(f"Endpoint {name} was not found; this server has {front.name}.")
            if not front.truth.on:
                raise TruthRefused(_NO_TRUTH)
            try:
                truths = await asyncio.to_thread(read_truths, body)
                outcomes = await asyncio.get_running_loop().run_in_executor(
                    front.job_threads, front.truth.tell, truths
                )
            except NoTruth as error:
                raise TruthRefused(f"Nothing was taken: {error}.") from None
            except LedgerAway as error:
                log.error("truths are not taken: %s", error)
                raise TruthAway("What was answered cannot be read; the server's log tells more.") from None
    counts = Counter(outcomes)
    unknown = [one.inference_id for one, what in zip(truths, outcomes, strict=True) if what == "unknown"]
    return schema.TruthsTaken(
        matched=counts["matched"],
        corrected=counts["corrected"],
        repeated=counts["repeated"],
        unknown=counts["unknown"],
        unknown_ids=unknown[:_MOST_NAMED],
    )
