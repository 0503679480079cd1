"""A server that asks who calls: what shows before, and where a token is and is not."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from springboard.auth import keys
from tests.stands.front import FrontProcess
from tests.stands.waiting import wait_until
from tests.web.conftest import Open, Stage, video

pytestmark = pytest.mark.xdist_group("web")


@dataclass
class Guarded:
    """A front that wants a token, and the file of those that it takes."""

    front: FrontProcess
    file: Path
    token: str


@pytest.fixture(scope="module")
def guarded(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    file = folder / "keys.json"
    token = keys.create_token(file, "coach")
    arguments = ("--endpoint-file", stage.endpoint(folder), "--auth", "bearer", "--keys-file", file)
    with FrontProcess(*arguments, "--metrics", "callers") as front:
        yield Guarded(front.wait_ready(), file, token)


def test_nothing_shows_before_sign_in_and_a_wrong_token_is_told(guarded: Guarded, open_tab: Open) -> None:
    one = open_tab(guarded.front)
    page = one.open()
    page.wait_for_selector("text=This server asks for a token")
    before = page.content()
    for secret in ("stable", "canary", "1.0.0", "dive-scoring"):
        assert secret not in before
    page.fill("#token", "wrong-token")
    page.click("button >> text=Sign in")
    page.wait_for_selector("text=does not accept this token")
    page.fill("#token", "ünmöglich")
    page.click("button >> text=Sign in")
    page.wait_for_selector("text=cannot be a token")


def test_a_token_is_this_tabs_alone_and_stands_in_no_address_and_no_log(
    guarded: Guarded, open_tab: Open
) -> None:
    one = open_tab(guarded.front)
    page = one.open()
    page.fill("#token", guarded.token)
    page.keyboard.press("Enter")
    page.wait_for_selector(".intake")
    one.score(video("a.mp4", "score=70"))
    page.click("text=The same by curl")
    assert guarded.token not in page.content()
    page.reload()
    page.wait_for_selector(".detail[data-state=scored]")
    assert guarded.token not in "".join(request.url for request in one.requests)
    assert guarded.token not in "\n".join(guarded.front.log)
    assert guarded.token not in page.evaluate("JSON.stringify(localStorage) + document.cookie")
    other = page.context.new_page()
    other.goto(one.url)
    other.wait_for_selector("text=This server asks for a token")
    page.click("text=Sign out")
    page.wait_for_selector("#token")
    page.reload()
    page.wait_for_selector("#token")


def test_a_token_that_is_revoked_asks_again_and_the_dive_waits(guarded: Guarded, open_tab: Open) -> None:
    token = keys.create_token(guarded.file, "guest")
    one = open_tab(guarded.front)
    page = one.open()

    def signs_in(with_token: str) -> bool:
        page.fill("#token", with_token)
        page.click("button >> text=Sign in")
        page.wait_for_selector(".intake, #token-problem:not(:empty)")
        return page.locator(".intake").count() == 1

    wait_until(lambda: signs_in(token), "the server to know the new token")
    keys.revoke(guarded.file, "guest")

    def refused() -> bool:
        one.choose(video("b.mp4", "score=70"))
        page.wait_for_selector(".detail[data-state=scored], #token")
        return page.locator("#token").count() == 1

    wait_until(refused, "the server to forget the token")
    assert page.locator("[data-code=not_authorized]").count() == 1
    assert signs_in(guarded.token)
    page.click(".failed button")
    page.wait_for_selector(".detail[data-state=scored]")


def test_the_status_page_shows_its_figures_to_callers_alone(guarded: Guarded, open_tab: Open) -> None:
    one = open_tab(guarded.front)
    page = one.open("status")
    page.wait_for_selector("#token")
    assert "stable" not in page.content()
    page.fill("#token", guarded.token)
    page.keyboard.press("Enter")
    page.wait_for_selector("td >> text=1.0.0")
