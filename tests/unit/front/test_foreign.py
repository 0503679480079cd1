"""A server that asks for no keys, on loopback: what a browser sends it for a page, and what people do."""

from collections.abc import Iterator

import pytest

from tests.stands.scoring import Scoring, scoring
from tests.stands.served import exchange

LISTED = "https://pages.example"
ROUTES = ["/invocations", "/endpoints/dive-scoring/invocations", "/aqa", "/predictions/dive"]
FORM = {"Content-Type": "text/plain", "Sec-Fetch-Mode": "no-cors"}


@pytest.fixture(scope="module")
def local() -> Iterator[Scoring]:
    with scoring(hosts=("Dives.Internal",), cors=(LISTED,)) as one:
        yield one


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "[::ffff:127.0.0.1]",
     "dives.internal", "DIVES.internal:443"],
)  # fmt: skip
def test_this_machines_names_and_those_given_are_answered(local: Scoring, host: str) -> None:
    assert local.post("/invocations", b"x", headers={"Host": host}).status_code == 200
    own = {"Host": host, "Origin": f"http://{host.lower()}", "Sec-Fetch-Site": "same-origin"}
    assert local.post("/invocations", b"x", headers=own).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1", "",
     "localhost@evil.example", "[::2]", "[::1", "127.0.0.1:x", "0.0.0.0:8080", "169.254.169.254", "127.1"]
)  # fmt: skip
@pytest.mark.parametrize("path", [*ROUTES, "/ping", "/metrics", "/endpoints/dive-scoring", "/", "/docs"])
def test_a_name_that_was_bound_to_this_machine_is_refused(local: Scoring, host: str, path: str) -> None:
    videos = len(local.videos)
    for origin in (None, f"http://{host}", LISTED):
        headers = {"Host": host} | ({"Origin": origin} if origin else {})
        refused = local.client.request("POST" if path in ROUTES else "GET", path, headers=headers)
        assert refused.status_code == 403
        assert "--allow-host" in refused.text
        assert refused.headers["x-amzn-requestid"]
    assert len(local.videos) == videos


def test_the_second_of_two_hosts_counts_as_much(local: Scoring) -> None:
    sent = b"GET /endpoints/dive-scoring HTTP/1.1\r\nHost: localhost\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert exchange(local.port, sent).startswith(b"HTTP/1.1 403 ")
    # No browser leaves it out.
    assert exchange(local.port, b"GET /ping HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 503 ")


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:1"},  # another program of this machine
        {"Origin": "http://localhost.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)
def test_a_pages_simple_post_is_refused(local: Scoring, path: str, headers: dict[str, str]) -> None:
    videos = len(local.videos)
    refused = local.post(path, b"x", headers={**FORM, **headers})
    assert refused.status_code == 403
    if path.startswith("/endpoints/"):
        assert refused.headers["x-amzn-errortype"] == "AccessDeniedException"
        assert "page" in refused.json()["Message"]
    else:
        assert refused.json()["error"]["code"] == "foreign_request"
    assert len(local.videos) == videos


def test_a_page_that_is_listed_may_call(local: Scoring) -> None:
    answer = local.post("/invocations", b"x", headers={"Origin": LISTED, "Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, LISTED)


def test_a_link_from_elsewhere_opens_the_page(local: Scoring) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Referer": "https://pages.example/"}
    assert local.client.get("/docs", headers=link).status_code == 200


def test_with_keys_any_name_is_answered(model: Scoring) -> None:
    assert model.post("/invocations", b"x", headers={"Host": "dives.example"}).status_code == 200
