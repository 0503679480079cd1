"""Debian's Chromium, and a person's tab in it that notes whatever a good page does not do."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    FilePayload,
    Page,
    Request,
    sync_playwright,
)

from tests.stands.waiting import wait_until

_WAIT_MS = 60_000
# Reports what its policy stops, before any of the page's own scripts.
_WATCH = """addEventListener("securitypolicyviolation", (e) =>
  console.error(`CSP ${e.violatedDirective} ${e.blockedURI}`))"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run it; while it runs this thread has an event loop, in which asyncio.run cannot be called."""
    program = shutil.which("chromium")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is missing in CI")
        pytest.skip("needs chromium; as root `make test` installs it, else: sudo apt-get install chromium")
    # Its sandbox wants namespaces that root in a container has not.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


@dataclass
class Tab:
    """A tab at one address; `faults` are errors, stopped requests, and requests elsewhere."""

    page: Page
    url: str
    faults: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def open(self, path: str = "") -> Page:
        """Load the page and wait until it is drawn."""
        self.page.goto(self.url + path)
        self.page.wait_for_selector("header")
        return self.page

    def choose(self, *videos: Path | FilePayload) -> None:
        """Choose files as a person does in the browser's own dialogue: of a disk, or made here."""
        paths = [video for video in videos if isinstance(video, Path)]
        made = [video for video in videos if not isinstance(video, Path)]
        if paths:
            self.page.set_input_files("input[type=file][multiple]", paths)
        if made:
            self.page.set_input_files("input[type=file][multiple]", made)

    def score(self, *videos: Path | FilePayload) -> None:
        """Choose files, and wait until the last of them has its score."""
        self.choose(*videos)
        self.page.wait_for_selector(".detail[data-state=scored]")

    def until(self, expression: str) -> None:
        """Wait until JavaScript says so; Playwright's own way is an eval, which the page's policy stops."""
        wait_until(lambda: bool(self.page.evaluate(expression)), expression)

    @property
    def shown(self) -> float:
        """The score that the page shows, as the number behind what is seen."""
        return float(self.page.get_attribute(".detail .score data", "value") or "nan")

    def dives(self) -> list[str]:
        """The names in the table, in its order."""
        return self.page.locator(".dives tbody th").all_inner_texts()

    def _console(self, message: ConsoleMessage) -> None:
        # What the server refuses is told by the page itself.
        if message.type == "error" and "the server responded with a status" not in message.text:
            self.faults.append(message.text)

    def _request(self, request: Request) -> None:
        self.requests.append(request)
        if not request.url.startswith((self.url, "blob:", "data:")):
            self.faults.append(f"asked another origin: {request.url}")


@contextmanager
def tab(browser: Browser, url: str, **context: Any) -> Iterator[Tab]:
    """Open a tab of a person who was never there; at the end nothing may have gone wrong in it."""
    person: BrowserContext = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
    person.set_default_timeout(_WAIT_MS)
    person.add_init_script(_WATCH)
    one = Tab(person.new_page(), f"{url}/")
    one.page.on("console", one._console)
    one.page.on("pageerror", lambda error: one.faults.append(str(error)))
    one.page.on("request", one._request)
    try:
        yield one
        assert one.faults == []
    finally:
        person.close()
