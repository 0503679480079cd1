#!/usr/bin/python
"""Ansible module: launch a host wherever there is room for it."""

import time
import uuid
from typing import Any

import boto3
from ansible.module_utils.basic import AnsibleModule
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
module: ec2_launch
short_description: Launches one instance in the first zone, of the first type, that EC2 has capacity for
description:
  - For each of C(types) in turn every one of C(subnets) is tried once. Other errors than of capacity end it.
  - What EC2 takes and ends as it begins, of a key that it may not use say, was not launched.
  - The subnet is that of the first of C(NetworkInterfaces), where C(spec) has some.
options:
  region:
    description: The region.
    type: str
    required: true
  types:
    description: Instance types, those preferred first.
    type: list
    elements: str
    required: true
  subnets:
    description: Where it may be, as EC2's ids, those preferred first.
    type: list
    elements: str
    required: true
  spec:
    description: What RunInstances is told besides, in its own words.
    type: dict
    required: true
author: Springboard
"""

EXAMPLES = r"""
- name: Launch a host
  ec2_launch:
    region: us-east-1
    types: [g4dn.xlarge, g5.xlarge]
    subnets: [subnet-0a, subnet-0b]
    spec: {ImageId: ami-0123, KeyName: mine}
"""

RETURN = r"""
instance_id:
  description: What was launched.
  type: str
  returned: unless in check mode
tried:
  description: What EC2 had no room for, as C(type in zone - error's code).
  type: list
  elements: str
  returned: always
"""

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
NO_ROOM = {
    "InsufficientCapacity",
    "InsufficientFreeAddressesInSubnet",
    "InsufficientHostCapacity",
    "InsufficientInstanceCapacity",
    "InsufficientVolumeCapacity",
    "Unsupported",
}
OVER_QUOTA = {"VcpuLimitExceeded", "InstanceLimitExceeded"}
# A profile that was made a moment ago is not known to EC2 yet.
PROFILE_TRIES, PROFILE_SECONDS = 12, 5
BEGIN_TRIES, BEGIN_SECONDS = 90, 2


class NoRoomError(Exception):
    """Nothing of what was tried could be launched."""


class EndedError(Exception):
    """EC2 took an instance and ended it as it began; `code` says why.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/troubleshooting-launch.html
    """

    def __init__(self, instance: str, reason: dict[str, str]) -> None:
        self.code = reason.get("Code", "").partition(".")[2]  # after Client. or Server.
        super().__init__(f"EC2 ended {instance} as it began: {reason.get('Message', 'it does not say why')}")


def zones(ec2: Any, subnets: list[str]) -> list[tuple[str, str]]:
    """Pair each subnet with its zone, in their order."""
    found = ec2.describe_subnets(SubnetIds=subnets)["Subnets"]
    zone = {subnet["SubnetId"]: subnet["AvailabilityZone"] for subnet in found}
    return [(subnet, zone[subnet]) for subnet in subnets]


def begun(ec2: Any, instance: str) -> str:
    """Return its id once it runs, or is about to for long."""
    for _ in range(BEGIN_TRIES):
        try:
            (found,) = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidInstanceID.NotFound":  # EC2 knows it a moment later
                raise
        else:
            if found["State"]["Name"] in ("shutting-down", "terminated"):
                raise EndedError(instance, found.get("StateReason", {}))
            if found["State"]["Name"] != "pending":
                break
        time.sleep(BEGIN_SECONDS)
    return instance


def run(ec2: Any, spec: dict[str, Any]) -> str:
    """Launch one and return its id; waits for a new instance profile."""
    for left in reversed(range(PROFILE_TRIES)):
        try:
            (instance,) = ec2.run_instances(ClientToken=uuid.uuid4().hex, MinCount=1, MaxCount=1, **spec)[
                "Instances"
            ]
        except ClientError as error:
            if left and "Invalid IAM Instance Profile" in str(error):
                time.sleep(PROFILE_SECONDS)
                continue
            raise
        return begun(ec2, str(instance["InstanceId"]))
    raise AssertionError("the last try returns or raises")


def placed(spec: dict[str, Any], subnet: str) -> dict[str, Any]:
    """Return the words for a launch in a subnet, which EC2 takes in one of two places."""
    if interfaces := spec.get("NetworkInterfaces"):
        return spec | {"NetworkInterfaces": [interfaces[0] | {"SubnetId": subnet}, *interfaces[1:]]}
    return spec | {"SubnetId": subnet}


def launch(ec2: Any, types: list[str], subnets: list[str], spec: dict[str, Any], tried: list[str]) -> str:
    """Return the id of what was launched; `tried` gets what could not be."""
    places = zones(ec2, subnets)
    for kind in types:
        for subnet, zone in places:
            try:
                return run(ec2, placed(spec, subnet) | {"InstanceType": kind})
            except (ClientError, EndedError) as error:
                code = error.code if isinstance(error, EndedError) else error.response["Error"]["Code"]
                if code not in NO_ROOM | OVER_QUOTA:
                    raise
                tried.append(f"{kind} in {zone}: {code}")
                if code in OVER_QUOTA:
                    break
    raise NoRoomError("EC2 has none now. Tried " + ", ".join(tried))


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        {
            "region": {"type": "str", "required": True},
            "types": {"type": "list", "elements": "str", "required": True},
            "subnets": {"type": "list", "elements": "str", "required": True},
            "spec": {"type": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    asked = module.params
    if module.check_mode:
        module.exit_json(changed=True, tried=[])
    tried: list[str] = []
    try:
        # A lack of capacity is a 500, which boto3 would ask again for some fifteen seconds in each zone.
        once = Config(retries={"mode": "standard", "total_max_attempts": 2})
        ec2 = boto3.client("ec2", region_name=asked["region"], config=once)
        instance = launch(ec2, asked["types"], asked["subnets"], asked["spec"], tried)
    except (BotoCoreError, ClientError, EndedError, NoRoomError) as error:
        module.fail_json(msg=str(error), tried=tried)
    module.exit_json(changed=True, instance_id=instance, tried=tried)


if __name__ == "__main__":
    main()
