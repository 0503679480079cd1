"""`replace` and `remove` on the stand-in AWS; what is done on hosts is tested on hosts."""

from typing import Any

import pytest

from tests.aws.conftest import REGION
from tests.aws.harness import Aws, Run
from tests.aws.inspect import running, tagged

pytestmark = pytest.mark.xdist_group("aws")


def test_a_host_more_is_made_beside_the_others(grown: Run, aws: Aws) -> None:
    assert grown.code == 0, grown.text
    first, second = (running(aws, REGION, name) for name in ("pool-1", "pool-2"))
    assert second["PublicIpAddress"] != first["PublicIpAddress"]


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ("another", "Name the host: -e host=NAME, one of pool-1, pool-2 (found 'pool-7')"),
        ("with its keys", "The keys of pool-1 are on its disk alone"),
        ("with its keys", "playbooks/keys.yml -e take=pool-1"),
        ("without quota", "may run 8 vCPUs of G and VT instances in us-west-1; 16 are needed"),
    ],
)
def test_a_host_that_could_not_be_made_again_is_kept(replaced: dict[str, Run], run: str, said: str) -> None:
    assert (replaced[run].code, replaced[run].changed) == (2, 0), replaced[run].text
    assert said in replaced[run].text


def test_a_replaced_host_has_its_name_its_address_and_the_type_of_now(
    former: Any, replaced: dict[str, Run], aws: Aws
) -> None:
    assert "pool-1 will serve 1.0.0" in replaced["made"].text
    after = running(aws, REGION, "pool-1")
    assert after["InstanceId"] != former["InstanceId"], replaced["made"].text
    assert after["InstanceType"] == "g4dn.2xlarge"
    assert after["PublicIpAddress"] == former["PublicIpAddress"]


def test_a_host_that_is_asked_for_is_not_removed(removed: dict[str, Run]) -> None:
    assert (removed["wanted"].code, removed["wanted"].changed) == (2, 0)
    said = "inventory/group_vars/all/aws.yml ask for pool-1, pool-2, pool-monitor: lower it first"
    assert said in removed["wanted"].text


def test_a_removed_host_leaves_no_address(removed: dict[str, Run], aws: Aws) -> None:
    assert removed["gone"].code == 0, removed["gone"].text
    kinds = [kind for kind, _ in tagged(aws, REGION, "pool")]
    assert (kinds.count("instance"), kinds.count("elastic-ip")) == (2, 2), "pool-1 and pool-monitor"
    assert running(aws, REGION, "pool-1")
