"""`springboard batch`: all videos of a folder or a prefix of S3, as SageMaker's batch transform has them."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import quote, unquote, urlsplit

import typer
from rich.console import Console
from rich.live import Live
from rich.status import Status

from springboard.cli.parquet import parquet
from springboard.cli.queued import ON_A_HOST, check_folder, settings_of, stop_event
from springboard.cli.said import explained, fail, say
from springboard.endpoint import document as endpoints
from springboard.endpoint.asynchronous import Async
from springboard.endpoint.document import Endpoint, EndpointFileError
from springboard.jobs.batch import PART, Batch, OtherBatch, Tally
from springboard.jobs.opening import open_queue
from springboard.jobs.queue import QueueAway
from springboard.jobs.store import Store, StoreAway

_S3 = "s3://"


def batch(
    source: Annotated[str, typer.Argument(help="s3://BUCKET/PREFIX, or a folder of `async.inputs`.")],
    output: Annotated[str, typer.Argument(help="s3://BUCKET/PREFIX or a folder, that the worker may write.")],
    endpoint_file: Annotated[
        Path, typer.Option(envvar="SPRINGBOARD_ENDPOINT_FILE", help="endpoint.yml, with `async`.")
    ] = ON_A_HOST,
    manifest: Annotated[
        Path | None, typer.Option(help="A file with a path below SOURCE in each line: only those.")
    ] = None,
    pattern: Annotated[str, typer.Option("--filter", help="Only paths that are like this.")] = "*",
    at_once: Annotated[int, typer.Option(min=1, max=100_000, help="So many jobs at most.")] = 200,
    price_per_hour: Annotated[
        float, typer.Option(min=0, help="What all hosts that work on it cost in an hour.")
    ] = 0,
    in_parquet: Annotated[
        bool, typer.Option("--parquet/--json-lines", help="What parts are; Parquet needs pyarrow.")
    ] = False,
) -> None:
    """Have all videos of SOURCE scored by the workers of the endpoint's queue; results go to OUTPUT in parts.

    Each result is a line of OUTPUT/part-N.jsonl, or a row of part-N.parquet, each failure with its reason a
    line of OUTPUT/failures-N.jsonl.
    Stop it and start it again, here or elsewhere: it goes on; when all is done it only says so. Exit status
    1 where videos failed, 130 where it was stopped.
    """
    with explained(EndpointFileError, QueueAway, StoreAway):
        endpoint = endpoints.load(endpoint_file)
        settings = settings_of(endpoint, endpoint_file)
        source, output = _place(source), _place(output)
        _check(source, output, endpoint, settings)
        store = Store()
        queue, form = open_queue(settings, endpoint.endpoint), parquet() if in_parquet else None
        work = Batch(output, endpoint.endpoint, queue, store, at_once, form=form)
        said = {"source": source, "filter": pattern, "manifest": manifest.read_text() if manifest else None}
        if in_parquet:
            said["form"] = "parquet"
        stop = stop_event()
        try:
            with Console(stderr=True).status("listing") as status:
                work.prepare(
                    json.dumps(said),
                    lambda after: _told(
                        _places(store, source, manifest, pattern, after), stop, status, lambda: work.total
                    ),
                )
        except OtherBatch:
            differ = "SOURCE, --filter, --manifest or --parquet differ"
            fail(f"{output} is that of another batch ({differ}); take another")
        whole = _show(work, stop, price_per_hour)
    say(json.dumps(_summary(work, price_per_hour), indent=2))
    if not whole:
        _stopped()
    raise typer.Exit(1 if work.tally.failed else 0)


def _stopped() -> NoReturn:
    typer.echo("springboard: stopped; the same command goes on", err=True)
    raise typer.Exit(130)


def _told(
    places: Iterator[str], stop: threading.Event, status: Status, total: Callable[[], int]
) -> Iterator[str]:
    """Yield what is listed, and tell the terminal how much that is; end the command where it is stopped."""
    for number, place in enumerate(places):
        if stop.is_set():
            _stopped()
        if number % PART == 0:
            status.update(f"listing: {total():,} so far")
        yield place


def _show(work: Batch, stop: threading.Event, price: float) -> bool:
    """Run it, with a line of how it goes on the terminal, if that is one."""
    console = Console(stderr=True)
    began = time.monotonic()
    done_before: int | None = None
    with Live("", console=console, transient=True, auto_refresh=False) as live:

        def told(tally: Tally) -> None:
            nonlocal done_before
            if done_before is None:
                done_before = tally.done
            rate = max(tally.done - done_before, 0) / max(time.monotonic() - began, 1)
            live.update(_line(work.total, tally, rate, price), refresh=True)

        return work.run(stop, told)


def _line(total: int, tally: Tally, rate: float, price: float) -> str:
    left = f"{(total - tally.done) / rate / 60:.0f} min left" if rate else "no rate yet"
    failed = ", ".join(f"{code} {count}" for code, count in tally.failed.most_common(4))
    parts = [f"{tally.done:,} of {total:,}", f"{rate:.1f}/s", left, f"failed: {failed}" if failed else ""]
    if price:
        parts.append(f"{tally.seconds / 3600 * price:.2f} so far")
    return "   ".join(filter(None, parts))


def _summary(work: Batch, price: float) -> dict[str, Any]:
    tally = work.tally
    summary: dict[str, Any] = {
        "videos": work.total,
        "scored": tally.scored,
        "failed": dict(tally.failed.most_common()),
        "seconds": round(tally.seconds, 1),
        "videos_per_second": round(tally.done / tally.seconds, 2) if tally.seconds else None,
        "seconds_p50": tally.quantile(0.5),
        "seconds_p99": tally.quantile(0.99),
    }
    if price:
        cost = tally.seconds / 3600 * price
        summary |= {
            "cost": round(cost, 4),
            "cost_per_thousand": round(1000 * cost / tally.done, 4) if tally.done else None,
        }
    return summary


def _place(given: str) -> str:
    return given.rstrip("/") if given.startswith(_S3) else str(Path(given).resolve())


def _check(source: str, output: str, endpoint: Endpoint, settings: Async) -> None:
    if source.startswith(_S3):
        if (bucket := source.split("/")[2]) not in endpoint.allowed_buckets:
            fail(f"the server may not read bucket {bucket}: it is not among allowed_buckets")
    else:
        check_folder(Path(source), settings)
    if f"{output}/".startswith(f"{source}/"):
        fail(f"{output} lies within {source}: results would be taken for videos")


def _places(store: Store, source: str, manifest: Path | None, pattern: str, after: str) -> Iterator[str]:
    """Yield the places of what is to be scored, those after one of them."""
    root = source if source.startswith(_S3) else f"file://{quote(source)}"
    last = after.removeprefix(f"{root}/") if after else ""
    if not source.startswith(_S3):
        last = unquote(urlsplit(last).path)
    for path in _listed(manifest, last) if manifest else store.below(source, last):
        hidden = any(step.startswith(".") for step in path.split("/"))
        if not hidden and fnmatch(path, pattern):
            if os.fsencode(path).decode(errors="ignore") != path:
                fail(f"{path!a} below {source} has a name that is no UTF-8; rename it")
            yield f"{root}/{path if source.startswith(_S3) else quote(path)}"


def _listed(manifest: Path, after: str) -> Iterator[str]:
    past = not after
    for line in manifest.read_text().splitlines():
        path = line.strip().lstrip("/")
        if path and past:
            yield path
        past = past or path == after
