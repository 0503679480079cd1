"""Further fronts of a host: there as long as their files are, at once after a restart, and found by name."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
import yaml
from botocore.credentials import ReadOnlyCredentials

from springboard.auth.check import Auth, MetricsRule, Mode
from springboard.auth.keys import Keys
from springboard.client.score import Signed
from springboard.control.fronts import Followed
from springboard.endpoint.document import Endpoint
from springboard.front.front import Front
from springboard.front.routes import create_app
from tests.stands.served import served
from tests.stands.waiting import wait_until
from tests.unit.control.conftest import ADMIN

VARIANT = {"name": "AllTraffic", "release": "2.0.0", "address": "http://127.0.0.1:9"}
NOT_HERE = "has the endpoint dives"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "endpoints"


def write(folder: Path, slot: int, name: str, **more: object) -> None:
    folder.mkdir(exist_ok=True)
    draft = folder / "draft"
    draft.write_text(yaml.safe_dump({"endpoint": name, "variants": [VARIANT], **more}))
    draft.rename(folder / f"{slot}.yml")


class Server:
    """A server's own front, for an endpoint that serves nothing, and those of a folder."""

    def __init__(self, url: str, front: Front) -> None:
        self._url, self.front = url, front

    def get(self, path: str, auth: httpx.Auth | None = None) -> str:
        return httpx.get(f"{self._url}{path}", auth=auth).text

    def until(self, path: str, text: str) -> None:
        """Return when an answer has this in it."""
        wait_until(lambda: text in self.get(path), f"{text} at {path}")


@contextmanager
def serving(folder: Path, keep: bool = True, mode: Mode = Mode.NONE) -> Iterator[Server]:
    """Yield a server that follows a folder, or with `keep` False only knows what it began with."""
    nothing = Endpoint(endpoint="dives", variants=())
    front = Front(nothing, Auth(frozenset({mode}), Keys(access_keys=(ADMIN,))), httpx.AsyncClient())
    followed, application = Followed(folder), partial(create_app, metrics_rule=MetricsRule.OPEN)
    app = application(front)
    followed.begin(app, front, application)
    with served(app, beside=(lambda: followed.keep(front)) if keep else None) as port:
        yield Server(f"http://127.0.0.1:{port}", front)


def test_a_further_front_is_there_as_long_as_its_file(folder: Path) -> None:
    with serving(folder) as server:
        assert NOT_HERE in server.get("/endpoints/others")
        write(folder, 3, "others")
        server.until("/endpoints/others", '"endpoint":"others"')
        assert '"endpoint":"dives"' in server.get("/endpoints/dives")
        # Its own figures, and its own health.
        of_release = 'release="2.0.0"'
        assert of_release in server.get("/endpoints/others/front/metrics")
        for path in ("/metrics", "/endpoints/dives/front/metrics"):
            page = server.get(path)
            assert ("springboard_" in page, of_release in page) == (True, False)
        assert "AllTraffic" in server.get("/endpoints/others/front/ping")
        assert "no release is deployed yet" in server.get("/ping")

        write(folder, 3, "others", variants=[{**VARIANT, "release": "2.1.0"}])
        server.until("/endpoints/others", '"release":"2.1.0"')
        assert len(server.front.beside) == 1
        write(folder, 3, "third")  # in its place
        server.until("/endpoints/third", '"endpoint":"third"')
        server.until("/endpoints/others", NOT_HERE)
        (folder / "3.yml").unlink()
        server.until("/endpoints/third", NOT_HERE)
        wait_until(lambda: server.front.beside == [], "its front to be closed")


def test_what_works_for_a_front_ends_with_it(folder: Path, tmp_path: Path) -> None:
    before = set(threading.enumerate())

    def working() -> set[str]:
        return {one.name for one in set(threading.enumerate()) - before} & {"truth", "capture"}

    kept = {"truth": {"folder": f"{tmp_path}/truth"}, "capture": {"destination": f"{tmp_path}/captured"}}
    with serving(folder) as server:
        write(folder, 1, "others", **kept)
        server.until("/endpoints/others", '"endpoint":"others"')
        assert working() == {"truth", "capture"}
        (folder / "1.yml").unlink()
        wait_until(lambda: not working(), "nobody to work for it")


def test_what_was_served_before_a_restart_is_before_anybody_calls(folder: Path) -> None:
    write(folder, 1, "others")
    with serving(folder, keep=False) as server:
        assert '"endpoint":"others"' in server.get("/endpoints/others")


def test_a_file_that_cannot_be_used_is_told_of_once_and_keeps_no_other_away(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(folder, 1, "others", limits=7)
    with serving(folder) as server:
        for slot, name in ((2, "third"), (4, "fourth")):
            write(folder, slot, name)
            server.until(f"/endpoints/{name}", f'"endpoint":"{name}"')
        assert caplog.text.count("an endpoint cannot be served") == 1
        assert "1.yml:" in caplog.text
        write(folder, 1, "others")
        server.until("/endpoints/others", '"endpoint":"others"')


def test_a_file_that_cannot_even_be_looked_at_keeps_nobody_from_serving(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir()
    (folder / "1.yml").symlink_to("x" * 300)
    with serving(folder) as server:
        write(folder, 2, "others")
        server.until("/endpoints/others", '"endpoint":"others"')
        assert "1.yml:" in caplog.text
        (folder / "draft").symlink_to("x" * 300)
        (folder / "draft").rename(folder / "2.yml")
        write(folder, 3, "third")
        server.until("/endpoints/third", '"endpoint":"third"')
        wait_until(lambda: "is not taken over" in caplog.text, "the second to be told of")
        assert '"endpoint":"others"' in server.get("/endpoints/others")


def test_of_two_of_one_name_the_second_waits_for_the_end_of_the_first(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(folder, 1, "others")
    with serving(folder) as server:
        write(folder, 2, "others", variants=[{**VARIANT, "release": "2.1.0"}])
        wait_until(lambda: "others is served by" in caplog.text, "the second to be told of")
        assert '"release":"2.0.0"' in server.get("/endpoints/others")
        (folder / "1.yml").unlink()
        server.until("/endpoints/others", '"release":"2.1.0"')
        (folder / "2.yml").unlink()
        server.until("/endpoints/others", NOT_HERE)


def test_a_signature_is_of_the_path_as_it_was_sent(folder: Path) -> None:
    write(folder, 1, "others")
    credentials = ReadOnlyCredentials(ADMIN.access_key_id, ADMIN.secret_access_key, None)
    with serving(folder, mode=Mode.SIGV4) as server:
        for path in ("/endpoints/others", "/endpoints/others/front/endpoints/others"):
            assert "not authorized" in server.get(path)
            assert '"endpoint":"others"' in server.get(path, Signed(credentials, "us-east-1"))
