"""Releases onto hosts by the playbooks. Of whatever goes wrong they say what to do, and a re-run heals it."""

from collections.abc import Callable

from tests.hosts.harness import Hosts, Node
from tests.hosts.served import Caller, Models, settings

Serving = Callable[[str], tuple[Node, Caller]]


def version(caller: Caller) -> str:
    return str(caller.score()["model"]["version"])


def test_deploy_names_what_it_needs(hosts: Hosts, models: Models, node: Callable[..., Node]) -> None:
    given = settings(models)
    fresh = node("fresh")
    assert "-i inventory/local.yml" in hosts.play("configure.yml", **given).output
    play = hosts.play("deploy.yml", springboard=[fresh], **given)
    assert not play.ok
    assert "-e release=X.Y.Z" in play.output
    play = hosts.play("deploy.yml", springboard=[fresh], release="1.0.0", **given)
    assert not play.ok
    assert "playbooks/configure.yml" in play.output
    play = hosts.play("configure.yml", springboard=[fresh], **{**given, "springboard_models_bucket": ""})
    assert not play.ok
    assert "springboard_models_bucket" in play.output
    play = hosts.play("configure.yml", springboard=[fresh], **{**given, "springboard_gpu_required": True})
    assert not play.ok
    assert "no NVIDIA GPU" in play.output
    assert not fresh.succeeds("systemctl", "cat", "springboard-front.service")


def test_first_failing_host_stops_the_others(serving: Serving, hosts: Hosts, models: Models) -> None:
    """Whatever fails, the one host serves what it served, the other is not touched, and a re-run heals."""
    first, caller = serving("first")
    second, other = serving("second")
    given = {"springboard": [first, second], **settings(models)}
    key = next(
        item["Key"]
        for item in models.client.list_objects_v2(Bucket="models", Prefix="releases/dive/1.1.0/")["Contents"]
        if item["Key"].endswith(".mar")
    )
    archive = models.archives["1.1.0"].read_bytes()

    def fails(*said: str, **changed: object) -> None:
        play = hosts.play("deploy.yml", release="1.1.0", **{**given, **changed})
        assert not play.ok
        for words in said:
            assert words in " ".join(play.output.split()), play.output
        assert version(caller) == "1.0.0"
        assert "second" not in play.output.rpartition("PLAY RECAP")[2]
        assert not first.succeeds("test", "-e", "/var/lib/springboard/releases/1.1.0")

    models.client.put_object(Bucket="models", Key=key, Body=archive[:-1] + b"x")
    fails("sha256", "publish the model anew")
    models.client.put_object(Bucket="models", Key=key, Body=archive)
    fails("S3 could not be reached", springboard_s3_endpoint=f"http://{hosts.gateway}:9")
    releases = "/var/lib/springboard/releases"
    first.sh(
        f"cp -a {releases} /kept && mount -t tmpfs -o size=10m tmpfs {releases} && cp -a /kept/. {releases}"
    )
    fails("MB left", "enlarge the volume")
    first.sh(f"umount {releases}")

    check = hosts.play("deploy.yml", check=True, release="1.1.0", **given)
    assert check.ok, check.output
    assert "would fetch 1.1.0" in check.output
    assert version(caller) == "1.0.0"
    play = hosts.play("deploy.yml", release="1.1.0", **given)
    assert play.ok, play.output
    assert (version(caller), version(other)) == ("1.1.0", "1.1.0")
