"""SSH keys of hosts, from EC2's console to the file that ssh reads."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.aws.harness import Aws, Checkout, Run, module
from tests.stands import aws_console

pytestmark = pytest.mark.xdist_group("aws")


@pytest.fixture
def instance(aws: Aws) -> Iterator[str]:
    ec2 = aws.client("ec2", "us-east-1")
    (image, *_) = ec2.describe_images()["Images"]
    (made,) = ec2.run_instances(ImageId=image["ImageId"], MinCount=1, MaxCount=1, InstanceType="g4dn.xlarge")[
        "Instances"
    ]
    yield str(made["InstanceId"])
    ec2.terminate_instances(InstanceIds=[made["InstanceId"]])


def learn(
    aws: Aws, path: Path, *instances: str, timeout: int = 60, check: bool = False, anew: tuple[str, ...] = ()
) -> dict[str, Any]:
    hosts = {"region": "us-east-1", "instances": list(instances), "path": str(path), "timeout": timeout}
    hosts["anew"] = list(anew)
    return module(aws, "ec2_known_hosts", **hosts, _ansible_check_mode=check)


def test_they_are_taken_from_the_console_once_it_has_them(aws: Aws, instance: str, tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text("i-0 ssh-ed25519 AAAA\n")
    first = learn(aws, path, instance)
    assert (first["learned"], first["silent"]) == ([instance], [])
    assert path.read_text() == "i-0 ssh-ed25519 AAAA\n" + "".join(
        f"{instance} {key}\n" for key in aws_console.keys(instance)
    )
    again = learn(aws, path, instance, "i-0")
    assert (again["changed"], again["learned"], again["silent"]) == (False, [], [])


def test_told_so_a_known_key_gives_way_to_the_consoles(aws: Aws, instance: str, tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(f"{instance} ssh-ed25519 OLD\ni-0 ssh-ed25519 AAAA\n")
    silent = learn(aws, path, instance, anew=(instance,), timeout=0)
    assert (silent["changed"], silent["silent"]) == (False, [instance])
    assert "OLD" in path.read_text(), "what is known stays until there is another"
    assert learn(aws, path, instance, "i-0", anew=(instance,))["learned"] == [instance]
    assert path.read_text() == "i-0 ssh-ed25519 AAAA\n" + "".join(
        f"{instance} {key}\n" for key in aws_console.keys(instance)
    )


def test_a_host_that_has_printed_none_yet_is_named_and_not_trusted(
    aws: Aws, instance: str, tmp_path: Path
) -> None:
    answer = learn(aws, tmp_path / "known_hosts", instance, timeout=0)
    assert (answer["changed"], answer["silent"]) == (False, [instance])
    assert not (tmp_path / "known_hosts").exists()


def test_ssh_knows_a_host_by_its_instance_and_takes_no_other_key(pool: Checkout, made: Run) -> None:
    listed = pool.ansible("ansible-inventory", "--host", "pool-1")
    variables = json.loads(listed[listed.index("{") : listed.rindex("}") + 1])
    instance = variables["ec2_instance_id"]
    known = (pool.folder / "inventory/known_hosts").read_text()
    assert known == "".join(f"{instance} {key}\n" for key in aws_console.keys(instance))
    told = pool.ansible(
        "ansible", "pool-1", "-c", "local", "-m", "debug", "-a", "var=ansible_ssh_common_args"
    )
    for option in (
        f"HostKeyAlias={instance}",
        "StrictHostKeyChecking=yes",
        f"UserKnownHostsFile={pool.folder}/inventory/known_hosts",
    ):
        assert f"-o {option}" in " ".join(told.split()), told
