"""Who reaches the page, and how: by keyboard, with a screen reader, on a phone, enlarged, behind proxies."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route

from springboard.system.checkout import ROOT
from tests.stands.browser import Tab
from tests.stands.front import FrontProcess
from tests.web.conftest import Open, Stage, video
from tests.web.proxy import prefixed

pytestmark = pytest.mark.xdist_group("web")

AXE = ROOT / "tools/web/node_modules/axe-core/axe.min.js"
CLIPS = ROOT / "demo/clips"


def violations(page: Page) -> list[str]:
    """What axe-core finds, its best practices too."""
    if not AXE.exists():
        pytest.skip("needs axe-core: make check-web")
    page.evaluate(AXE.read_text())
    found: dict[str, Any] = page.evaluate("axe.run()")
    return [f"{one['id']}: {node['html']}" for one in found["violations"] for node in one["nodes"]]


def filled(one: Tab) -> Page:
    """The page as it is after some dives: a score, an error, a true score."""
    page = one.open()
    page.click("[data-sample=good]")
    page.wait_for_selector(".detail[data-state=scored]")
    one.choose(CLIPS / "not-a-dive.mp4")
    page.wait_for_selector("[data-code=not_a_dive]")
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wrong_for_a_screen_reader(demo: FrontProcess, open_tab: Open, scheme: str) -> None:
    one = open_tab(demo, color_scheme=scheme, reduced_motion="reduce")
    assert violations(one.open()) == []
    page = filled(one)
    assert violations(page) == []
    page.click("text=good-dive.mp4")
    for summary in page.locator("summary").all():
        summary.click()
    assert violations(page) == []
    for box in page.locator(".dives tbody input[type=checkbox]:not(:disabled)").all():
        box.check()
    assert violations(one.open("status")) == []
    page.wait_for_selector(".tiles")
    assert violations(page) == []


def test_the_status_page_is_whole_before_its_figures_come_and_without_them(
    demo: FrontProcess, open_tab: Open
) -> None:
    one = open_tab(demo)
    asked: list[Route] = []
    one.page.route("**/metrics", lambda route: asked.append(route))
    with one.page.expect_request("**/metrics"):
        page = one.open("status")
    assert violations(page) == []
    asked[0].fulfill(status=503)
    page.wait_for_selector("[role=alert]")
    assert violations(page) == []


def test_the_keyboard_alone_scores_and_looks_around(demo: FrontProcess, open_tab: Open) -> None:
    one = open_tab(demo, reduced_motion="reduce")
    page = one.open()

    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({selector!r})"):
                outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert outline != "none", f"{selector} is not seen to have the focus"
                return
        raise AssertionError(f"Tab never reaches {selector}")

    tab_to("[data-sample=good]")
    page.keyboard.press("Enter")
    page.wait_for_selector(".detail[data-state=scored]")
    tab_to(".bar:nth-child(3)")
    page.keyboard.press("Space")
    page.wait_for_selector(".bar:nth-child(3)[aria-current=true]")
    tab_to(".truth input")
    page.keyboard.type("88")
    tab_to(".dives th button")
    page.keyboard.press("Enter")
    assert page.get_attribute("th:has-text('Name')", "aria-sort") == "ascending"
    assert "off by" in page.inner_text(".summary")


@pytest.mark.parametrize("direction", ["ltr", "rtl"])
@pytest.mark.parametrize("width", [320, 640])  # of 1280 pixels 640 are left at 200 %, 320 at 400 %
def test_nothing_is_cut_off_narrow_or_from_right_to_left(
    demo: FrontProcess, open_tab: Open, width: int, direction: str
) -> None:
    one = open_tab(demo, viewport={"width": width, "height": 800})
    page = filled(one)
    page.evaluate(f"document.documentElement.dir = {direction!r}")
    page.click("text=good-dive.mp4")
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page = one.open("status")
    page.evaluate(f"document.documentElement.dir = {direction!r}")
    page.wait_for_selector(".tiles")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_who_wants_no_motion_gets_none(demo: FrontProcess, open_tab: Open) -> None:
    page = open_tab(demo, reduced_motion="reduce").open()
    page.click("[data-sample=good]")
    page.wait_for_selector(".detail[data-state=scored]")
    assert page.evaluate("document.querySelector('video').paused")


def test_a_phone_offers_its_camera(puppet: FrontProcess, open_tab: Open) -> None:
    phone = open_tab(puppet, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = phone.open()
    assert page.locator("button >> text=Record").is_visible()
    assert page.get_attribute("input[capture]", "capture") == "environment"


def test_what_is_dropped_or_pasted_is_scored(puppet: FrontProcess, open_tab: Open) -> None:
    one = open_tab(puppet)
    page = one.open()
    for kind in ("drop", "paste"):
        page.evaluate(
            """kind => {
                const data = new DataTransfer();
                data.items.add(new File(["score=75"], `${kind}.mp4`, {type: "video/mp4"}));
                const both = {bubbles: true, cancelable: true};
                const event = kind === "drop"
                    ? new DragEvent("drop", {dataTransfer: data, ...both})
                    : new ClipboardEvent("paste", {clipboardData: data, ...both});
                document.body.dispatchEvent(event);
            }""",
            kind,
        )
        page.wait_for_selector(f".detail[data-state=scored][aria-label='{kind}.mp4']")


def test_an_address_in_s3_is_sent_as_one_where_buckets_are_allowed(
    puppet: FrontProcess, stage: Stage, open_tab: Open, tmp_path: Path
) -> None:
    assert open_tab(puppet).open().locator(".s3").count() == 0
    with FrontProcess("--endpoint-file", stage.endpoint(tmp_path, allowed_buckets=["dives"])) as front:
        page = open_tab(front.wait_ready()).open()
        page.click("text=From S3")
        page.fill(".s3 input", "dives/a.mp4")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=It should look like s3://")
        page.fill(".s3 input", "s3://other/a.mp4")
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-code=bucket_not_allowed]")


def test_a_prefix_before_the_page_stands_before_all_that_it_asks(
    puppet: FrontProcess, open_tab: Open
) -> None:
    with prefixed(puppet.url) as url:
        one = open_tab(url)
        page = one.open()
        one.score(video("a.mp4", "score=76"))
        assert one.shown == 76
        page.click("text=Status")
        page.wait_for_selector("td >> text=1.0.0")
        page.click("text=Score")
        page.wait_for_selector(".detail[data-state=scored]")


def test_the_status_page_tells_what_the_api_tells(puppet: FrontProcess, open_tab: Open) -> None:
    one = open_tab(puppet)
    refused = puppet.score(b"status=422 code=not_a_dive")
    page = one.open("status")
    page.wait_for_selector("tbody")
    assert "In service" in page.inner_text("main")
    variants = page.locator("section[aria-labelledby=variants] tbody tr")
    assert variants.nth(0).inner_text().split()[:3] == ["stable", "1.0.0", "90"]
    assert "1.1.0 is on trial" in page.inner_text(".canary")
    assert refused.headers["x-amzn-requestid"] in page.inner_text(".errors")
    page.wait_for_selector("section[aria-labelledby=refusals] >> text=not_a_dive")
    asked = len([request for request in one.requests if request.url.endswith("/metrics")])
    end = time.monotonic() + 30
    while len([request for request in one.requests if request.url.endswith("/metrics")]) == asked:
        assert time.monotonic() < end
        page.wait_for_timeout(100)


def test_swaggers_page_works_under_its_policy(puppet: FrontProcess, open_tab: Open) -> None:
    one = open_tab(puppet)
    one.page.goto(f"{puppet.url}/docs")
    one.page.wait_for_selector("[data-path='/endpoints/{name}/invocations']")


def test_a_server_without_the_page_has_none(stage: Stage, tmp_path: Path) -> None:
    with FrontProcess("--endpoint-file", stage.endpoint(tmp_path), "--no-page") as front:
        assert httpx.get(f"{front.url}/").status_code == 404
        assert httpx.get(f"{front.url}/ping").status_code in (200, 503)
