"""`springboard keys follow`, with moto's Secrets Manager."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from typer.testing import CliRunner, Result

from springboard.auth import keys
from springboard.auth.following import Follower, Secret, StoreAway
from springboard.auth.keys import Keys
from springboard.cli.app import app
from springboard.deploy.layout import Layout
from tests.stands.cloud import Cloud, cloud, environment

NAME = "pool-keys"


@pytest.fixture(scope="module")
def aws() -> Iterator[Cloud]:
    with cloud() as one, environment(**one.environment):
        one.client("secretsmanager").create_secret(Name=NAME, SecretString="{}")
        yield one


@pytest.fixture
def store(aws: Cloud, tmp_path: Path) -> Callable[..., Keys]:
    """Have the secret hold access keys of these names, as `springboard keys export` prints them."""

    def keep(*names: str) -> Keys:
        path = tmp_path / "store" / "keys.json"
        path.unlink(missing_ok=True)
        for name in names:
            keys.create_access_key(path, name)
        kept = keys.load(path)
        aws.client("secretsmanager").put_secret_value(SecretId=NAME, SecretString=kept.text())
        return kept

    return keep


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "host" / "keys.json"


def follow(path: Path, *words: str, secret: str = NAME) -> Result:
    return CliRunner().invoke(app, ["keys", "follow", secret, "--keys-file", str(path), *words])


def test_the_file_holds_what_the_secret_has_and_no_more(store: Callable[..., Keys], path: Path) -> None:
    kept = store("one", "two")
    done = follow(path, "--once")
    assert (done.exit_code, done.stdout) == (0, "changed: one, two\n")
    assert keys.load(path) == kept
    assert path.stat().st_mode & 0o777 == 0o600
    assert follow(path, "--once").stdout == ""
    kept = store("two")
    assert follow(path, "--once").exit_code == 0
    assert keys.load(path) == kept, "what is revoked there is gone here"


def test_a_key_made_here_would_be_undone_and_is_refused(store: Callable[..., Keys], path: Path) -> None:
    store("one")
    follow(path, "--once")
    with pytest.raises(keys.KeysFileError, match=r"playbooks/keys\.yml"):
        keys.create_token(path, "mine")


def test_keys_from_before_are_not_lost_until_the_secret_has_them(
    store: Callable[..., Keys], path: Path
) -> None:
    made = keys.create_access_key(path, "mine")
    store("one")
    done = follow(path, "--once")
    assert done.exit_code == 1
    assert "has keys that the secret lacks: mine. Take them over" in done.stderr
    assert [one.name for one in keys.load(path).access_keys] == ["mine"]
    store("one", "mine")
    assert follow(path, "--once").exit_code == 0
    assert keys.load(path).access_keys[1] != made, "the secret's one"


def test_a_host_s_own_file_is_beside_it(store: Callable[..., Keys], path: Path, tmp_path: Path) -> None:
    beside = tmp_path / "beside.json"
    token = keys.create_token(beside, "monitoring")
    store("one")
    assert follow(path, "--once", "--beside", str(beside)).exit_code == 0
    assert token
    assert keys.load(path).names() == ["one", "monitoring"]


@pytest.mark.parametrize(
    ("secret", "said"), [("there-is-none", "secretsmanager:GetSecretValue is allowed"), (NAME, "access_keys")]
)
def test_without_a_whole_secret_the_keys_known_last_stay(
    aws: Cloud, store: Callable[..., Keys], path: Path, secret: str, said: str
) -> None:
    kept = store("one")
    follow(path, "--once")
    aws.client("secretsmanager").put_secret_value(SecretId=NAME, SecretString='{"access_keys": 7}')
    done = follow(path, "--once", secret=secret)
    assert done.exit_code == 1
    assert f"the secret {secret}" in done.stderr
    assert said in done.stderr
    assert keys.load(path) == kept


def test_its_region_is_aws_region_s_too(
    store: Callable[..., Keys], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store("one")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert follow(path, "--once").exit_code == 0


def test_a_host_that_had_no_role_yet_finds_it_later(
    store: Callable[..., Keys], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, secret = store("one"), Secret(NAME)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setenv("HOME", str(tmp_path))
    with monkeypatch.context() as nobody:
        nobody.delenv("AWS_ACCESS_KEY_ID")
        nobody.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(StoreAway, match="Unable to locate credentials"):
            secret.read()
    assert secret.read() == kept


class Away(Secret):
    """A secret that can be had or not."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.here = Secret(name)
        self.away = False

    def read(self) -> Keys:
        return (Secret("there-is-none") if self.away else self.here).read()


def test_what_is_wrong_is_said_once_and_its_end_too(store: Callable[..., Keys], path: Path) -> None:
    store("one")
    said, secret = list[str](), Away(NAME)
    follower = Follower(secret, path, None, said.append)
    assert not follower.knows
    assert follower.look()
    assert follower.knows
    secret.away = True
    assert [follower.look() for _ in range(3)] == [False] * 3
    assert follower.status.startswith("does not follow for ")
    assert "the keys known last stay: the secret" in follower.status
    secret.away = False
    assert follower.look()
    assert follower.status == f"follows the secret {NAME}"
    assert [line.partition(":")[0] for line in said] == [
        "changed",
        "the keys known last stay",
        f"the secret {NAME} is followed again",
    ]


def test_it_goes_on_until_stopped_and_tells_systemd_when_keys_are_there(
    store: Callable[..., Keys], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store("one")
    told, heard = list[str](), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def sleep(_: float) -> None:
        told.append(heard.recv(4096).decode())
        if len(told) == 2:
            raise KeyboardInterrupt
        store("two")

    monkeypatch.setattr("springboard.cli.keys.time.sleep", sleep)
    figures = Layout(tmp_path).figures
    figures.mkdir(parents=True)
    with heard, environment(NOTIFY_SOCKET=str(tmp_path / "notify"), SPRINGBOARD_ROOT=str(tmp_path)):
        heard.bind(str(tmp_path / "notify"))
        done = follow(path)
    assert done.exit_code == 0
    (page,) = [one.read_text() for one in figures.iterdir()]
    followed = float(page.split()[-1])
    assert 0 <= time.time() - followed < 60
    assert done.stdout.splitlines() == ["changed: one", "changed: one, two"]
    assert told == [f"READY=1\nSTATUS=follows the secret {NAME}"] * 2
    assert json.loads(path.read_text())["access_keys"][0]["name"] == "two"


@pytest.mark.usefixtures("aws")
def test_a_host_that_never_knew_any_is_not_ready(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sleep(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("springboard.cli.keys.time.sleep", sleep)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        Layout(tmp_path).figures.mkdir(parents=True)
        with environment(NOTIFY_SOCKET=str(tmp_path / "notify"), SPRINGBOARD_ROOT=str(tmp_path)):
            follow(path, secret="there-is-none")
        assert not list(Layout(tmp_path).figures.iterdir())
        assert heard.recv(4096).decode().startswith("STATUS=does not follow")
