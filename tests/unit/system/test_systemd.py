"""What systemd hands over and hears, where it is not there or not as it should be."""

import os
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from springboard.system import systemd


@pytest.mark.parametrize(
    "name", ["{folder}/away", "{folder}/file", "@away", "{folder}/" + "long" * 50, "vsock:2:1"]
)
def test_a_notify_socket_that_cannot_be_told_is_logged_and_ends_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    address = name.format(folder=tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    systemd.notify("READY=1")
    (record,) = caplog.records
    assert (record.name, record.levelname, record.exc_info) == ("springboard.systemd", "WARNING", None)
    assert f"cannot tell systemd READY=1: NOTIFY_SOCKET is {address!r}" in record.getMessage()


@pytest.mark.parametrize("address", ["notify", "@springboard-test-notify-PID"])
def test_a_notify_socket_is_told(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        address = address.replace("PID", str(os.getpid()))  # the name is the whole machine's
        told.bind(address.replace("@", "\0"))
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        systemd.notify("STOPPING=1")
        assert told.recv(100) == b"STOPPING=1"


def test_a_notify_socket_that_nobody_reads_keeps_no_front_from_serving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(systemd, "_TELL_SECONDS", 0.01)
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as full,
    ):
        told.bind(address := str(tmp_path / "notify"))
        full.connect(address)
        full.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                full.send(b"WATCHDOG=1")
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        systemd.notify("READY=1")
    assert "cannot tell systemd READY=1" in caplog.text


@pytest.mark.parametrize("count", ["0", "2", "one", "1"])
def test_what_is_no_socket_is_refused_in_words(
    count: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("LISTEN_FDS", count)
    with (tmp_path / "file").open("w") as file:
        monkeypatch.setattr(systemd, "_FIRST_FD", file.fileno())
        with pytest.raises(
            ValueError, match=f"systemd handed over {count} sockets|is no socket: Socket operation"
        ):
            systemd.take_socket()
