import pytest

from springboard.system.addresses import is_loopback


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.9.9.9",
        "::1",
        "::1%lo",
        "0:0:0:0:0:0:0:1",
        "localhost",
        "LocalHost",
        "::ffff:127.0.0.1",
        "::ffff:127.0.0.1%lo",
        "::FFFF:7f00:1",
        "0:0:0:0:0:ffff:127.255.0.1",
    ],
)
def test_every_spelling_of_this_machine_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "10.0.0.1",
        "0.0.0.0",
        "::",
        "fe80::1%eth0",
        "::ffff:10.0.0.1",
        "::ffff:0.0.0.0",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "localhost.example.com",
        "127.0.0.1.example.com",
        "127.0.0.1:80",
        "128.0.0.1",
    ],
)
def test_nothing_else_is(host: str) -> None:
    assert not is_loopback(host)
