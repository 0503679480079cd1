"""`springboard batch`: stopped and killed among thousands of videos, and its memory at a million listed keys.

`python -m bench.batches stopped [VIDEOS]` has a bucket of small videos scored, stops the command by SIGTERM,
kills it, stops it by Ctrl-C, starts it again each time, and counts results. S3 is SeaweedFS, TorchServe the
real one with a model that answers at once. `python -m bench.batches listed [KEYS]` gives it a bucket that
only lists, and measures its memory while it lists and begins. Each fails where it is not as promised.
"""

import http.server
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from bench.jobs_stage import Stage, stage
from tests.stands.cloud import ENVIRONMENT
from tests.stands.front import SPRINGBOARD

MOST_BYTES = 200e6
_PAGE, _LIST_SECONDS = 1000, 900


def main(what: str = "stopped", count: str = "") -> None:
    """Run one of the two."""
    with tempfile.TemporaryDirectory() as name:
        run = _stopped if what == "stopped" else _listed
        good = run(Path(name), int(count or {"stopped": 5000, "listed": 1_000_000}[what]))
    sys.exit(not good)


def _stopped(folder: Path, count: int) -> bool:
    with stage("local", folder) as one:
        for number in range(count):
            one.s3.put_object(Bucket="dives", Key=f"in/{number:06}.mp4", Body=b"score=%d" % number)
        began, peaks, summary = time.monotonic(), list[int](), dict[str, Any]()
        for times, name in enumerate(("SIGTERM", "SIGKILL", "SIGINT", "")):
            command = _start("s3://dives/in", "s3://scores/batch", folder)
            if name:
                peaks.append(_peak(command, partial(_has, one, count * (times + 1) // 5)))
                command.send_signal(signal.Signals[name])
            said, _ = command.communicate()
            print(f"{name or 'not stopped'}: status {command.returncode}", flush=True)
            summary = {} if name else json.loads(said)
        seconds = time.monotonic() - began
        found = Counter[tuple[str, float]]()
        for key in _keys(one, "batch/part-"):
            for line in one.s3.get_object(Bucket="scores", Key=key)["Body"].read().splitlines():
                told = json.loads(line)
                found[told["input"], told["score"]] += 1
        wanted_lines = Counter((f"s3://dives/in/{number:06}.mp4", float(number)) for number in range(count))
        left = sum(1 for _ in _keys(one, "batch/.batch/work/"))
    print(
        f"{count} videos, stopped 3 times, {seconds:.0f} s: {found.total()} results, "
        f"{(found - wanted_lines).total()} too many, {(wanted_lines - found).total()} missing, "
        f"{left} single results left, at most {max(peaks) / 1e6:.0f} MB; {json.dumps(summary)}"
    )
    return found == wanted_lines and not left


def _listed(folder: Path, count: int) -> bool:
    """List so many keys; return whether memory stayed within bounds and no key was lost."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _lister(count))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = {"output": f"{folder}/scores", "queue": f"{folder}/queue"}
    document = {"variants": [], "allowed_buckets": ["dives"], "async": settings}
    (folder / "endpoint.yml").write_text(yaml.safe_dump(document))
    url = f"http://127.0.0.1:{server.server_port}"
    began = time.monotonic()
    command = _start("s3://dives/in", f"{folder}/out", folder, **ENVIRONMENT, AWS_ENDPOINT_URL=url)
    ready = folder / "out" / ".batch" / "listed.json"
    peak = _peak(command, lambda: ready.exists() or time.monotonic() > began + _LIST_SECONDS)
    seconds = time.monotonic() - began
    peak = max(peak, _peak(command, lambda: time.monotonic() > began + seconds + 10))  # it feeds the queue
    command.send_signal(signal.SIGTERM)
    command.communicate()
    server.shutdown()
    server.server_close()
    total = json.loads(ready.read_text())["total"] if ready.exists() else 0
    print(f"{total} of {count} keys in {seconds:.0f} s, at most {peak / 1e6:.0f} MB")
    return total == count and peak < MOST_BYTES


def _lister(count: int) -> type[http.server.BaseHTTPRequestHandler]:
    class Lister(http.server.BaseHTTPRequestHandler):
        """ListObjectsV2 of a bucket with so many keys, a thousand to a page."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            after = (asked.get("continuation-token") or asked.get("start-after") or [""])[0]
            number = int(found[1]) + 1 if (found := re.search(r"(\d{9})", after)) else 0
            rows = range(number, min(number + _PAGE, count))
            contents = "".join(
                f"<Contents><Key>in/2026/heat/{n:09}.mp4</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                f"<ETag>&quot;{n:032}&quot;</ETag><Size>1</Size><StorageClass>STANDARD</StorageClass></Contents>"
                for n in rows
            )
            more = rows.stop < count
            token = f"<NextContinuationToken>{rows.stop - 1:09}</NextContinuationToken>" if more else ""
            body = (
                '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>dives</Name>'
                f"<KeyCount>{len(rows)}</KeyCount><MaxKeys>{_PAGE}</MaxKeys>"
                f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
            ).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing of each page."""

    return Lister


def _start(source: str, output: str, folder: Path, **variables: str) -> subprocess.Popen[str]:
    command = [str(SPRINGBOARD), "batch", source, output, "--endpoint-file", f"{folder}/endpoint.yml"]
    return subprocess.Popen(
        command, env={**os.environ, **variables}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def _peak(command: subprocess.Popen[str], over: Callable[[], bool]) -> int:
    """Wait until something is over; return the most memory that the command had until then, in bytes."""
    peak = 0
    while True:
        status = Path(f"/proc/{command.pid}/status").read_text()
        if found := re.search(r"VmHWM:\s+(\d+) kB", status):
            peak = int(found[1]) * 1024
        if over() or command.poll() is not None:
            return peak
        time.sleep(0.2)


def _has(one: Stage, least: int) -> bool:
    """Whether so many are scored: a part counts by what its `done` says, others singly."""
    done = 0
    for key in _keys(one, "batch/.batch/"):
        if key.endswith(".done"):
            done += json.loads(one.s3.get_object(Bucket="scores", Key=key)["Body"].read())["scored"]
        elif key.startswith("batch/.batch/work"):
            done += 1
    return done >= least


def _keys(one: Stage, prefix: str) -> list[str]:
    pages = one.s3.get_paginator("list_objects_v2").paginate(Bucket="scores", Prefix=prefix)
    return [found["Key"] for page in pages for found in page.get("Contents", [])]


if __name__ == "__main__":
    main(*sys.argv[1:])
