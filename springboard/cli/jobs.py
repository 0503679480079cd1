"""`springboard jobs`: look after the jobs that nobody waits for."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from springboard.cli.queued import ON_A_HOST
from springboard.cli.said import explained, fail, say
from springboard.endpoint import document as endpoints
from springboard.endpoint.document import EndpointFileError
from springboard.jobs.desk import Standing
from springboard.jobs.handling import Handling, Refused, State
from springboard.jobs.job import located
from springboard.jobs.queue import LeaseLost, QueueAway
from springboard.jobs.store import StoreAway

app = typer.Typer(help="List, show, retry, cancel and drop asynchronous jobs.", no_args_is_help=True)

EndpointFile = Annotated[
    Path,
    typer.Option(envvar="SPRINGBOARD_ENDPOINT_FILE", help="endpoint.yml, whose `async` says where jobs are."),
]
JobId = Annotated[str, typer.Argument(help="Its Inference-Id.")]


@app.command("list")
def list_jobs(
    endpoint_file: EndpointFile = ON_A_HOST,
    state: Annotated[State | None, typer.Option(help="Only those.")] = None,
    dead: Annotated[
        bool, typer.Option("--dead", help="The dead letters instead, with their reasons.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="No more than so many.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines.")] = False,
) -> None:
    """List jobs and where they stand, in no order; then, without --json, what the queue counts.

    Jobs are listed by their records: SQS shows no message that waits.
    """
    with _handling(endpoint_file) as handling:
        if dead:
            for name, job_id, reason in handling.dead()[:limit]:
                line = {"name": name, "inference_id": job_id, "reason": reason}
                say(json.dumps(line) if as_json else f"{job_id or '(no job)'}\t{name}\t{reason}")
            return
        for standing in islice(handling.jobs(state), limit):
            say(json.dumps(_told(standing)) if as_json else _line(standing))
        if as_json:
            return
        backlog = handling.backlog()
        oldest = backlog.oldest_seconds
        age = "CloudWatch knows for how long" if oldest is None else f"the oldest for {oldest:.0f} s"
        waits = f" ({age})" if backlog.waiting else ""
        say(f"{backlog.waiting} wait{waits}, {backlog.leased} at work, {backlog.dead} dead letters")


@app.command()
def show(job_id: JobId, endpoint_file: EndpointFile = ON_A_HOST) -> None:
    """Show a job as JSON: where it stands, its places, its times, why it failed."""
    with _handling(endpoint_file) as handling:
        if (standing := handling.find(job_id)) is None:
            fail(f"there is no job {job_id}")
        say(json.dumps(_told(standing), indent=2))


@app.command()
def retry(
    job_ids: Annotated[list[str] | None, typer.Argument(help="Their Inference-Ids.")] = None,
    dead: Annotated[bool, typer.Option("--dead", help="All that have dead letters.")] = False,
    endpoint_file: EndpointFile = ON_A_HOST,
) -> None:
    """Have failed jobs begun anew: failure and dead letter go, the time to live starts again."""
    with _handling(endpoint_file) as handling:
        wanted = list(job_ids or [])
        if dead:
            wanted += dict.fromkeys(job_id for _, job_id, _ in handling.dead() if job_id)
        elif not wanted:
            fail("say which jobs, or --dead for all that have dead letters")
        for job_id in wanted:
            say(f"{handling.retry(job_id).id} is on the queue again")


@app.command()
def cancel(job_id: JobId, endpoint_file: EndpointFile = ON_A_HOST) -> None:
    """Give an unfinished job up: its failure says `cancelled`, and its message is forgotten in its turn.

    What is at work already may still come to its result.
    """
    with _handling(endpoint_file) as handling:
        handling.cancel(job_id)
        say(f"{job_id} is cancelled")


@app.command()
def drop(
    name: Annotated[str, typer.Argument(help="An Inference-Id, or the name that `list --dead` shows.")],
    endpoint_file: EndpointFile = ON_A_HOST,
) -> None:
    """Forget a dead letter; the job's record and its failure object stay."""
    with _handling(endpoint_file) as handling:
        count = handling.drop(name)
        say(f"{count} dead letter{'s' * (count != 1)} dropped")


@contextmanager
def _handling(path: Path) -> Iterator[Handling]:
    with explained(EndpointFileError, Refused, QueueAway, StoreAway, LeaseLost):
        endpoint = endpoints.load(path)
        if endpoint.asynchronous is None:
            fail(f"{path} has no `async`, so there are no jobs")
        yield Handling(endpoint.asynchronous, endpoint.endpoint)


def _told(standing: Standing) -> dict[str, Any]:
    job = standing.job
    return {
        "inference_id": job.id,
        "state": standing.state,
        "reason": standing.reason,
        "input": located(job.input) if job.input else f"inline, {len(job.body)} bytes",
        "output_location": located(job.output),
        "failure_location": located(job.failure),
        "received": job.received,
        "expires": job.expires,
        "timeout_seconds": job.timeout,
        "run": job.run,
    }


def _line(standing: Standing) -> str:
    age = time.time() - standing.job.received
    return "\t".join(filter(None, (standing.job.id, standing.state, f"{age:.0f} s ago", standing.reason)))
