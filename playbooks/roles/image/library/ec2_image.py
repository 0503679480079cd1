#!/usr/bin/python
"""Ansible module: an image of an instance, with the snapshots of its disks."""

import time
from typing import Any

import boto3
from ansible.module_utils.basic import AnsibleModule
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

DOCUMENTATION = r"""
module: ec2_image
short_description: Makes an image of an instance, or removes one with its snapshots
description:
  - An image is made of an instance that is stopped, and waited for. Its snapshots are tagged as it is.
  - One that is to be absent is deregistered, then its snapshots are deleted.
  - Other than C(amazon.aws.ec2_ami) this says why AWS refused.
options:
  region:
    description: The region.
    type: str
    required: true
  state:
    description: What it shall be.
    type: str
    choices: [present, absent]
    default: present
  instance_id:
    description: The instance that an image is made of.
    type: str
  name:
    description: The image's name, which no other has.
    type: str
  tags:
    description: Tags of the image and its snapshots.
    type: dict
    default: {}
  image_id:
    description: The image that shall be absent.
    type: str
  timeout:
    description: How many seconds to wait until the image is there.
    type: int
    default: 3600
author: Springboard
"""

EXAMPLES = r"""
- name: Make an image
  ec2_image:
    region: us-east-1
    instance_id: i-0123456789abcdef0
    name: springboard-1.0.0

- name: Remove it
  ec2_image:
    region: us-east-1
    image_id: ami-0123456789abcdef0
    state: absent
"""

RETURN = r"""
image_id:
  description: The image.
  type: str
  returned: always
encrypted:
  description: Whether it has disks and all of them are encrypted.
  type: bool
  returned: where one was made
"""

# EC2 may take an image for one that is there for a moment more.
SNAPSHOT_TRIES, SNAPSHOT_SECONDS = 12, 5
WAIT_SECONDS = 15


def disks(image: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what it has of EBS, without a host's own disks."""
    return [one["Ebs"] for one in image.get("BlockDeviceMappings", []) if "Ebs" in one]


def make(ec2: Any, asked: dict[str, Any]) -> dict[str, Any]:
    """Make an image, and return it once it is there."""
    tags = [{"Key": key, "Value": str(value)} for key, value in sorted(asked["tags"].items())]
    image_id = ec2.create_image(
        InstanceId=asked["instance_id"],
        Name=asked["name"],
        TagSpecifications=[{"ResourceType": kind, "Tags": tags} for kind in ("image", "snapshot")],
    )["ImageId"]
    ec2.get_waiter("image_available").wait(
        ImageIds=[image_id],
        WaiterConfig={"Delay": WAIT_SECONDS, "MaxAttempts": max(asked["timeout"] // WAIT_SECONDS, 1)},
    )
    (image,) = ec2.describe_images(ImageIds=[image_id])["Images"]
    return {
        "image_id": image_id,
        "encrypted": bool(disks(image)) and all(disk.get("Encrypted") for disk in disks(image)),
    }


def delete(ec2: Any, snapshot: str) -> None:
    """Delete a snapshot, whose image was there a moment ago."""
    for left in reversed(range(SNAPSHOT_TRIES)):
        try:
            ec2.delete_snapshot(SnapshotId=snapshot)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "InvalidSnapshot.NotFound":
                return
            if code != "InvalidSnapshot.InUse" or not left:
                raise
            time.sleep(SNAPSHOT_SECONDS)
        else:
            return


def remove(ec2: Any, image_id: str, check: bool) -> bool:
    """Remove an image and its snapshots; return whether there was one."""
    found = ec2.describe_images(Filters=[{"Name": "image-id", "Values": [image_id]}], Owners=["self"])[
        "Images"
    ]
    for image in found if not check else []:
        ec2.deregister_image(ImageId=image_id)
        for disk in disks(image):
            delete(ec2, disk["SnapshotId"])
    return bool(found)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        {
            "region": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "instance_id": {"type": "str"},
            "name": {"type": "str"},
            "tags": {"type": "dict", "default": {}},
            "image_id": {"type": "str"},
            "timeout": {"type": "int", "default": 3600},
        },
        required_if=[("state", "present", ("instance_id", "name")), ("state", "absent", ("image_id",))],
        supports_check_mode=True,
    )
    asked = module.params
    try:
        ec2 = boto3.client("ec2", region_name=asked["region"])
        if asked["state"] == "absent":
            changed = remove(ec2, asked["image_id"], module.check_mode)
            module.exit_json(changed=changed, image_id=asked["image_id"])
        if module.check_mode:
            module.exit_json(changed=True, image_id="")
        made = make(ec2, asked)
    except (BotoCoreError, ClientError, WaiterError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, **made)


if __name__ == "__main__":
    main()
