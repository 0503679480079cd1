"""playbooks/fleet.yml on a stand-in AWS: a fleet's life, on a network and a role that are there.

All is done as users whom the shipped policies alone allow anything.
"""

import base64
import json
import re
from typing import Any

import pytest
import yaml
from botocore.exceptions import ClientError

from springboard.system.checkout import ROOT
from tests.aws.fleet import KNOBS, REGION, WITH_JOBS, described, issued, provisioned
from tests.aws.harness import Aws, Checkout, Run
from tests.aws.inspect import tagged
from tests.aws.test_policies import actions
from tests.stands.aws import SPOT_QUOTA

pytestmark = pytest.mark.xdist_group("aws")


@pytest.fixture(scope="module")
def ground(aws: Aws) -> set[str]:
    return provisioned(aws)


@pytest.fixture(scope="module")
def reef(aws: Aws, ground: object, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    folder = tmp_path_factory.mktemp("reef")
    checkout = Checkout(
        folder / "checkout",
        aws,
        springboard_deployment="reef",
        springboard_region=REGION,
        springboard_models_bucket="reef-models",
        springboard_channel=True,
        springboard_control=True,
        springboard_edge=False,
        springboard_keys_secret="reef-keys",
        springboard_keys_follow=True,
        springboard_tags={"Team": "diving"},
        aws_host_allowed_cidrs=["203.0.113.0/24"],
        aws_host_admin_cidrs=["203.0.113.7/32"],
        aws_host_public_key_file="key.pub",
        fleet_certificate_arn=issued(aws, REGION, folder),
        fleet_image=aws.publish_ami(REGION, "20261001"),
        fleet_instance_types=["g4dn.xlarge", "g5.xlarge"],
    )
    checkout.restrict("reef")
    return checkout


# The life of that fleet. Each step follows the one it names.
@pytest.fixture(scope="module")
def without_quota(reef: Checkout) -> Run:
    return reef.play("fleet")


@pytest.fixture(scope="module")
def fleet_checked(aws: Aws, reef: Checkout, without_quota: object) -> Run:
    aws.grant(REGION, 20)
    return reef.play("fleet", "--check")


@pytest.fixture(scope="module")
def found_after_check(aws: Aws, fleet_checked: object) -> set[tuple[str, str]]:
    return tagged(aws, REGION, "reef")


@pytest.fixture(scope="module")
def up(reef: Checkout, found_after_check: object) -> Run:
    run = reef.play("fleet")
    assert run.code == 0, run.text
    return run


@pytest.fixture(scope="module")
def at_first(aws: Aws, up: object) -> dict[str, Any]:
    return described(aws)


@pytest.fixture(scope="module")
def fleet_again(aws: Aws, reef: Checkout, at_first: object) -> Run:
    """After the group scaled, and others added a policy and a tag."""
    scaling = aws.client("autoscaling", REGION)
    scaling.set_desired_capacity(AutoScalingGroupName="reef-fleet", DesiredCapacity=3)
    scaling.put_scaling_policy(
        AutoScalingGroupName="reef-fleet",
        PolicyName="theirs",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={
            "TargetValue": 50.0,
            "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"},
        },
    )
    return reef.play("fleet")


@pytest.fixture(scope="module")
def asleep(reef: Checkout, fleet_again: object) -> Run:
    """No host as long as no job waits."""
    reef.edit(fleet_min=0, **WITH_JOBS)
    return reef.play("fleet")


@pytest.fixture(scope="module")
def described_asleep(aws: Aws, asleep: object) -> dict[str, Any]:
    return described(aws)


@pytest.fixture(scope="module")
def asleep_again(reef: Checkout, described_asleep: object) -> Run:
    return reef.play("fleet")


@pytest.fixture(scope="module")
def turned(aws: Aws, reef: Checkout, asleep_again: object) -> Run:
    """All knobs at once, another image, and what is there of other knobs that were set before."""
    aws.grant(REGION, 60, code=SPOT_QUOTA)
    scaling, named = aws.client("autoscaling", REGION), {"AutoScalingGroupName": "reef-fleet"}
    scaling.put_scaling_policy(**named, PolicyName="springboard-former", ScalingAdjustment=1)
    scaling.put_scheduled_update_group_action(
        **named, ScheduledActionName="springboard-former", Recurrence="0 8 * * *", MinSize=3
    )
    reef.edit(fleet_image=aws.publish_ami(REGION, "20261101"), **KNOBS)
    return reef.play("fleet")


