#!/usr/bin/python
"""Ansible module: where an instance type is offered and how many of the account's vCPUs are free for it."""

import re
from typing import Any

import boto3
from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
module: ec2_gpu_capacity_info
short_description: Where a GPU instance type is offered, and the vCPU quota it counts against
description:
  - Changes nothing. Credentials and endpoints are found as boto3 finds them.
options:
  region:
    description: The region to ask.
    type: str
    required: true
  instance_type:
    description: An instance type of the G families.
    type: str
    required: true
  deployment:
    description: Instances with this value of the tag C(springboard:deployment) do not count as in use.
    type: str
    required: true
author: Springboard
"""

EXAMPLES = r"""
- name: Ask what is free
  ec2_gpu_capacity_info:
    region: us-east-1
    instance_type: g4dn.xlarge
    deployment: springboard
"""

RETURN = r"""
zones:
  description: Availability zones of the region that offer the type, sorted; empty for an unknown type.
  type: list
  elements: str
  returned: always
family:
  description: All types of the same family that the region offers, sorted.
  type: list
  elements: str
  returned: always
vcpus:
  description: vCPUs of one such instance; 0 where the type is not offered.
  type: int
  returned: always
quota:
  description: vCPUs that the account may run on demand in this region, over all G and VT types.
  type: int
  returned: always
vcpus_in_use:
  description: vCPUs of them that running instances outside this deployment take.
  type: int
  returned: always
"""

# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
QUOTA_CODE = "L-DB2E81BA"


def offered(ec2: Any, region: str, pattern: str) -> dict[str, list[str]]:
    """List the instance types that match `pattern`, each with the zones (no local ones) that offer it."""
    zones: dict[str, list[str]] = {}
    pages = ec2.get_paginator("describe_instance_type_offerings").paginate(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": [pattern]}]
    )
    for page in pages:
        for offering in page["InstanceTypeOfferings"]:
            if not re.fullmatch(region + "[a-z]", offering["Location"]):
                continue
            zones.setdefault(offering["InstanceType"], []).append(offering["Location"])
    return {name: sorted(zones[name]) for name in sorted(zones)}


def running_types(ec2: Any, deployment: str) -> list[str]:
    """List the types of on-demand G and VT instances that run outside `deployment`, one entry an instance."""
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": "instance-state-name", "Values": ["pending", "running"]}]
    )
    return [
        instance["InstanceType"]
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
        if instance["InstanceType"].startswith(("g", "vt"))
        and instance.get("InstanceLifecycle") != "spot"  # spot instances have a quota of their own
        and {"Key": "springboard:deployment", "Value": deployment} not in instance.get("Tags", [])
    ]


def vcpus_of(ec2: Any, types: set[str]) -> dict[str, int]:
    """Tell how many vCPUs each of these types has by default, which is what a quota counts."""
    if not types:
        return {}
    pages = ec2.get_paginator("describe_instance_types").paginate(InstanceTypes=sorted(types))
    return {
        found["InstanceType"]: found["VCpuInfo"]["DefaultVCpus"]
        for page in pages
        for found in page["InstanceTypes"]
    }


def capacity(ec2: Any, quotas: Any, region: str, instance_type: str, deployment: str) -> dict[str, Any]:
    """Gather what RETURN describes from clients of EC2 and of Service Quotas."""
    family = offered(ec2, region, instance_type.split(".")[0] + ".*")
    running = running_types(ec2, deployment)
    vcpus = vcpus_of(ec2, {*running, *({instance_type} & family.keys())})
    quota = quotas.get_service_quota(ServiceCode="ec2", QuotaCode=QUOTA_CODE)["Quota"]["Value"]
    return {
        "zones": family.get(instance_type, []),
        "family": list(family),
        "vcpus": vcpus.get(instance_type, 0),
        "quota": int(quota),
        "vcpus_in_use": sum(vcpus[name] for name in running),
    }


def main() -> None:
    """Run as an Ansible module."""
    names = ("region", "instance_type", "deployment")
    module = AnsibleModule(
        {name: {"type": "str", "required": True} for name in names}, supports_check_mode=True
    )
    if boto3 is None:
        module.fail_json(msg="boto3 is missing. Run: make setup")
    region, instance_type, deployment = (module.params[name] for name in names)
    try:
        ec2 = boto3.client("ec2", region_name=region)
        quotas = boto3.client("service-quotas", region_name=region)
        found = capacity(ec2, quotas, region, instance_type, deployment)
    except (BotoCoreError, ClientError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
