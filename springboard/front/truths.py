"""Judges' scores of what was answered, taken in: one JSON object or JSON lines."""

import asyncio
import logging
from collections import Counter

from starlette.requests import Request
from starlette.responses import Response

from springboard.front import sagemaker as wire
from springboard.front import schema
from springboard.front.errors import Draining, TruthAway, TruthRefused
from springboard.front.exchange import admitted, typed, unknown_endpoint
from springboard.front.front import Front
from springboard.front.truth.ledger import LedgerAway
from springboard.front.truth.lines import NoTruth, read_body
from springboard.system import logs

log = logging.getLogger("springboard.exchange")

MAX_TRUTH_BYTES = 1_000_000
# An answer names so many ids that nothing is known of; more are counted.
_MOST_NAMED = 100
_NO_TRUTH = "This server remembers no answers: have `truth` set in its endpoint.yml (docs/truth.md)."


async def take_truths(front: Front, request: Request) -> Response:
    """Answer one request that brings truths: what became of them. All are taken, or none."""
    call = wire.Call(logs.request_id.get(), wire.Dialect.TYPED)
    return await typed(front, request, call, _taken(front, request))


async def _taken(front: Front, request: Request) -> Response:
    if front.refusing:
        raise Draining
    async with admitted(front, request, MAX_TRUTH_BYTES) as body:
        if not front.answers_to(name := request.path_params["name"]):
            raise unknown_endpoint(front, name)
        if not front.truth.on:
            raise TruthRefused(_NO_TRUTH)
        try:
            truths = await asyncio.to_thread(read_body, body)
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
    told = schema.TruthsTaken(
        matched=counts["matched"],
        corrected=counts["corrected"],
        repeated=counts["repeated"],
        unknown=counts["unknown"],
        unknown_ids=unknown[:_MOST_NAMED],
    )
    return Response(told.model_dump_json(), media_type="application/json")
