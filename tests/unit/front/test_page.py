"""The page's documents and files as browsers get them, and the headers on whatever the front answers."""

import hashlib
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from demo.render import perform
from demo.samples import _GOOD, _NUMBER, _POOR, _SEED
from springboard.auth.check import Auth, MetricsRule, Mode
from springboard.auth.keys import Keys, Token
from springboard.endpoint.document import Endpoint
from springboard.front.front import Front
from springboard.front.metrics import names
from springboard.front.page import files
from springboard.front.routes import create_app
from springboard.system.checkout import ROOT
from tests.stands.scoring import Scoring, scoring
from tests.stands.served import exchange, served

PAGE = ROOT / "springboard" / "front" / "page"
STRICT = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob: data:",
    "media-src 'self' blob:",
    "connect-src 'self'",
    "frame-ancestors 'none'",
}
TOKEN = "sbt-web-token"
SIGNED = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def guarded() -> Iterator[Scoring]:
    token = Token(name="web", sha256=hashlib.sha256(TOKEN.encode()).hexdigest(), created=datetime.now(UTC))
    with scoring(Keys(tokens=(token,))) as one:
        yield one


def addresses(document: httpx.Response) -> list[str]:
    return re.findall(r'(?:href|src)="([^"]+)"', document.text)


def policy(response: httpx.Response) -> set[str]:
    return {part.strip() for part in response.headers["content-security-policy"].split(";")}


@pytest.mark.parametrize("path", ["/", "/status"])
def test_a_document_and_all_it_names_are_open_where_scoring_is_not(guarded: Scoring, path: str) -> None:
    document = guarded.client.get(path)
    assert document.status_code == 200
    assert document.headers["content-type"] == "text/html; charset=utf-8"
    assert policy(document) >= STRICT
    assert "no-cache" in document.headers["cache-control"]
    assert addresses(document)
    for address in addresses(document):
        assert not address.startswith(("/", "http")), "a prefix before the page stays before its files"
        assert guarded.client.get(f"/{address}").status_code == 200, address
    assert guarded.post("/invocations", b"video").status_code == 403


def test_a_file_is_kept_for_ever_under_its_contents_name_and_gone_under_another(model: Scoring) -> None:
    address = next(one for one in addresses(model.client.get("/")) if one.endswith("main.js"))
    file = model.client.get(f"/{address}")
    assert "immutable" in file.headers["cache-control"]
    assert file.headers["content-type"].startswith("text/javascript")
    other = model.client.get(re.sub("/[0-9a-f]{16}/", f"/{'0' * 16}/", f"/{address}"))
    assert other.status_code == 404
    assert other.headers["cache-control"] == "no-store"


def test_every_byte_counts_for_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = files.load().version
    shutil.copytree(PAGE / "static", tmp_path / "static")
    with (tmp_path / "static/score/main.js").open("a") as module:
        module.write("\n")
    monkeypatch.setattr(files, "_STATIC", tmp_path / "static")
    files.load.cache_clear()
    try:
        assert files.load().version != before
    finally:
        files.load.cache_clear()


def test_what_a_browser_has_is_not_sent_again(model: Scoring) -> None:
    for path in ("/", f"/{addresses(model.client.get('/'))[0]}"):
        first = model.client.get(path)
        again = model.client.get(path, headers={"If-None-Match": f'"x", W/{first.headers["etag"]}'})
        assert again.status_code == 304
        assert again.content == b""
        assert again.headers["etag"] == first.headers["etag"]


def test_files_go_packed_to_who_takes_that_and_plain_to_others(model: Scoring) -> None:
    packed = model.client.get("/")
    plain = model.client.get("/", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.text == plain.text
    assert packed.headers["etag"] != plain.headers["etag"]
    assert "accept-encoding" in packed.headers["vary"].lower()


def test_head_answers_as_get_without_a_body(model: Scoring) -> None:
    for path in ("/", "/status", "/page/settings"):
        head, get = model.client.head(path), model.client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]


def test_status_is_one_place_for_its_relative_addresses(model: Scoring) -> None:
    moved = model.client.get("/status/")
    assert (moved.status_code, moved.headers["location"]) == (308, "../status")


@pytest.mark.parametrize("path", ["/page/x", "/page/../routes.py", "/page/{version}/../routes.py", "/page//"])
def test_no_path_leads_out_of_the_pages_files(model: Scoring, path: str) -> None:
    sent = path.replace("{version}", files.load().version)
    answer = exchange(model.port, b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % sent.encode())
    assert answer.startswith(b"HTTP/1.1 404"), answer


