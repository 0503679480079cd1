"""`springboard channel`, with a bucket in memory that keeps its conditions."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from springboard.cli.app import app
from tests.stands.objects import Objects

KEY = "channels/dive-scoring.json"
MODELS = ("--models", "s3://models")


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Objects:
    objects = Objects()
    for version in ("1.0.0", "1.1.0"):
        manifest = {
            "version": version,
            "archive": {"file": "x.mar", "sha256": "0" * 64, "size_bytes": 1},
            "torch": "2.13.0",
        }
        objects.held[f"releases/dive/{version}/manifest.json"] = json.dumps(manifest).encode()
    monkeypatch.setattr("springboard.releases.bucket.boto3.client", lambda *_, **__: objects)
    return objects


def channel(*words: str, given: dict[str, Any] | str | None = None) -> Result:
    text = given if isinstance(given, str) else json.dumps(given)
    more = () if given is None else ("--settings", "-")
    return CliRunner().invoke(app, ["channel", *words, *MODELS, *more], input=text)


def shown() -> Any:
    done = channel("show")
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_it_is_absent_until_a_release_is_named(bucket: Objects) -> None:
    assert shown() == {"version": "absent", "channel": None}
    done = channel("set", given={"canary": {}})
    assert (done.exit_code, done.output.splitlines()[-1]) == (0, "unchanged")
    assert KEY not in bucket.held
    done = channel("set", "1.0.0")
    assert done.output == f"s3://models/{KEY} names 1.0.0\nchanged\n"
    assert channel("set", "1.0.0").output == "unchanged\n"
    assert shown()["channel"] == {"release": "1.0.0"}


def test_settings_stay_until_others_are_given(bucket: Objects) -> None:
    rules = {"canary": {"weight": 5}, "settings": {"shadow": {"release": "1.1.0"}}}
    channel("set", "1.0.0", given=rules)
    channel("set", "1.1.0")
    assert shown()["channel"] == {"release": "1.1.0", **rules}
    assert channel("set", "1.1.0", given=rules).output == "unchanged\n"
    assert channel("set", given={"canary": {"weight": 6}}).output.endswith("changed\n")
    assert shown()["channel"] == {"release": "1.1.0", "canary": {"weight": 6}}


def test_another_endpoint_has_another_channel(bucket: Objects) -> None:
    channel("set", "1.0.0", "--endpoint", "other")
    assert shown()["channel"] is None
    assert "channels/other.json" in bucket.held


def test_of_two_who_set_it_one_is_refused(bucket: Objects) -> None:
    channel("set", "1.0.0")
    version = shown()["version"]

    def other() -> None:
        bucket.held[KEY] = b'{"release": "1.0.0", "canary": {}}'

    bucket.before_put = other
    done = channel("set", "1.1.0", "--if", version)
    assert done.exit_code == 1
    assert f"s3://models/{KEY} is not {version} any more, somebody else was quicker" in done.output
    done = channel("set", "1.1.0", "--if", version)
    assert done.exit_code == 1
    assert f"not {version}: somebody changed it" in done.output
    assert shown()["channel"]["release"] == "1.0.0"


def test_one_that_is_made_or_deleted_meanwhile_is_not_written_over(bucket: Objects) -> None:
    bucket.before_put = lambda: bucket.held.update({KEY: b'{"release": "1.1.0"}'})
    done = channel("set", "1.0.0")
    assert "is not absent any more" in done.output
    bucket.before_put = lambda: bucket.held.pop(KEY, None)  # type: ignore[assignment]
    assert "somebody else was quicker" in channel("set", "1.0.0").output
    assert KEY not in bucket.held
    assert channel("set", "1.0.0", "--if", "5e0f").exit_code == 1
    bucket.before_put = lambda: None
    assert channel("set", "1.0.0", "--if", "absent").exit_code == 0


def test_a_damaged_one_is_named_and_only_replaced_whole(bucket: Objects) -> None:
    bucket.held[KEY] = b'{\n"release": 1}'
    for words in (("show",), ("set", "1.0.0")):
        done = channel(*words)
        assert done.exit_code == 1
        assert f"s3://models/{KEY}:2: release: Input should be a valid string" in done.output
    assert channel("set", given={}).exit_code == 1
    assert bucket.held[KEY] == b'{\n"release": 1}'
    assert channel("set", "1.0.0", given={}).output.endswith("changed\n")
    assert shown()["channel"] == {"release": "1.0.0"}


@pytest.mark.parametrize(
    ("words", "given", "said"),
    [
        (["set", "1.2.0"], None, "there is no release 1.2.0 in s3://models; the latest are: 1.0.0, 1.1.0"),
        (["set", "latest"], None, "release: String should match pattern"),
        (["set", "1.0.0"], '{"canary":\n{"wait": 1}}', ":2: canary.wait: Extra inputs are not permitted"),
        (["set", "1.0.0"], '{"settings": {"models": "s3://x"}}', "settings.models: Extra inputs"),
        (["set", "1.0.0"], "no", ":1: no JSON"),
    ],
)
def test_what_no_host_could_follow_is_not_written(
    bucket: Objects, words: list[str], given: str | None, said: str
) -> None:
    done = channel(*words, given=given)
    assert done.exit_code == 1
    assert said in done.output
    assert KEY not in bucket.held


def test_without_s3_it_says_so(bucket: Objects) -> None:
    bucket.away = True
    done = channel("show")
    assert done.exit_code == 1
    assert "S3 could not be reached" in done.output


def test_who_does_not_hear_that_it_is_set_has_set_it(bucket: Objects) -> None:
    for release in ("1.0.0", "1.1.0"):  # none is there, then one is
        bucket.loses_answer = True
        done = channel("set", release)
        assert done.exit_code == 0, done.output
        assert done.output.splitlines()[-1] == "changed"
        assert shown()["channel"] == {"release": release}
