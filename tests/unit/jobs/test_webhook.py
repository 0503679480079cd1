"""The webhook: told of each end, signed, again until it is taken; never at an address of no internet."""

import hashlib
import hmac
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from springboard.endpoint.asynchronous import Async, Webhook
from springboard.jobs.addresses import NotAllowed, allowed, resolve
from springboard.jobs.notices import Notices
from springboard.jobs.webhook import SIGNATURE, Hooks
from tests.stands.certificates import pair
from tests.stands.cloud import environment
from tests.stands.waiting import wait_until
from tests.unit.jobs.shop import job

SECRET = b"not so secret here"


class Receiver(ThreadingHTTPServer):
    """Keeps what it is posted; answers with `statuses`, one after the other, then 204."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, dict[str, str], bytes]] = []
        self.statuses: list[int] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(handler) -> None:  # noqa: N805
                body = handler.rfile.read(int(handler.headers["Content-Length"]))
                self.posted.append((handler.path, dict(handler.headers.items()), body))
                handler.send_response(self.statuses.pop(0) if self.statuses else 204)
                handler.send_header("Location", "/elsewhere")
                handler.send_header("Content-Length", "0")
                handler.end_headers()

            def log_message(handler, *_: object) -> None:  # noqa: N805
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @contextmanager
    def running(self) -> Iterator[str]:
        thread = threading.Thread(target=self.serve_forever)
        thread.start()
        try:
            yield str(self.server_address[1])
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    one = Receiver()
    with one.running():
        yield one


def _settings(folder: Path, url: str, **more: Any) -> Webhook:
    (folder / "secret").write_bytes(SECRET + b"\n")
    said = {"url": url, "hosts": [url.split("/")[2].partition(":")[0]], "secret_file": f"{folder}/secret"}
    return Webhook.model_validate({**said, "networks": ["127.0.0.0/8"], **more})


@contextmanager
def _told(folder: Path, settings: Webhook) -> Iterator[Notices]:
    hooks = Hooks(settings, folder / "state", first_pause=0.05)
    hooks.start()
    try:
        yield Notices(Async(output=f"{folder}/scores"), hooks)
    finally:
        hooks.stop()


def test_both_ends_are_posted_as_topics_are_told_and_signed(receiver: Receiver, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{receiver.server_address[1]}/scores?from=dives"
    with _told(tmp_path, _settings(tmp_path, url)) as notices:
        good, bad = job(), job()
        notices.completed(good)
        notices.completed(good)  # told by another worker, who was cut off
        notices.failed(bad, "not_a_dive: This is no dive.")
        wait_until(lambda: len(receiver.posted) == 2, "both messages")
    path, headers, body = receiver.posted[0]
    assert (path, headers["Content-Type"]) == ("/scores?from=dives", "application/json")
    at, _, digest = headers[SIGNATURE].partition(",v1=")
    assert abs(time.time() - int(at.removeprefix("t="))) < 60
    assert (
        digest == hmac.new(SECRET, at.removeprefix("t=").encode() + b"." + body, hashlib.sha256).hexdigest()
    )
    told = [json.loads(one[2]) for one in receiver.posted]
    assert [(one["inferenceId"], one["invocationStatus"]) for one in told] == [
        (good.id, "Completed"),
        (bad.id, "Failed"),
    ]
    assert told[0]["responseParameters"]["outputLocation"] == good.output
    assert told[1]["failureReason"] == "not_a_dive: This is no dive."


def test_it_is_told_again_until_it_takes_it_and_redirects_are_not_followed(
    receiver: Receiver, tmp_path: Path
) -> None:
    receiver.statuses = [500, 307, 429]
    url = f"http://127.0.0.1:{receiver.server_address[1]}/scores"
    with _told(tmp_path, _settings(tmp_path, url)) as notices:
        notices.completed(job())
        wait_until(lambda: len(receiver.posted) == 4, "the fourth try")
    assert {path for path, _, _ in receiver.posted} == {"/scores"}
    assert len({body for _, _, body in receiver.posted}) == 1


def test_what_was_not_told_is_told_by_the_next_process(receiver: Receiver, tmp_path: Path) -> None:
    port = receiver.server_address[1]
    (tmp_path / "closed").mkdir()
    with _told(tmp_path, _settings(tmp_path, "http://127.0.0.1:1/scores")) as notices:
        notices.completed(one := job())
    with _told(tmp_path, _settings(tmp_path, f"http://127.0.0.1:{port}/scores")):
        wait_until(lambda: bool(receiver.posted), "the message")
    assert json.loads(receiver.posted[0][2])["inferenceId"] == one.id


def test_it_connects_to_the_address_it_looked_at_under_the_name_of_the_certificate(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = pair(tmp_path, "hooks.test", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    names: list[str | None] = []
    context.sni_callback = lambda _, name, __: names.append(name)
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    asked: list[str] = []

    def known(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port, *_, **__: known(host, port))
    url = f"https://hooks.test:{receiver.server_address[1]}/scores"
    with environment(SSL_CERT_FILE=str(certificate)), _told(tmp_path, _settings(tmp_path, url)) as notices:
        notices.completed(job())
        wait_until(lambda: bool(receiver.posted), "the message")
    assert (asked[0], names[0]) == ("hooks.test", "hooks.test")
    assert receiver.posted[0][1]["Host"] == url.split("/")[2]


def test_a_name_that_leads_inside_is_not_posted_to(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"https://localhost:{receiver.server_address[1]}/scores"
    with _told(tmp_path, _settings(tmp_path, url, networks=[])) as notices:
        notices.completed(job())
        wait_until(lambda: "not of the public internet" in caplog.text, "the refusal")
    assert not receiver.posted


@pytest.mark.parametrize("host", ["a..example.com", f"{'a' * 64}.example.com"])
def test_a_host_that_no_name_is_is_refused_like_others(host: str) -> None:
    with pytest.raises(NotAllowed, match="is no host's name"):
        resolve(host, 443, ())


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
        *("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fe80::1", "::1", "::", "fd12::1", "ff02::1"),
        *("::ffff:169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1"),
    ],
)
def test_addresses_of_no_internet_are_refused(address: str) -> None:
    assert not allowed(ip_address(address), ())


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "fd00:ec2::254"])
def test_the_metadata_of_an_instance_is_refused_whatever_is_allowed(address: str) -> None:
    assert not allowed(ip_address(address), ("0.0.0.0/0", "::/0"))
    with pytest.raises(NotAllowed, match="never the link-local"):
        resolve(address, 80, ("0.0.0.0/0", "::/0"))


def test_the_internet_and_networks_that_are_allowed_are_not_refused() -> None:
    assert allowed(ip_address("52.94.236.248"), ())
    assert allowed(ip_address("2600:1f14::1"), ())
    assert allowed(ip_address("10.1.2.3"), ("10.1.0.0/16",))
    assert not allowed(ip_address("10.2.2.3"), ("10.1.0.0/16",))


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"hosts": ["other.test"]}, "not among hosts"),
        ({"hosts": []}, "at least 1"),
        ({"url": "http://hooks.test/scores", "networks": []}, "https"),
        ({"url": "https://user:password@hooks.test/scores"}, "pattern"),
        ({"url": "https://hooks.test:99999/scores"}, "(?i)port"),
        ({"networks": ["10.0.0.1/8"]}, "host bits"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(tmp_path: Path, more: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        _settings(tmp_path, **{"url": "https://hooks.test/scores", **more})


@pytest.mark.parametrize("content", [None, b"short"])
def test_without_a_secret_nothing_is_posted(
    receiver: Receiver, tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    settings = _settings(tmp_path, f"http://127.0.0.1:{receiver.server_address[1]}/scores")
    (tmp_path / "secret").unlink()
    if content:
        (tmp_path / "secret").write_bytes(content)
    with _told(tmp_path, settings) as notices:
        notices.completed(job())
        wait_until(lambda: "async.webhook.secret_file" in caplog.text, "the reason")
        assert not receiver.posted
        (tmp_path / "secret").write_bytes(SECRET)  # an operator mends it while it runs
        wait_until(lambda: bool(receiver.posted), "the message")
