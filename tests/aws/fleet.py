"""The fleet of the deployment `reef`: what it stands on, and how AWS describes it."""

from typing import Any

from springboard.system.checkout import ROOT
from tests.aws.harness import PUBLIC_KEY, Aws

REGION = "eu-central-1"
_OURS = [{"Key": "springboard:deployment", "Value": "reef"}]
_TRUST = (ROOT / "playbooks/roles/aws_host/files/trust.json").read_text()


def provisioned(aws: Aws) -> set[str]:
    """What provision.yml makes that a fleet stands on; the subnets."""
    ec2, iam = aws.client("ec2", REGION), aws.client("iam")

    def tags(kind: str) -> list[dict[str, object]]:
        return [{"ResourceType": kind, "Tags": _OURS}]

    vpc = ec2.create_vpc(CidrBlock="10.78.0.0/16", TagSpecifications=tags("vpc"))["Vpc"]["VpcId"]
    subnets = {
        ec2.create_subnet(
            VpcId=vpc,
            CidrBlock=f"10.78.{number}.0/24",
            AvailabilityZone=f"{REGION}{zone}",
            TagSpecifications=tags("subnet"),
        )["Subnet"]["SubnetId"]
        for number, zone in enumerate("abc")
    }
    ec2.import_key_pair(
        KeyName="reef", PublicKeyMaterial=PUBLIC_KEY.encode(), TagSpecifications=tags("key-pair")
    )
    iam.create_role(RoleName="reef-host", AssumeRolePolicyDocument=_TRUST, Tags=_OURS)
    iam.create_instance_profile(InstanceProfileName="reef-host", Tags=_OURS)
    iam.add_role_to_instance_profile(InstanceProfileName="reef-host", RoleName="reef-host")
    return subnets


def described(aws: Aws) -> dict[str, Any]:
    """The fleet as AWS describes it."""
    elb, scaling, ec2 = (aws.client(one, REGION) for one in ("elbv2", "autoscaling", "ec2"))
    (balancer,) = elb.describe_load_balancers(Names=["reef-fleet"])["LoadBalancers"]
    (targets,) = elb.describe_target_groups(Names=["reef-fleet"])["TargetGroups"]
    (group,) = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["reef-fleet"])["AutoScalingGroups"]
    of_balancer = elb.describe_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"])[
        "Attributes"
    ]
    of_targets = elb.describe_target_group_attributes(TargetGroupArn=targets["TargetGroupArn"])["Attributes"]
    (version,) = ec2.describe_launch_template_versions(
        LaunchTemplateName="reef-fleet", Versions=["$Default"]
    )["LaunchTemplateVersions"]
    named = {"AutoScalingGroupName": "reef-fleet"}
    schedule = scaling.describe_scheduled_actions(**named)["ScheduledUpdateGroupActions"]
    return {
        "balancer": balancer,
        "balancer attributes": {one["Key"]: one["Value"] for one in of_balancer},
        "listener": elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"][0],
        "targets": targets,
        "target attributes": {one["Key"]: one["Value"] for one in of_targets},
        "group": {key: value for key, value in group.items() if key not in ("Instances", "DesiredCapacity")},
        "policies": scaling.describe_policies(**named)["ScalingPolicies"],
        "alarms": aws.client("cloudwatch", REGION).describe_alarms(AlarmNamePrefix="reef-fleet-wake-")[
            "MetricAlarms"
        ],
        "schedule": {one["ScheduledActionName"]: one for one in schedule},
        "template": version["LaunchTemplateData"],
        "rules": {
            one["GroupName"]: one["IpPermissions"]
            for one in ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["reef-*"]}])[
                "SecurityGroups"
            ]
        },
    }
