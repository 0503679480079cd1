"""Serve a checkpoint on this machine, score some clips through the API, and stop everything again.

usage: python -m demo.run [--keep] WEIGHTS CLIP...       (make demo WEIGHTS=... CLIP=... KEEP=1 calls this)
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from rich.console import Console

from springboard.client.score import Rows, score_each
from springboard.system.ports import free_ports
from springboard.system.processes import Child

_START_SECONDS = 300
_STOP_SECONDS = 30


@contextmanager
def serving(weights: Path) -> Iterator[str]:
    """Run `springboard serve` over these weights; yield its address once it truly serves.

    Whatever ends the block, Ctrl-C too, the server and its TorchServe are gone afterwards.
    """
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    command = [str(Path(sys.executable).with_name("springboard")), "serve", "--weights", str(weights)]
    command += ["--port", url.rpartition(":")[2], "--drain-seconds", "0"]
    with tempfile.TemporaryFile() as log:
        server = Child(command, stdout=log, stderr=log)
        try:
            _wait_until_ready(url, server)
            yield url
        except _NotServing as error:
            log.seek(0)
            sys.exit(f"{error}; it said:\n{log.read().decode(errors='replace')}")
        finally:
            server.stop(_STOP_SECONDS)


class _NotServing(Exception):
    """The server ended, or took too long."""


def _wait_until_ready(url: str, server: Child) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if not server.running:
            raise _NotServing("The server ended while starting")
        try:
            if httpx.get(f"{url}/ping", timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass  # not listening yet
        time.sleep(0.2)
    raise _NotServing(f"The server was not ready after {_START_SECONDS} s")


def main() -> None:
    """Score the clips and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("clips", nargs="+")
    parser.add_argument("--keep", action="store_true", help="leave the server on until Ctrl-C")
    args = parser.parse_args()
    console = Console()
    with console.status(f"archiving {args.weights} and starting its server"), serving(args.weights) as url:
        console.print(f"serving {args.weights} on {url}")
        rows, scored = Rows(console), 0
        for result in score_each(args.clips, url, None, progress=False):
            rows.add(result)
            scored += not result.error
        if args.keep:
            console.print(f"open {url} in a browser; Ctrl-C stops the server")
            signal.pause()
    if not scored:
        sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