@pytest.fixture(scope="module")
def refreshed_by_others(aws: Aws, reef: Checkout, turned: object) -> Run:
    """Beside a refresh that a person began."""
    aws.client("autoscaling", REGION).start_instance_refresh(AutoScalingGroupName="reef-fleet")
    run = reef.play("fleet", "-e", "fleet_refresh=true")
    aws.tell("refreshed", Cancelled="reef-fleet")
    return run


@pytest.fixture(scope="module")
def refreshing(aws: Aws, reef: Checkout, refreshed_by_others: object) -> Run:
    """A third image, which the hosts that are there are to have, too."""
    reef.edit(fleet_image=aws.publish_ami(REGION, "20261201"))
    return reef.play("fleet", "-e", "fleet_refresh=true")


@pytest.fixture(scope="module")
def described_refreshing(aws: Aws, refreshing: object) -> dict[str, Any]:
    one, _ = aws.client("autoscaling", REGION).describe_instance_refreshes(AutoScalingGroupName="reef-fleet")[
        "InstanceRefreshes"
    ]
    return {**described(aws), "refresh": one}


@pytest.fixture(scope="module")
def refreshing_still(reef: Checkout, described_refreshing: object) -> Run:
    return reef.play("fleet", "-e", "fleet_refresh=true")


@pytest.fixture(scope="module")
def refreshed(aws: Aws, reef: Checkout, refreshing_still: object) -> Run:
    aws.tell("refreshed", Successful="reef-fleet")
    return reef.play("fleet")


@pytest.fixture(scope="module")
def fleet_down(reef: Checkout, refreshed: object) -> Run:
    reef.edit(job_queue_input="")
    return reef.play("teardown", "-e", "teardown_confirm=reef")


def test_a_fleet_that_the_quota_has_no_room_for_is_refused(without_quota: Run) -> None:
    assert (without_quota.code, without_quota.changed) == (2, 0), without_quota.text
    assert "Your account may run 0 vCPUs of G and VT instances on demand" in without_quota.text
    assert "--quota-code L-DB2E81BA --desired-value 20 " in without_quota.text


def test_check_mode_says_what_would_be_made_and_makes_nothing(
    fleet_checked: Run, found_after_check: set[tuple[str, str]]
) -> None:
    assert fleet_checked.code == 0, fleet_checked.text
    assert fleet_checked.changed >= 6
    assert "Would make the load balancer reef-fleet" in fleet_checked.text
    kinds = {kind for kind, _ in found_after_check}
    assert kinds == {"vpc", "subnet", "key-pair", "security-group", "role", "instance-profile"}


def test_hosts_come_up_encrypted_with_their_role_and_metadata_by_token_only(at_first: dict[str, Any]) -> None:
    template = at_first["template"]
    assert template["MetadataOptions"]["HttpTokens"] == "required"
    (disk,) = template["BlockDeviceMappings"]
    assert (disk["Ebs"]["Encrypted"], disk["Ebs"]["VolumeSize"]) == (True, 150)
    assert template["IamInstanceProfile"]["Arn"].endswith("instance-profile/reef-host")
    tags = {kind["ResourceType"]: kind["Tags"] for kind in template["TagSpecifications"]}
    assert tags.keys() == {"instance", "volume"}
    assert {"Key": "springboard:role", "Value": "serving"} in tags["instance"]


def test_hosts_follow_the_channel_and_callers_keys(at_first: dict[str, Any]) -> None:
    told = base64.b64decode(at_first["template"]["UserData"]).decode()
    assert told.startswith("#cloud-config\n")
    units = ("springboard-follow.timer", "springboard-agent.service", "springboard-keys-follow.service")
    assert yaml.safe_load(told) == {
        "runcmd": [["systemctl", "enable", "--now", "--no-block", unit] for unit in units]
    }


