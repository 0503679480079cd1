"""What others do to a deployment: rules, policies and tags that `provision` has to leave."""

from typing import Any

from tests.aws.harness import Aws
from tests.aws.inspect import tagged

TAG = {"Key": "Backup", "Value": "daily"}
POLICY = "arn:aws:iam::123456789012:policy/quick-setup"
DOCUMENT = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ssm:*", "Resource": "*"}]}'


class Others:
    """They tag everything of `deployment`, attach a policy to its role and let a scanner in."""

    def __init__(self, aws: Aws, region: str, deployment: str) -> None:
        self._ec2, self._iam, self._s3 = (
            aws.client("ec2", region),
            aws.client("iam"),
            aws.client("s3", region),
        )
        self._name = f"{deployment}-host"
        self.things = sorted(thing for thing in tagged(aws, region, deployment) if thing[0] != "alarm")
        self._ids = [name for kind, name in self.things if kind not in ("role", "instance-profile", "bucket")]
        self._bucket = next(name for kind, name in self.things if kind == "bucket")
        (self._group,) = (name for kind, name in self.things if kind == "security-group")
        self._ec2.create_tags(Resources=self._ids, Tags=[TAG])
        self._iam.tag_role(RoleName=self._name, Tags=[TAG])
        self._iam.tag_instance_profile(InstanceProfileName=self._name, Tags=[TAG])
        tags = self._s3.get_bucket_tagging(Bucket=self._bucket)["TagSet"]
        self._s3.put_bucket_tagging(Bucket=self._bucket, Tagging={"TagSet": [*tags, TAG]})
        self._iam.create_policy(PolicyName="quick-setup", PolicyDocument=DOCUMENT)
        self._iam.attach_role_policy(RoleName=self._name, PolicyArn=POLICY)
        scanner = {"IpProtocol": "tcp", "FromPort": 9100, "ToPort": 9100}
        self._ec2.authorize_security_group_ingress(
            GroupId=self._group, IpPermissions=[scanner | {"IpRanges": [{"CidrIp": "10.0.0.5/32"}]}]
        )

    def tags(self) -> dict[str, dict[str, str]]:
        """Tags of each thing, by its id or name."""
        found: dict[str, dict[str, str]] = {}
        for item in self._ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": self._ids}])["Tags"]:
            found.setdefault(item["ResourceId"], {})[item["Key"]] = item["Value"]
        profile = self._iam.get_instance_profile(InstanceProfileName=self._name)["InstanceProfile"]
        found["role"] = _read(self._iam.list_role_tags(RoleName=self._name)["Tags"])
        found["profile"] = _read(profile["Tags"])
        found["bucket"] = _read(self._s3.get_bucket_tagging(Bucket=self._bucket)["TagSet"])
        return found

    def policies(self) -> list[str]:
        """ARNs of what is attached to the role."""
        attached = self._iam.list_attached_role_policies(RoleName=self._name)["AttachedPolicies"]
        return [policy["PolicyArn"] for policy in attached]

    def admitted(self) -> set[tuple[int, str]]:
        """(port, network) of the group's rules."""
        rules = self._ec2.describe_security_group_rules(
            Filters=[{"Name": "group-id", "Values": [self._group]}]
        )["SecurityGroupRules"]
        return {(rule["FromPort"], rule["CidrIpv4"]) for rule in rules if not rule["IsEgress"]}


def _read(tags: list[dict[str, Any]]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in tags}