def test_settings_tell_of_the_endpoint_only_to_who_may_call(guarded: Scoring) -> None:
    stranger = guarded.client.get("/page/settings")
    assert stranger.json() == {
        "sign_in": "bearer",
        "signed_in": False,
        "max_body_bytes": 1_000_000,
        "status": True,
    }
    assert stranger.headers["cache-control"] == "no-store"
    told = guarded.client.get("/page/settings", headers=SIGNED).json()
    assert told["signed_in"]
    assert (told["endpoint"], told["variants"]) == ("dive-scoring", ["stable", "canary"])


def test_where_nobody_is_asked_no_sign_in_is_offered(model: Scoring) -> None:
    told = model.client.get("/page/settings").json()
    assert (told["sign_in"], told["signed_in"]) == (None, True)


def test_the_endpoint_file_can_take_the_page_away_while_the_server_runs() -> None:
    with scoring() as one:
        address = addresses(one.client.get("/"))[0]
        one.front.use(one.front.endpoint.model_copy(update={"page": False}))
        for path in ("/", "/status", "/page/settings", f"/{address}"):
            gone = one.client.get(path)
            assert gone.status_code == 404, path
            assert gone.json()["error"]["code"] == "no_such_route"
        assert one.client.options("/").status_code == 204


def test_a_server_told_so_has_no_page() -> None:
    front = Front(Endpoint(variants=()), Auth(frozenset({Mode.NONE}), Keys()), httpx.AsyncClient())
    with served(create_app(front, MetricsRule.OPEN, with_page=False)) as port:
        assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 404
        assert httpx.get(f"http://127.0.0.1:{port}/page/settings").status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/ping"),
        ("GET", "/nothing"),
        ("POST", "/invocations"),
        ("GET", "/docs"),
        ("GET", "/docs/"),
        ("GET", "/metrics"),
        ("GET", "/endpoints/other"),
        ("DELETE", "/ping"),
        ("GET", "/docs/static/favicon.png"),
    ],
)
def test_every_answer_says_what_a_browser_may_do_with_it(model: Scoring, method: str, path: str) -> None:
    headers = model.client.request(method, path).headers
    assert {"default-src 'none'", "frame-ancestors 'none'"} <= policy(model.client.request(method, path))
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-frame-options"] == "DENY"


def test_what_is_no_http_is_answered_as_safely(model: Scoring) -> None:
    answer = exchange(model.port, b"no http at all\r\n\r\n").lower()
    assert b"x-content-type-options: nosniff" in answer


def test_libraries_are_the_bytes_that_were_agreed_on() -> None:
    listed = [line.split() for line in (ROOT / "tools/web/vendor.sha256").read_text().splitlines()]
    vendored = {path.name: path.read_bytes() for path in (PAGE / "static/vendor").iterdir()}
    vendored = {name: content for name, content in vendored.items() if not name.endswith(".d.ts")}
    assert {name for _, name in listed} == set(vendored)
    for digest, name in listed:
        assert hashlib.sha256(vendored[name]).hexdigest() == digest, name


def test_the_page_is_small_without_packing() -> None:
    held = files.load()
    documents = sum(len(file.body) for file in held.documents.values())
    assets = sum(len(file.body) for name, file in held.assets.items() if not name.endswith(".mp4"))
    assert documents + assets < 150_000


def test_modules_are_small() -> None:
    for path in (PAGE / "static").rglob("*.js"):
        if path.parent.name != "vendor":
            assert len(path.read_text().splitlines()) < 200, path


def test_samples_are_the_demos_clips_with_the_scores_that_they_were_drawn_for() -> None:
    clips = {path.name: path.read_bytes() for path in (ROOT / "demo/clips").iterdir()}
    assert {path.name: path.read_bytes() for path in (PAGE / "static/samples").iterdir()} == clips
    told = (PAGE / "static/score/samples.js").read_text()
    for name, execution in (("good-dive", _GOOD), ("poor-dive", _POOR)):
        score = perform(_SEED, _NUMBER, execution).score
        assert f'file: "{name}.mp4", truth: {score:g}' in told
    assert 'file: "not-a-dive.mp4", truth: null' in told


def test_every_error_that_a_caller_can_get_has_its_own_words() -> None:
    codes = re.findall(r"^\| \d+ \| `(\w+)`", (ROOT / "docs/reference/errors.md").read_text(), re.MULTILINE)
    edge = re.findall(r"code: (\w+)", (ROOT / "playbooks/roles/edge/vars/main.yml").read_text())
    told = re.findall(r"^  (\w+): \[", (PAGE / "static/shared/strings.js").read_text(), re.MULTILINE)
    assert len(codes) > 20
    assert {*codes, *edge} - set(told) == set()


def test_the_status_page_asks_for_metrics_that_are_there() -> None:
    asked = re.findall(r'"(springboard_\w+)"', (PAGE / "static/status/figures.js").read_text())
    counted = {f"{one.name}{end}" for one in names.ALL for end in ("", "_total", "_count", "_sum")}
    assert len(asked) > 5
    assert set(asked) <= counted