def test_callers_reach_the_balancer_and_only_the_balancer_reaches_hosts(at_first: dict[str, Any]) -> None:
    balancer, hosts = at_first["rules"]["reef-fleet-balancer"], at_first["rules"]["reef-fleet"]
    assert [(one["FromPort"], [r["CidrIp"] for r in one["IpRanges"]]) for one in balancer] == [
        (443, ["203.0.113.0/24"])
    ]
    by_port = {one["FromPort"]: one for one in hosts}
    assert by_port.keys() == {22, 8080}
    assert by_port[8080]["IpRanges"] == []
    assert len(by_port[8080]["UserIdGroupPairs"]) == 1


def test_the_balancer_ends_tls_waits_longer_than_a_deadline_and_writes_logs(at_first: dict[str, Any]) -> None:
    assert at_first["listener"]["Protocol"] == "HTTPS"
    attributes = at_first["balancer attributes"]
    assert attributes["idle_timeout.timeout_seconds"] == "70"
    assert (attributes["access_logs.s3.enabled"], attributes["access_logs.s3.bucket"]) == (
        "true",
        "reef-models",
    )
    assert at_first["targets"]["HealthCheckPath"] == "/ping"
    assert at_first["target attributes"]["deregistration_delay.timeout_seconds"] == "90"
    assert at_first["target attributes"]["slow_start.duration_seconds"] == "60"


def test_the_group_is_over_all_zones_and_held_by_requests(at_first: dict[str, Any], ground: set[str]) -> None:
    group = at_first["group"]
    assert set(group["VPCZoneIdentifier"].split(",")) == ground
    assert (group["MinSize"], group["MaxSize"], group["HealthCheckType"]) == (2, 4, "ELB")
    assert group["TargetGroupARNs"] == [at_first["targets"]["TargetGroupArn"]]
    (policy,) = at_first["policies"]
    label = policy["TargetTrackingConfiguration"]["PredefinedMetricSpecification"]["ResourceLabel"]
    balancer, targets = at_first["balancer"]["LoadBalancerArn"], at_first["targets"]["TargetGroupArn"]
    assert label == f"{balancer.partition('loadbalancer/')[2]}/{targets.rpartition(':')[2]}"


def test_hosts_are_in_the_inventory_by_their_ids(aws: Aws, reef: Checkout, up: object) -> None:
    listed = json.loads(reef.ansible("ansible-inventory", "--list").partition("\nexit")[0])
    instances = aws.client("autoscaling", REGION).describe_auto_scaling_instances()["AutoScalingInstances"]
    ours = {one["InstanceId"] for one in instances if one["AutoScalingGroupName"] == "reef-fleet"}
    assert set(listed["springboard"]["hosts"]) == ours
    assert len(ours) >= 2


def test_a_second_run_changes_nothing_and_leaves_the_size_alone(fleet_again: Run, aws: Aws) -> None:
    assert (fleet_again.code, fleet_again.changed) == (0, 0), fleet_again.text


def test_where_there_may_be_no_host_the_queue_alone_brings_the_first_and_holds_the_rest(
    asleep: Run, described_asleep: dict[str, Any]
) -> None:
    assert asleep.code == 0, asleep.text
    assert described_asleep["group"]["MinSize"] == 0
    policies = {one["PolicyName"]: one for one in described_asleep["policies"]}
    assert policies.keys() == {"springboard-jobs", "springboard-first", "theirs"}
    first = policies["springboard-first"]
    assert (first["PolicyType"], first["AdjustmentType"]) == ("StepScaling", "ChangeInCapacity")
    alarm = described_asleep["alarms"]["first"]
    assert alarm["AlarmActions"] == [first["PolicyARN"]]
    waiting, wanted, none = alarm["Metrics"]
    assert waiting["MetricStat"]["Metric"]["Dimensions"] == [{"Name": "QueueName", "Value": "reef-jobs"}]
    assert wanted["MetricStat"]["Metric"]["MetricName"] == "GroupDesiredCapacity"
    assert (none["Expression"], none["ReturnData"]) == ("IF(waiting > 0 AND wanted < 1, 1, 0)", True)


