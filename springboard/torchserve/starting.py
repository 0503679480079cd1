"""Waiting for a TorchServe that starts, on a laptop as under systemd."""

import time
from collections.abc import Callable, Sequence

from springboard.torchserve import log
from springboard.torchserve.management import Workers

_LOOK_SECONDS = 0.1
# A model whose workers died this often while they loaded it will not load.
_PATIENCE_DEATHS = 4


class NotStarted(Exception):
    """TorchServe, or the model in it, did not get ready; the message says why, in its log's word."""


def wait_ready(
    what: str,
    ask: Callable[[], Workers | None],
    said: Callable[[], Sequence[str]],
    dying: Callable[[], str],
    timeout_s: float,
    setting: str = "",
) -> None:
    """Return once every worker has loaded the model and warmed up.

    `what` starts, `ask` returns its workers (None until it answers), `said` its log's lines, `dying` why it
    will not come up any more, or nothing. Raises `NotStarted`, also after `timeout_s` seconds, which a
    `setting` of this name gave.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        ended, workers = dying(), ask()  # in this order: what has ended since may have been ready
        if workers and workers.complete:
            return
        lines = said()
        # TorchServe itself would try again for minutes, or serve without a model; neither helps.
        unreadable = workers is not None and not workers.total
        if unreadable or log.cannot_load(lines) or log.deaths(lines) >= _PATIENCE_DEATHS:
            raise NotStarted(f"{what} cannot be loaded: {log.gist(lines)}")
        if ended:
            raise NotStarted(f"{what} {ended}: {log.gist(lines)}")
        if time.monotonic() > deadline:
            named = f" ({setting})" if setting else ""
            raise NotStarted(f"{what} was not ready after {timeout_s:g} s{named}: {log.gist(lines)}")
        time.sleep(_LOOK_SECONDS)
