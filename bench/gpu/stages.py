"""Runs one stage of the GPU check: `python -m bench.gpu.stages NAME`."""

import logging
import signal
import sys
from collections.abc import Callable
from functools import partial

from bench.gpu import decoders, networks, product
from bench.gpu.room import QUICK


def _workers(count: int) -> dict[str, int]:
    count = min(count, 3) if QUICK else count  # as many as two cores can start
    return {"minWorkers": count, "maxWorkers": count}


STAGES: dict[str, Callable[[], None]] = {
    "environment": networks.environment,
    "checkpoint": networks.make_archive,
    "parity": networks.parity,
    "nets": networks.nets,
    "http": product.http,
    "decode": decoders.decode_on_cores,
    "oom": product.oom,
    "http4": partial(product.variant, "http4", _workers(4)),
    "nvdec": decoders.nvdec,
    "http2": partial(product.variant, "http2", _workers(2)),
    "compile": networks.compile_networks,
    "http_b8": partial(product.variant, "http_b8", {"batchSize": 8, "maxBatchDelay": 5}),
    "http8": partial(product.variant, "http8", _workers(8)),
}

if __name__ == "__main__":
    # Out of time: what was started is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logging.basicConfig(level=logging.WARNING, format="  %(name)s: %(message)s", stream=sys.stdout)
    STAGES[sys.argv[1]]()