def test_a_sleeping_fleet_is_left_alone_by_another_run(asleep_again: Run) -> None:
    assert (asleep_again.code, asleep_again.changed) == (0, 0), asleep_again.text


def test_each_knob_changes_what_it_is_for(turned: Run, aws: Aws, at_first: dict[str, Any]) -> None:
    assert turned.code == 0, turned.text
    now = described(aws)
    group = now["group"]
    assert (group["MinSize"], group["MaxSize"], group["CapacityRebalance"]) == (1, 6, True)
    assert (group["HealthCheckGracePeriod"], group["DefaultInstanceWarmup"]) == (600, 240)
    mixed = group["MixedInstancesPolicy"]
    assert [one["InstanceType"] for one in mixed["LaunchTemplate"]["Overrides"]] == KNOBS[
        "fleet_instance_types"
    ]
    assert mixed["InstancesDistribution"]["OnDemandBaseCapacity"] == 1
    assert len(group["VPCZoneIdentifier"].split(",")) == len(now["balancer"]["AvailabilityZones"]) == 2
    assert mixed["InstancesDistribution"]["OnDemandPercentageAboveBaseCapacity"] == 40
    assert mixed["InstancesDistribution"]["SpotAllocationStrategy"] == "price-capacity-optimized"
    policies = {one["PolicyName"]: one["TargetTrackingConfiguration"] for one in now["policies"]}
    assert policies.keys() == {"springboard-requests", "springboard-jobs", "theirs"}
    assert policies["springboard-requests"]["TargetValue"] == 45
    waiting, hosts, each = policies["springboard-jobs"]["CustomizedMetricSpecification"]["Metrics"]
    assert waiting["MetricStat"]["Metric"]["Dimensions"] == [{"Name": "QueueName", "Value": "reef-jobs"}]
    assert hosts["MetricStat"]["Metric"]["MetricName"] == "GroupInServiceInstances"
    assert (each["Expression"], each["ReturnData"]) == ("waiting / IF(hosts > 0, hosts, 1)", True)
    assert now["alarms"].keys() == {"errors", "late"}
    assert "They keep it until they are replaced: -e fleet_refresh=true" in turned.text
    assert now["schedule"].keys() == {"springboard-finals", "springboard-after"}
    assert now["schedule"]["springboard-finals"]["MinSize"] == 4
    assert now["schedule"]["springboard-finals"]["TimeZone"] == "Europe/Berlin"
    targets = now["targets"]
    assert (targets["HealthCheckIntervalSeconds"], targets["HealthCheckTimeoutSeconds"]) == (15, 6)
    assert (targets["HealthyThresholdCount"], targets["UnhealthyThresholdCount"]) == (3, 4)
    attributes = now["target attributes"]
    assert attributes["deregistration_delay.timeout_seconds"] == "120"
    assert attributes["slow_start.duration_seconds"] == "0"
    assert attributes["load_balancing.algorithm.type"] == "least_outstanding_requests"
    assert now["balancer attributes"]["idle_timeout.timeout_seconds"] == "65"
    assert now["balancer attributes"]["access_logs.s3.enabled"] == "false"
    assert now["listener"]["SslPolicy"] == KNOBS["fleet_tls_policy"]
    assert now["rules"]["reef-fleet-balancer"][0]["IpRanges"][0]["CidrIp"] == "198.51.100.0/24"
    template, former = now["template"], at_first["template"]
    assert template["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 200
    same = template.keys() - {"BlockDeviceMappings", "ImageId"}
    assert {key: template[key] for key in same} == {key: former[key] for key in same}
    assert template["ImageId"] != former["ImageId"]


def version_of(group: dict[str, Any]) -> int:
    template = group["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]
    return int(template["Version"])


def test_alarms_say_what_the_objectives_do(at_first: dict[str, Any]) -> None:
    rules = (ROOT / "monitoring/rules/objectives.yml").read_text()
    allowed = [1 - float(one) for one in re.findall(r"expr: vector\((\S+)\)", rules)]
    failed, slow = (14.4 * one for one in allowed)
    alarms = at_first["alarms"]
    assert f"> {failed:.3f} * requests" in alarms["errors"]["Metrics"][-1]["Expression"]
    (time,) = [one for one in alarms["late"]["Metrics"] if one["Id"] == "slow"]
    assert time["MetricStat"]["Stat"] == f"p{100 - 100 * slow:.1f}"
    balancer = at_first["balancer"]["LoadBalancerArn"].partition("loadbalancer/")[2]
    assert time["MetricStat"]["Metric"]["Dimensions"] == [{"Name": "LoadBalancer", "Value": balancer}]


def test_hosts_are_replaced_on_demand_by_a_refresh_that_goes_back_by_itself(
    refreshing: Run, described_refreshing: dict[str, Any], turned: Run
) -> None:
    assert refreshing.code == 0, refreshing.text
    one = described_refreshing["refresh"]
    wants = one["Preferences"]
    assert (wants["AutoRollback"], wants["MinHealthyPercentage"], wants["SkipMatching"]) == (True, 100, True)
    assert wants["CheckpointPercentages"] == [20, 50, 100]
    assert wants["AlarmSpecification"]["Alarms"] == ["reef-fleet-alarm-errors", "reef-fleet-alarm-late"]
    # What it would go back to is what the group has until its end.
    assert version_of(one["DesiredConfiguration"]) == version_of(described_refreshing["group"]) + 1


def test_beside_a_refresh_of_others_it_says_how_to_end_that_one(refreshed_by_others: Run) -> None:
    assert refreshed_by_others.code == 2
    assert "is under way (InProgress), to the group as it was." in refreshed_by_others.text
    assert "cancel-instance-refresh --auto-scaling-group-name reef-fleet" in refreshed_by_others.text, (
        refreshed_by_others.text
    )


def test_a_refresh_that_is_under_way_is_left_alone(refreshing_still: Run) -> None:
    assert (refreshing_still.code, refreshing_still.changed) == (0, 0), refreshing_still.text
    assert "The instance refresh: InProgress, 0 %" in refreshing_still.text


def test_after_a_refresh_all_hosts_are_as_they_should_be(refreshed: Run) -> None:
    assert (refreshed.code, refreshed.changed) == (0, 0), refreshed.text
    assert "came up from another image" not in refreshed.text


def test_teardown_lists_and_deletes_the_fleet_and_what_it_stands_on(fleet_down: Run, aws: Aws) -> None:
    assert fleet_down.code == 0, fleet_down.text
    listed = fleet_down.text.split("to delete:")[1].split("TASK")[0]
    for kind in ("Auto Scaling group", "launch template", "load balancer", "target group"):
        assert f"- {kind} reef-fleet" in listed
    assert tagged(aws, REGION, "reef") == set()


def test_the_policies_allow_what_was_asked_and_nothing_more(
    fleet_down: object, aws: Aws, reef: Checkout
) -> None:
    def policy(name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((reef.folder / f"build/policies/{name}.json").read_text())
        return found

    assert len(json.dumps(policy("fleet"), separators=(",", ":"))) <= 6144
    assert actions(policy("fleet")) - aws.asked(reef.users["fleet"]) == set()
    about = {one for one in actions(policy("teardown")) if "LaunchTemplate" in one or "ec2" not in one}
    about = {one for one in about if one.startswith(("autoscaling:", "elasticloadbalancing:", "ec2:"))}
    assert about - aws.asked(reef.users["teardown"]) == set()


def test_of_others_no_fleet_can_be_changed(fleet_down: object, aws: Aws, reef: Checkout) -> None:
    scaling = aws.client("autoscaling", REGION, reef.users["fleet"])
    for call, words in (
        ("update_auto_scaling_group", {"MaxSize": 1}),
        ("put_scaling_policy", {"PolicyName": "springboard-requests", "PolicyType": "SimpleScaling"}),
    ):
        with pytest.raises(ClientError, match="not authorized to perform"):
            getattr(scaling, call)(AutoScalingGroupName="lido-fleet", **words)
