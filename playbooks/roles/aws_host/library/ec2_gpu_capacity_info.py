#!/usr/bin/python
"""Ansible module: where instance types are offered, and what of the account's quotas others take."""

import re
from typing import Any

import boto3
from ansible.module_utils.basic import AnsibleModule
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
module: ec2_gpu_capacity_info
short_description: Where GPU instance types are offered, and the quotas of what a deployment makes
description:
  - Changes nothing. Credentials and endpoints are found as boto3 finds them.
options:
  region:
    description: The region to ask.
    type: str
    required: true
  instance_types:
    description: Instance types of the G families.
    type: list
    elements: str
    required: true
  deployment:
    description: What has this value of the tag C(springboard:deployment) does not count as in use.
    type: str
    required: true
author: Springboard
"""

EXAMPLES = r"""
- name: Ask what is free
  ec2_gpu_capacity_info:
    region: us-east-1
    instance_types: [g4dn.xlarge]
    deployment: springboard
"""

RETURN = r"""
zones:
  description: By type, the availability zones of the region that offer it, sorted; empty for an unknown type.
  type: dict
  returned: always
family:
  description: All types of the same families that the region offers, sorted.
  type: list
  elements: str
  returned: always
vcpus:
  description: By type, vCPUs of one such instance; 0 where the type is not offered.
  type: dict
  returned: always
quota:
  description: vCPUs that the account may run on demand in this region, over all G and VT types.
  type: int
  returned: always
spot_quota:
  description: vCPUs of the same types that the account may have as spot instances.
  type: int
  returned: always
vcpus_in_use:
  description: vCPUs on demand that running instances outside this deployment take.
  type: int
  returned: always
addresses:
  description: Elastic IPs, C(quota) that the account may have in this region, C(in_use) by others.
  type: dict
  returned: always
vpcs:
  description: The same of VPCs.
  type: dict
  returned: always
"""

# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
QUOTA, SPOT_QUOTA = ("ec2", "L-DB2E81BA"), ("ec2", "L-3819A6DF")
# https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html
ADDRESSES, VPCS = ("ec2", "L-0263D0A3"), ("vpc", "L-F678F1CE")


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
        and not ours(instance, deployment)
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


def ours(thing: dict[str, Any], deployment: str) -> bool:
    """Tell whether something of EC2's is this deployment's."""
    return {"Key": "springboard:deployment", "Value": deployment} in thing.get("Tags", [])


def quota(quotas: Any, service: str, code: str) -> int:
    """Ask for a quota: the account's own, or AWS's where the account has none of its own."""
    try:
        found = quotas.get_service_quota(ServiceCode=service, QuotaCode=code)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchResourceException":
            raise
        found = quotas.get_aws_default_service_quota(ServiceCode=service, QuotaCode=code)
    return int(found["Quota"]["Value"])


def capacity(ec2: Any, quotas: Any, region: str, types: list[str], deployment: str) -> dict[str, Any]:
    """Gather what RETURN describes from clients of EC2 and of Service Quotas."""
    family: dict[str, list[str]] = {}
    for pattern in sorted({name.split(".")[0] + ".*" for name in types}):
        family |= offered(ec2, region, pattern)
    running = running_types(ec2, deployment)
    vcpus = vcpus_of(ec2, {*running, *(set(types) & family.keys())})
    # Addresses that somebody brought along count against no quota.
    addresses = [
        one
        for one in ec2.describe_addresses()["Addresses"]
        if one.get("PublicIpv4Pool", "amazon") == "amazon" and not ours(one, deployment)
    ]
    pages = ec2.get_paginator("describe_vpcs").paginate()
    vpcs = [vpc for page in pages for vpc in page["Vpcs"] if not ours(vpc, deployment)]
    return {
        "zones": {name: family.get(name, []) for name in types},
        "family": sorted(family),
        "vcpus": {name: vcpus.get(name, 0) for name in types},
        "quota": quota(quotas, *QUOTA),
        "spot_quota": quota(quotas, *SPOT_QUOTA),
        "vcpus_in_use": sum(vcpus[name] for name in running),
        "addresses": {"quota": quota(quotas, *ADDRESSES), "in_use": len(addresses)},
        "vpcs": {"quota": quota(quotas, *VPCS), "in_use": len(vpcs)},
    }


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        {
            "region": {"type": "str", "required": True},
            "instance_types": {"type": "list", "elements": "str", "required": True},
            "deployment": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    region, deployment = module.params["region"], module.params["deployment"]
    try:
        ec2 = boto3.client("ec2", region_name=region)
        quotas = boto3.client("service-quotas", region_name=region)
        found = capacity(ec2, quotas, region, module.params["instance_types"], deployment)
    except (BotoCoreError, ClientError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
