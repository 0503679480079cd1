"""A host that reads callers' keys from their secret by itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from springboard.auth import keys
from tests.hosts import served
from tests.hosts.fleet import KEYS_UNIT, SECRET, ask_there
from tests.hosts.harness import Hosts, Node
from tests.hosts.served import Caller, Models
from tests.stands.cloud import REGION, cloud
from tests.stands.waiting import wait_until


def configured(hosts: Hosts, host: Node, models: Models, **given: Any) -> str:
    play = hosts.play(
        "configure.yml", "--tags", "keys", springboard=[host], **served.settings(models), **given
    )
    assert play.ok, play.output
    assert "TASK [front : keys_follow" in play.output
    return "changed" if play.count("changed") else "unchanged"


def test_what_the_secret_has_holds_within_seconds_and_stays_without_it(
    hosts: Hosts, models: Models, serving: Callable[[str], tuple[Node, Caller]], tmp_path: Path
) -> None:
    host, caller = serving("follows")
    kept = tmp_path / "keys.json"
    kept.write_text(host.run("springboard", "keys", "export"))
    kept.chmod(0o600)
    follows: dict[str, Any] = {
        "springboard_keys_follow": True,
        "springboard_keys_secret": SECRET,
        "springboard_region": REGION,
    }
    with cloud(hosts.gateway) as aws:
        secret = aws.client("secretsmanager")
        secret.create_secret(Name=SECRET, SecretString=kept.read_text())
        ask_there(aws, host)
        assert configured(hosts, host, models, **follows) == "changed"
        assert configured(hosts, host, models, **follows) == "unchanged"
        assert caller.score()
        token = keys.create_token(kept, "made-elsewhere")
        secret.put_secret_value(SecretId=SECRET, SecretString=kept.read_text())
        wait_until(lambda: caller.knows(token), "a key made elsewhere to be known", 60)
        keys.revoke(kept, "made-elsewhere")
        secret.put_secret_value(SecretId=SECRET, SecretString=kept.read_text())
        wait_until(lambda: not caller.knows(token), "a key revoked elsewhere to be refused", 60)
        refused = host.run("springboard", "keys", "create", "mine", check=False)
        assert "playbooks/keys.yml" in refused
    status = ["systemctl", "show", "-P", "StatusText", KEYS_UNIT]
    wait_until(lambda: "does not follow" in host.run(*status), "the host to say that the secret is away", 120)
    assert "the keys known last stay" in host.run(*status)
    assert caller.score()["prediction"]
    names = [one["name"] for one in json.loads(host.sh("cat /etc/springboard/keys.json"))["tokens"]]
    assert names == ["tests"]
    assert configured(hosts, host, models) == "changed"
    assert not host.succeeds("test", "-e", f"/etc/systemd/system/{KEYS_UNIT}")
    assert caller.score()


def test_keys_that_are_revoked_one_after_another_are_all_refused(
    serving: Callable[[str], tuple[Node, Caller]],
) -> None:
    """Also those that are revoked while the front takes over what came before."""
    host, caller = serving("revokes")
    made = {
        name: host.run("springboard", "keys", "create", "--bearer", name).strip().rpartition("=")[2]
        for name in ("first", "second", "third", "fourth", "fifth")
    }
    wait_until(lambda: all(caller.knows(token) for token in made.values()), "all keys to be known")
    for name in made:
        host.run("springboard", "keys", "revoke", name)
    wait_until(lambda: not any(caller.knows(token) for token in made.values()), "all to be refused")
    assert caller.score()
