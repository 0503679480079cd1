"""What a fleet stands on, and how AWS describes that of the deployment `reef`."""

from pathlib import Path
from typing import Any

from springboard.system.checkout import ROOT
from tests.aws.harness import PUBLIC_KEY, Aws
from tests.stands.certificates import certificate

REGION = "eu-central-1"
_TRUST = (ROOT / "playbooks/roles/aws_host/files/trust.json").read_text()

WITH_JOBS: dict[str, Any] = {"job_queue_input": "s3://reef-dives", "fleet_jobs_per_host": 20}
KNOBS: dict[str, Any] = {
    "fleet_instance_types": ["g5.xlarge", "g4dn.xlarge", "g6.xlarge"],
    "fleet_min": 1,
    "fleet_max": 6,
    "fleet_on_demand": 1,
    "fleet_spot_percent": 60,
    "fleet_requests_per_minute": 45,
    "fleet_schedule": [
        {"name": "finals", "recurrence": "30 17 * * 6", "time_zone": "Europe/Berlin", "min": 4},
        {"name": "after", "recurrence": "0 22 * * 6", "time_zone": "Europe/Berlin", "min": 1},
    ],
    "fleet_health_interval_seconds": 15,
    "fleet_health_timeout_seconds": 6,
    "fleet_healthy_count": 3,
    "fleet_unhealthy_count": 4,
    "fleet_grace_seconds": 600,
    "fleet_warmup_seconds": 240,
    "fleet_drain_seconds": 120,
    "fleet_slow_start_seconds": 0,
    "fleet_idle_seconds": 65,
    "fleet_tls_policy": "ELBSecurityPolicy-TLS13-1-3-2021-06",
    "fleet_access_log_days": 0,
    "fleet_root_gb": 200,
    "aws_host_zones": [f"{REGION}a", f"{REGION}b"],
    "aws_host_allowed_cidrs": ["198.51.100.0/24"],
}


def provisioned(aws: Aws, region: str = REGION, deployment: str = "reef") -> set[str]:
    """What provision.yml makes that a fleet and its image stand on; the subnets."""
    ec2, iam = aws.client("ec2", region), aws.client("iam")
    ours, role = [{"Key": "springboard:deployment", "Value": deployment}], f"{deployment}-host"

    def tags(kind: str) -> list[dict[str, object]]:
        return [{"ResourceType": kind, "Tags": ours}]

    vpc = ec2.create_vpc(CidrBlock="10.78.0.0/16", TagSpecifications=tags("vpc"))["Vpc"]["VpcId"]
    subnets = {
        ec2.create_subnet(
            VpcId=vpc,
            CidrBlock=f"10.78.{number}.0/24",
            AvailabilityZone=f"{region}{zone}",
            TagSpecifications=tags("subnet"),
        )["Subnet"]["SubnetId"]
        for number, zone in enumerate("abc")
    }
    ec2.import_key_pair(
        KeyName=deployment, PublicKeyMaterial=PUBLIC_KEY.encode(), TagSpecifications=tags("key-pair")
    )
    ec2.create_security_group(
        GroupName=role, Description="hosts", VpcId=vpc, TagSpecifications=tags("security-group")
    )
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=_TRUST, Tags=ours)
    iam.create_instance_profile(InstanceProfileName=role, Tags=ours)
    iam.add_role_to_instance_profile(InstanceProfileName=role, RoleName=role)
    return subnets


def issued(aws: Aws, region: str, folder: Path) -> str:
    """A certificate of ACM; its ARN."""
    certificate(folder)
    words = {"Certificate": (folder / "ca.pem").read_bytes(), "PrivateKey": (folder / "key.pem").read_bytes()}
    arn: str = aws.client("acm", region).import_certificate(**words)["CertificateArn"]
    return arn


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
    alarms = aws.client("cloudwatch", REGION).describe_alarms(AlarmNamePrefix="reef-fleet-")["MetricAlarms"]
    schedule = scaling.describe_scheduled_actions(**named)["ScheduledUpdateGroupActions"]
    return {
        "balancer": balancer,
        "balancer attributes": {one["Key"]: one["Value"] for one in of_balancer},
        "listener": elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"][0],
        "targets": targets,
        "target attributes": {one["Key"]: one["Value"] for one in of_targets},
        "group": {key: value for key, value in group.items() if key not in ("Instances", "DesiredCapacity")},
        "policies": scaling.describe_policies(**named)["ScalingPolicies"],
        "alarms": {one["AlarmName"].removeprefix("reef-fleet-alarm-"): one for one in alarms},
        "schedule": {one["ScheduledActionName"]: one for one in schedule},
        "template": version["LaunchTemplateData"],
        "rules": {
            one["GroupName"]: one["IpPermissions"]
            for one in ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["reef-*"]}])[
                "SecurityGroups"
            ]
        },
    }
