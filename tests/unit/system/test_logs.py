"""What the front and commands write of an event: for people, as JSON, and for the journal."""

import json
import logging
import os
import subprocess
import sys

import pytest

from springboard.system import logs

SPEAK = """if True:
    import logging
    from springboard.system import logs
    logs.configure(as_json=%s)
    log = logging.getLogger("springboard.server")
    log.info("fine")
    log.warning("hm")
    try:
        raise ValueError("no")
    except ValueError:
        log.exception("wrong")
"""


def spoken(as_json: bool, journal: bool) -> list[str]:
    """What a process says that has a pipe as its stderr, which systemd made or did not."""
    reads, writes = os.pipe()
    told = os.fstat(writes)
    stream = f"{told.st_dev}:{told.st_ino}" if journal else "8:1"
    environment = {**os.environ, "JOURNAL_STREAM": stream}
    with os.fdopen(reads) as page:
        subprocess.run([sys.executable, "-c", SPEAK % as_json], stderr=writes, env=environment, check=True)
        os.close(writes)
        return page.read().splitlines()


@pytest.mark.parametrize("as_json", [True, False])
def test_the_journal_gets_each_lines_priority(as_json: bool) -> None:
    lines = spoken(as_json, journal=True)
    assert [line[:3] for line in lines[:3]] == ["<6>", "<4>", "<3>"]
    assert {line[:3] for line in lines[2:]} == {"<3>"}, "each line of a traceback too"
    if as_json:
        fine, hm, wrong = (json.loads(line[3:]) for line in lines)
        assert (fine["level"], hm["level"], wrong["level"]) == ("INFO", "WARNING", "ERROR")
        assert wrong["message"].endswith("ValueError: no")


def test_elsewhere_lines_are_as_they_are() -> None:
    assert [json.loads(line)["level"] for line in spoken(True, journal=False)] == ["INFO", "WARNING", "ERROR"]


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, 6), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 2)],
)
def test_priorities_are_syslogs(level: int, priority: int) -> None:
    assert logs._priority(level) == priority
