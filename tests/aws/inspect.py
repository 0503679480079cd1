"""What of a deployment there is in an account, asked service by service and not through our own playbooks."""

from typing import Any

from tests.aws.harness import Aws


def tagged(aws: Aws, region: str, deployment: str) -> set[tuple[str, str]]:
    """(kind, id) of everything that is there and carries the tag, terminated instances aside."""
    tag = {"Key": "springboard:deployment", "Value": deployment}
    ec2, iam, s3 = aws.client("ec2", region), aws.client("iam"), aws.client("s3", region)
    found: set[tuple[str, str]] = set()
    lists = {
        "elastic-ip": (ec2.describe_addresses, "Addresses", "AllocationId"),
        "internet-gateway": (ec2.describe_internet_gateways, "InternetGateways", "InternetGatewayId"),
        "image": (lambda: ec2.describe_images(Owners=["self"]), "Images", "ImageId"),
        "snapshot": (lambda: ec2.describe_snapshots(OwnerIds=["self"]), "Snapshots", "SnapshotId"),
        "launch-template": (ec2.describe_launch_templates, "LaunchTemplates", "LaunchTemplateId"),
        "key-pair": (ec2.describe_key_pairs, "KeyPairs", "KeyPairId"),
        "network-interface": (ec2.describe_network_interfaces, "NetworkInterfaces", "NetworkInterfaceId"),
        "route-table": (ec2.describe_route_tables, "RouteTables", "RouteTableId"),
        "security-group": (ec2.describe_security_groups, "SecurityGroups", "GroupId"),
        "subnet": (ec2.describe_subnets, "Subnets", "SubnetId"),
        "volume": (ec2.describe_volumes, "Volumes", "VolumeId"),
        "vpc": (ec2.describe_vpcs, "Vpcs", "VpcId"),
    }
    for kind, (describe, key, identifier) in lists.items():
        found |= {(kind, item[identifier]) for item in describe()[key] if tag in item.get("Tags", [])}
    for reservation in ec2.describe_instances()["Reservations"]:
        found |= {
            ("instance", item["InstanceId"])
            for item in reservation["Instances"]
            if tag in item.get("Tags", []) and item["State"]["Name"] != "terminated"
        }
    found |= {
        ("secret", secret["Name"])
        for secret in aws.client("secretsmanager", region).list_secrets()["SecretList"]
        if tag in secret.get("Tags", [])
    }
    found |= {
        ("alarm", alarm["AlarmName"])
        for alarm in aws.client("cloudwatch", region).describe_alarms()["MetricAlarms"]
        if alarm["AlarmName"].startswith(f"{deployment}-")
    }
    found |= _tagged_in_messages(aws, region, tag) | _tagged_in_fleets(aws, region, tag)
    found |= _tagged_in_iam(iam, tag) | _tagged_in_s3(s3, tag)
    # The tagging service sees these too; it keeps terminated instances for an hour, secrets until their end.
    for resource in aws.client("resourcegroupstaggingapi", region).get_resources(
        TagFilters=[{"Key": tag["Key"], "Values": [deployment]}]
    )["ResourceTagMappingList"]:
        arn = resource["ResourceARN"]
        kept = (":instance/", ":secret:")
        assert any(kind in arn for kind in kept) or any(arn.endswith(name) for _, name in found), arn
    return found


def _tagged_in_iam(iam: Any, tag: dict[str, str]) -> set[tuple[str, str]]:
    roles = [role["RoleName"] for role in iam.list_roles()["Roles"]]
    profiles = [item["InstanceProfileName"] for item in iam.list_instance_profiles()["InstanceProfiles"]]
    return {("role", name) for name in roles if tag in iam.list_role_tags(RoleName=name)["Tags"]} | {
        ("instance-profile", name)
        for name in profiles
        if tag in iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"].get("Tags", [])
    }


def _tagged_in_fleets(aws: Aws, region: str, tag: dict[str, str]) -> set[tuple[str, str]]:
    elb, scaling = aws.client("elbv2", region), aws.client("autoscaling", region)
    balancing = [
        ("load-balancer", one["LoadBalancerArn"]) for one in elb.describe_load_balancers()["LoadBalancers"]
    ]
    balancing += [
        ("target-group", one["TargetGroupArn"]) for one in elb.describe_target_groups()["TargetGroups"]
    ]
    groups = scaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    marked = [
        ("auto-scaling-group", one["AutoScalingGroupName"])
        for one in groups
        if tag in [{key: found[key] for key in tag} for found in one["Tags"]]
    ]
    return {*marked} | {
        (kind, arn)
        for kind, arn in balancing
        if tag in elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]
    }


def _tagged_in_messages(aws: Aws, region: str, tag: dict[str, str]) -> set[tuple[str, str]]:
    sqs, sns = aws.client("sqs", region), aws.client("sns", region)
    urls = sqs.list_queues().get("QueueUrls", [])
    queues = {
        url
        for url in urls
        if tag["Value"] == sqs.list_queue_tags(QueueUrl=url).get("Tags", {}).get(tag["Key"])
    }
    topics = [one["TopicArn"] for one in sns.list_topics()["Topics"]]
    tagged_topics = {arn for arn in topics if tag in sns.list_tags_for_resource(ResourceArn=arn)["Tags"]}
    return {("queue", url.rpartition("/")[2]) for url in queues} | {
        ("topic", arn.rpartition(":")[2]) for arn in tagged_topics
    }


def _tagged_in_s3(s3: Any, tag: dict[str, str]) -> set[tuple[str, str]]:
    found = set()
    for bucket in s3.list_buckets()["Buckets"]:
        try:
            tags = s3.get_bucket_tagging(Bucket=bucket["Name"])["TagSet"]
        except s3.exceptions.ClientError:  # a bucket without tags
            continue
        if tag in tags:
            found.add(("bucket", bucket["Name"]))
    return found


def running(aws: Aws, region: str, name: str) -> Any:
    """The instance of that name that runs, as EC2 describes it."""
    wanted = [{"Name": "tag:Name", "Values": [name]}, {"Name": "instance-state-name", "Values": ["running"]}]
    (reservation,) = aws.client("ec2", region).describe_instances(Filters=wanted)["Reservations"]
    (instance,) = reservation["Instances"]
    return instance
