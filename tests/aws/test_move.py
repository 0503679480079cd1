"""A deployment goes to another region: another one is made there, and the old one taken down."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from springboard.releases.registry import Registry
from tests import pages
from tests.aws.conftest import BUCKET, ELSEWHERE
from tests.aws.harness import Aws, Run
from tests.aws.inspect import running, tagged

pytestmark = pytest.mark.xdist_group("aws")


def test_the_commands_of_the_page_take_a_release_along(moved: Run, aws: Aws) -> None:
    assert moved.code == 0, moved.text
    (block,) = pages.every("run: move", "sh")
    text = block.text.replace("my-models", BUCKET).replace(f"{BUCKET}-eu", "pool-eu-models")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", text],
        env=aws.environment | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "copied: s3://pool-eu-models/releases/dive/1.0.0/"
    assert Registry("s3://pool-eu-models", aws.client("s3", ELSEWHERE)).versions() == ["1.0.0"]


def test_only_wanted_zones_get_a_subnet(moved: Run, aws: Aws) -> None:
    assert moved.code == 0, moved.text
    kinds = [kind for kind, _ in tagged(aws, ELSEWHERE, "pool-eu")]
    assert kinds.count("subnet") == 1
    zones = {
        running(aws, ELSEWHERE, f"pool-eu-{name}")["Placement"]["AvailabilityZone"]
        for name in ("1", "monitor")
    }
    assert zones == {f"{ELSEWHERE}b"}


def test_the_host_that_watches_goes_alone(unwatched: Run, aws: Aws) -> None:
    """Nobody has to serve in its place, and nothing on it has to be ended first."""
    assert unwatched.code == 0, unwatched.text
    kinds = [kind for kind, _ in tagged(aws, ELSEWHERE, "pool-eu")]
    assert (kinds.count("instance"), kinds.count("elastic-ip"), kinds.count("volume")) == (1, 1, 1)
    (group,) = running(aws, ELSEWHERE, "pool-eu-1")["SecurityGroups"]
    assert kinds.count("security-group") == 1
    rules = aws.client("ec2", ELSEWHERE).describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": [group["GroupId"]]}]
    )["SecurityGroupRules"]
    assert rules
    assert not [rule for rule in rules if "ReferencedGroupInfo" in rule]


def test_the_new_one_stays_when_the_old_one_is_taken_down(emptied: Run, aws: Aws) -> None:
    assert running(aws, ELSEWHERE, "pool-eu-1")
    kinds = {kind for kind, _ in tagged(aws, ELSEWHERE, "pool-eu")}
    assert {"bucket", "role", "vpc", "elastic-ip"} <= kinds
