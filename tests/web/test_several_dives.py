"""Many dives: their table, what people add to it, what they take away, and what a reload leaves."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from demo.figures import spearman
from springboard.system.checkout import ROOT
from tests.stands.front import FrontProcess
from tests.web.conftest import Open, video

pytestmark = pytest.mark.xdist_group("web")

CLIPS = ROOT / "demo/clips"


def exported(page: Page, button: str) -> str:
    with page.expect_download() as download:
        page.click(f"text={button}")
    return Path(download.value.path()).read_bytes().decode()


def column(page: Page, number: int) -> list[str]:
    return page.locator(f".dives tbody tr > :nth-child({number})").all_inner_texts()


def test_three_at_once_with_one_bad_are_each_told_and_a_reload_keeps_them(
    demo: FrontProcess, open_tab: Open
) -> None:
    one = open_tab(demo)
    page = one.open()
    one.choose(*(CLIPS / f"{name}.mp4" for name in ("good-dive", "not-a-dive", "poor-dive")))
    one.until("document.querySelectorAll('tr[data-state=scored]').length === 2")
    page.wait_for_selector("tr[data-state=failed]")
    answers: list[dict[str, Any]] = json.loads(exported(page, "Export JSON"))
    scores = {answer["name"]: answer["answer"] and answer["answer"]["score"] for answer in answers}
    assert scores["not-a-dive.mp4"] is None
    assert scores["good-dive.mp4"] > scores["poor-dive.mp4"] > 0
    page.click("text=not-a-dive.mp4")
    assert "Not a dive" in page.inner_text(".detail")

    page.reload()
    page.wait_for_selector("tr[data-state=scored]")
    assert sorted(one.dives()) == ["good-dive.mp4", "not-a-dive.mp4", "poor-dive.mp4"]
    page.click("text=good-dive.mp4")
    assert one.shown == pytest.approx(scores["good-dive.mp4"])
    one.until("document.querySelector('.detail video').videoWidth > 0")
    assert "300 MB" in page.inner_text(".kept")


def test_what_is_exported_is_what_was_answered_and_added(puppet: FrontProcess, open_tab: Open) -> None:
    one = open_tab(puppet)
    page = one.open()
    truths = {"a.mp4": (80.0, 78.5), "b.mp4": (60.0, 70.0), "=c.mp4": (70.0, 71.25)}
    for name, (score, truth) in truths.items():
        one.choose(video(name, f"score={score}"))
        page.wait_for_selector(f".detail[data-state=scored][aria-label='{name}']")
        page.fill(".truth input", str(truth))
        page.fill(".note textarea", f'{name}, "so"\nand so')
        page.locator(".note textarea").blur()
    pairs = list(truths.values())
    error = sum(abs(score - truth) for score, truth in pairs) / 3
    rank = spearman([score for score, _ in pairs], [truth for _, truth in pairs])
    assert f"off by {error:.2f} points on average, rank correlation {rank:.2f}" in page.inner_text(".summary")

    rows = {row["name"]: row for row in csv.DictReader(io.StringIO(exported(page, "Export CSV"), newline=""))}
    assert rows.keys() == {"a.mp4", "b.mp4", "'=c.mp4"}, "no spreadsheet takes a name for a formula"
    for name, (score, truth) in truths.items():
        row = rows["'=c.mp4" if name.startswith("=") else name]
        assert (float(row["score"]), float(row["true_score"])) == (score, truth)
        assert float(row["difference"]) == score - truth
        assert row["note"].endswith('"so"\nand so')
        assert (row["dive"], row["state"]) == ("101B", "scored")
    for answer in json.loads(exported(page, "Export JSON")):
        assert answer["answer"]["score"] == truths[answer["name"]][0]
        assert answer["request_id"] == rows[answer["name"].replace("=", "'=")]["request_id"]


def test_the_table_sorts_renames_and_removes(puppet: FrontProcess, open_tab: Open) -> None:
    one = open_tab(puppet)
    page = one.open()
    one.choose(*(video(f"{name}.mp4", f"score={score}") for name, score in (("b", 9), ("a", 80), ("c", 10))))
    one.until("document.querySelectorAll('tr[data-state=scored]').length === 3")
    page.click("th >> text=Score")
    assert column(page, 3) == ["80.00", "10.00", "9.00"]
    page.click("th >> text=Score")
    assert column(page, 3) == ["9.00", "10.00", "80.00"]
    assert page.get_attribute("th:has-text('Score')", "aria-sort") == "ascending"
    page.click("th >> text=Name")
    assert one.dives() == ["a.mp4", "b.mp4", "c.mp4"]
    page.click(".dives >> text=a.mp4")
    page.fill(".name input", "Anna, third")
    page.locator(".name input").blur()
    assert one.dives() == ["Anna, third", "b.mp4", "c.mp4"]
    page.click("[aria-label='Remove c.mp4']")
    assert one.dives() == ["Anna, third", "b.mp4"]
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("text=Clear history")
    page.wait_for_selector(".intake.first")
    page.reload()
    page.wait_for_selector(".intake.first")


def test_two_dives_play_side_by_side_together(demo: FrontProcess, open_tab: Open) -> None:
    one = open_tab(demo)
    page = one.open()
    one.choose(CLIPS / "good-dive.mp4", CLIPS / "poor-dive.mp4")
    one.until("document.querySelectorAll('tr[data-state=scored]').length === 2")
    for box in page.locator(".dives tbody input[type=checkbox]").all():
        box.check()
    page.click("text=Compare the two chosen")
    one.until("[...document.querySelectorAll('.pair video')].every(v => v.readyState >= 2)")
    one.until("document.querySelectorAll('.pair video').length === 2")
    page.evaluate("document.querySelectorAll('.pair video').forEach(v => v.pause())")
    page.locator(".pair article").nth(1).locator(".bar").nth(1).click()
    both = "[...document.querySelectorAll('.pair video')].map(v => v.currentTime)"
    one.until(f"{both}.every(t => Math.abs(t - {both}[1]) < 0.11 && t > 0.3)")
    page.click("text=Play both")
    one.until("[...document.querySelectorAll('.pair video')].every(v => !v.paused)")
    page.click("text=Pause both")
    one.until("[...document.querySelectorAll('.pair video')].every(v => v.paused)")
    assert "points apart" in page.inner_text(".compare")


def test_the_same_dive_by_two_variants_stands_side_by_side(puppet: FrontProcess, open_tab: Open) -> None:
    one = open_tab(puppet)
    page = one.open()
    page.select_option(".inline select", "stable")
    one.score(video("a.mp4", "score=70"))
    page.click("text=Compare with canary")
    one.until("document.querySelectorAll('.pair [data-state=scored]').length === 2")
    said = page.locator(".pair h3").all_inner_texts()
    assert ["stable 1.0.0" in said[0], "canary 1.1.0" in said[1]] == [True, True]
    page.click("text=Close")
    assert sorted(column(page, 7)) == ["canary", "stable"]


def test_a_hostile_name_and_a_hostile_error_stay_text(puppet: FrontProcess, open_tab: Open) -> None:
    name = "<img src=x onerror=document.title='owned'>.mp4"
    one = open_tab(puppet)
    page = one.open()
    pictures = page.locator("img").count()
    one.choose(video(name, "status=422 code=<img/src/onerror=document.title='owned'>"))
    page.wait_for_selector(".failed")
    one.choose(video(name, "score=70"))
    page.wait_for_selector(".detail[data-state=scored]")
    assert one.dives() == [name, name]
    page.click("text=The same by curl")
    assert "'\\''owned'\\''" in page.inner_text(".same pre >> nth=0"), "one word for a shell"
    assert page.locator("img").count() == pictures
    assert page.title() == "Score a dive"


def test_videos_beyond_the_quota_go_oldest_first_and_their_scores_stay(
    puppet: FrontProcess, open_tab: Open
) -> None:
    one = open_tab(puppet)
    # Half of what the browser has is taken: room for two of these.
    one.page.add_init_script("navigator.storage.estimate = async () => ({quota: 5e6, usage: 0})")
    page = one.open()
    for name in ("a", "b", "c"):
        one.choose(video(f"{name}.mp4", "score=70 " + "x" * 1_000_000))
        page.wait_for_selector(f".detail[data-state=scored][aria-label='{name}.mp4']")
    page.wait_for_selector("text=Videos take 2.0 MB of 2.5 MB")
    page.reload()
    page.wait_for_selector("tr[data-state=scored]")
    assert one.dives() == ["c.mp4", "b.mp4", "a.mp4"]
    kept = []
    for name in one.dives():
        page.click(f".dives >> text={name}")
        page.wait_for_selector(f".detail[aria-label='{name}']")
        kept.append(
            page.locator("text=Compare with canary").count()
            + page.locator("text=Compare with stable").count()
        )
    assert kept == [1, 1, 0], "what is no longer here cannot be sent again"


def test_what_is_printed_is_the_dive_and_the_table(puppet: FrontProcess, open_tab: Open) -> None:
    one = open_tab(puppet)
    page = one.open()
    one.score(video("a.mp4", "score=70"))
    page.emulate_media(media="print")
    assert page.locator(".score").is_visible()
    assert page.locator(".dives table").is_visible()
    for hidden in ("header", ".intake", ".dives button:has-text('Print')"):
        assert not page.locator(hidden).is_visible(), hidden
