"""One dive from the file to its score, as a person sees it, before the demo's real model."""

from pathlib import Path

import av
import httpx
import numpy as np
import pytest

from springboard.system.checkout import ROOT
from tests.clips import encode
from tests.stands.front import FrontProcess
from tests.web.conftest import Open

pytestmark = pytest.mark.xdist_group("web")

GOOD = ROOT / "demo/clips/good-dive.mp4"
OTHER = ROOT / "demo/clips/not-a-dive.mp4"


@pytest.fixture(scope="module")
def avi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The good dive in a form that no browser plays."""
    with av.open(str(GOOD), "r") as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    path = tmp_path_factory.mktemp("avi") / "good.avi"
    path.write_bytes(encode(np.stack(frames), "mpeg4", "avi", fps=30))
    return path


def test_a_good_dive_is_scored_and_told_as_the_api_does(demo: FrontProcess, open_tab: Open) -> None:
    one = open_tab(demo)
    page = one.open()
    page.click("[data-sample=good]")
    page.wait_for_selector(".detail[data-state=scored]")
    answer = httpx.post(f"{demo.url}/invocations", content=GOOD.read_bytes(), timeout=60).json()
    assert one.shown == pytest.approx(answer["score"], abs=0.001)
    assert page.inner_text(".detail .score data") == f"{answer['score']:.2f}"
    assert page.inner_text(".words") == "407C, inward 3 1/2 somersaults, tuck"
    assert "demo release" in page.inner_text(".banner")
    bars = page.locator(".bar")
    shares = [float(bar.get_attribute("data-contribution") or "nan") for bar in bars.all()]
    assert len(shares) == len(answer["clips"])
    assert sum(shares) == pytest.approx(one.shown, abs=0.01)
    assert page.locator(".strip").evaluate("e => e.naturalWidth") == 112 * len(shares)

    page.evaluate("document.querySelector('video').pause()")
    bars.nth(2).click()
    third = answer["clips"][2]["start_s"]
    assert page.evaluate("document.querySelector('video').currentTime") == pytest.approx(third, abs=0.001)
    page.evaluate(f"document.querySelector('video').currentTime = {answer['clips'][1]['start_s'] + 0.01}")
    page.wait_for_selector(".bar:nth-child(2)[aria-current=true]")

    page.click("text=The same by curl")
    said = page.inner_text(".same pre >> nth=0")
    assert f"'{demo.url}/invocations'" in said
    assert "good-dive.mp4" in said
    page.click("text=Release, stages, request")
    assert page.inner_text(".more dd code") in "\n".join(demo.log)


def test_what_a_browser_cannot_play_is_shown_as_the_network_saw_it(
    demo: FrontProcess, open_tab: Open, avi: Path
) -> None:
    one = open_tab(demo)
    page = one.open()
    one.score(avi)
    page.wait_for_selector(".detail .tile[role=img]")
    assert page.locator(".detail video").count() == 0
    before = page.locator(".tile").evaluate("e => e.style.backgroundPosition")
    page.locator(".bar").nth(2).click()
    assert page.locator(".tile").evaluate("e => e.style.backgroundPosition") != before
    assert page.inner_text(".words").startswith("407C")


def test_the_teams_own_avi_shows_its_strip(demo: FrontProcess, open_tab: Open, shared: Path) -> None:
    one = open_tab(demo)
    page = one.open()
    one.choose(shared / "dives/054.avi")
    page.wait_for_selector(".detail img.strip")
    assert page.locator(".detail img.strip").evaluate("e => e.naturalWidth") == 7 * 112


def test_what_is_no_dive_is_told_with_what_the_gate_saw(demo: FrontProcess, open_tab: Open) -> None:
    page = open_tab(demo).open()
    page.click("[data-sample=other]")
    page.wait_for_selector("[data-code=not_a_dive]")
    said = page.inner_text("[data-code=not_a_dive]")
    assert "The gate saw class" in said
    assert "Cut the video to one dive" in said
    assert page.locator(".detail video").count() == 1


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(
    demo: FrontProcess, open_tab: Open, tmp_path: Path
) -> None:
    large = tmp_path / "long.mp4"
    large.write_bytes(GOOD.read_bytes())
    with large.open("ab") as file:
        file.truncate(30_000_000)
    one = open_tab(demo)
    page = one.open()
    one.choose(large)
    page.wait_for_selector("[data-code=body_too_large]")
    assert "25 MB" in page.inner_text("[data-code=body_too_large]")
    assert not [request for request in one.requests if request.url.endswith("/invocations")]


def test_a_first_visit_is_small(demo: FrontProcess, open_tab: Open) -> None:
    one = open_tab(demo)
    one.open()
    one.page.wait_for_load_state("networkidle")
    sizes = [request.sizes() for request in one.requests]
    received = sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes)
    assert received < 60_000, received
