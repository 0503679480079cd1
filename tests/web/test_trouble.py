"""What a person sees, and what the server is left with, when something is in the way."""

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.stands.front import FrontProcess
from tests.stands.waiting import wait_until
from tests.web.conftest import Open, Stage, video
from tests.web.proxy import breaking

pytestmark = pytest.mark.xdist_group("web")


def held(front: FrontProcess) -> tuple[int, int, int]:
    """What the front holds: requests admitted, at work, waiting."""
    queue = front.state()["queue"]
    return queue["held_requests"], queue["in_flight"], queue["queued"]


def test_who_waits_is_told_how_many_are_before_and_cancels_the_server_too(
    puppet: FrontProcess, open_tab: Open, tmp_path: Path
) -> None:
    one = open_tab(puppet)
    page = one.open()
    page.select_option(".inline select", "stable")
    # Turns go round among callers, so those before are the page's own.
    (hold := tmp_path / "hold").touch()
    one.choose(video("first.mp4", f"hold={hold}"))
    page.wait_for_selector("text=At work")
    one.choose(video("second.mp4", "score=70"), video("third.mp4", "score=71"))
    page.wait_for_selector("tr:has-text('second.mp4') >> text=Waiting, you are next")
    page.wait_for_selector(".detail >> text=Waiting, 1 before you")
    page.click(".detail >> text=Cancel")
    page.wait_for_selector(".detail >> text=You stopped it")
    for name in ("first.mp4", "second.mp4"):
        page.click(f".dives >> text={name}")
        page.click(".detail >> text=Cancel")
    hold.unlink()
    wait_until(lambda: held(puppet) == (0, 0, 0), "the server to stop as well")
    page.click(".failed button")
    page.wait_for_selector(".detail[data-state=scored]")


def test_an_upload_that_the_network_cuts_can_be_tried_again(puppet: FrontProcess, open_tab: Open) -> None:
    with breaking(puppet.url, after=1_000_000) as (url, mended):
        one = open_tab(url)
        page = one.open()
        one.choose(video("cut.mp4", "score=71 " + "x" * 3_000_000))
        page.wait_for_selector("[data-code=gone]")
        wait_until(lambda: held(puppet)[0] == 0, "the server to let go of it")
        mended.set()
        page.click(".failed button")
        page.wait_for_selector(".detail[data-state=scored]")
        assert one.shown == 71
        one.faults.clear()  # the browser tells of the cut connection


def test_who_is_offline_need_do_nothing_but_come_back(puppet: FrontProcess, open_tab: Open) -> None:
    one = open_tab(puppet)
    page = one.open()
    page.context.set_offline(True)
    one.choose(video("later.mp4", "score=72"))
    page.wait_for_selector("[data-code=offline]")
    page.context.set_offline(False)
    page.wait_for_selector(".detail[data-state=scored]")
    assert one.shown == 72
    one.faults.clear()


def test_a_busy_server_is_asked_again_by_itself(stage: Stage, open_tab: Open, tmp_path: Path) -> None:
    endpoint = stage.endpoint(tmp_path, limits={"queue_requests": 1})
    with FrontProcess("--endpoint-file", endpoint) as front, ThreadPoolExecutor() as callers:
        front.wait_ready()
        one = open_tab(front)
        page = one.open()
        (hold := tmp_path / "hold").touch()
        busy = callers.submit(front.score, f"hold={hold}".encode())
        wait_until(lambda: held(front)[0] == 1, "the server to be busy")
        one.choose(video("patient.mp4", "score=73"))
        page.wait_for_selector("text=/The server is busy. Trying again in \\d+ s/")
        hold.unlink()
        page.wait_for_selector(".detail[data-state=scored]")
        assert one.shown == 73
        assert busy.result().status_code == 200


def test_a_server_that_ends_and_one_that_is_gone_are_told_apart(
    stage: Stage, open_tab: Open, tmp_path: Path
) -> None:
    endpoint = stage.endpoint(tmp_path)
    with FrontProcess("--endpoint-file", endpoint, "--drain-seconds", "60") as front:
        front.wait_ready()
        one = open_tab(front)
        page = one.open()
        front.process.send_signal(signal.SIGTERM)
        wait_until(lambda: front.state()["status"] == "Draining", "the server to drain")
        one.choose(video("a.mp4", "score=74"))
        page.wait_for_selector("[data-code=draining]")
        front.process.send_signal(signal.SIGTERM)
        front.process.wait(30)
        page.click(".failed button")
        page.wait_for_selector("[data-code=gone]")
        one.faults.clear()
