"""`springboard score | top` before a server that answers as a test wants."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from springboard.cli.app import app

SCORE = {"score": 84.15, "video": {"frames": 76}, "warnings": [], "dive": {"number": "101B"}}
ANSWERS = {"score": json.dumps(SCORE), "list": "[]", "other": '{"ok": true}', "text": "hello"}


class Answers(BaseHTTPRequestHandler):
    """Answers with what the body says; `wait` waits for the end of the test."""

    answering = threading.Event()

    def do_POST(self) -> None:
        said = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if said == "wait":
            self.answering.wait(60)
        body = {"score": json.dumps(SCORE), "list": "[]", "other": '{"ok": true}', "text": "hello"}.get(
            said, "{}"
        )
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Answers.answering.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        Answers.answering.set()
        server.shutdown()
        thread.join()


def springboard(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "springboard", *arguments],
        env={**os.environ, "COLUMNS": "120", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def video(folder: Path, name: str, says: str = "score") -> Path:
    path = folder / name
    path.write_text(says)
    return path


def test_odd_names_are_shown_and_cost_no_answer(url: str, tmp_path: Path) -> None:
    names = ["d\udcffve.mp4", "new\nline.mp4", "\x1b[2Jclear.mp4", "[bold]dive.mp4", "plain.mp4"]
    run = springboard("score", "--url", url, *(video(tmp_path, name) for name in names))
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.count("84.15") == len(names)
    shown = ["d\\xffve.mp4", "new\\nline.mp4", "\\x1b[2Jclear.mp4", "[bold]dive.mp4", "plain.mp4"]
    assert [name for name in shown if name not in run.stdout] == []
    assert run.stdout.count("│ 76 ") == len(names)


def test_answers_come_one_by_one_and_outlive_ctrl_c(url: str, tmp_path: Path) -> None:
    videos = [video(tmp_path, "a.mp4"), video(tmp_path, "b.mp4"), video(tmp_path, "c.mp4", "wait")]
    command = [sys.executable, "-m", "springboard", "score", "--json", "--url", url, *map(str, videos)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asking:
        assert asking.stdout
        first = [json.loads(asking.stdout.readline()) for _ in range(2)]
        asking.send_signal(signal.SIGINT)
        rest, said = asking.communicate(timeout=60)
    assert [Path(line["source"]).name for line in first] == ["a.mp4", "b.mp4"]
    assert (rest, said, asking.returncode) == ("", "springboard: stopped after 2 of 3 videos\n", 130)


@pytest.mark.parametrize("says", ["list", "other", "text"])
def test_no_springboard_is_told_and_the_next_video_scored(url: str, tmp_path: Path, says: str) -> None:
    run = springboard("score", "--json", "--url", url, video(tmp_path, "a", says), video(tmp_path, "b"))
    wrong, right = map(json.loads, run.stdout.splitlines())
    assert "is it a Springboard?" in wrong["error"]["message"]
    assert (right["score"], run.returncode, run.stderr) == (84.15, 1, "")


def one_line(*arguments: str | Path, **environment: str) -> str:
    """Run a command that must fail with one line, and return that."""
    run = CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)
    assert (run.exit_code, run.stdout) == (2, "")
    assert len(run.stderr.splitlines()) == 1
    return run.stderr


@pytest.mark.parametrize(
    "wrong", ["http://[::1", "localhost:8080", "", "http://", "http://x:port", "ftp://x"]
)
def test_a_wrong_address_is_one_line(tmp_path: Path, wrong: str) -> None:
    assert "is no address" in one_line("score", "--url", wrong, video(tmp_path, "a"))
    assert "is no address" in one_line("top", "--url", wrong)


def test_credentials_that_cannot_be_had_are_one_line() -> None:
    assert "(nosuch) could not be found" in one_line("score", "--sign", "x", AWS_PROFILE="nosuch")
    for command in (["score", "x"], ["top"]):
        assert "the token holds characters" in one_line(*command, "--token", "schlüssel")
