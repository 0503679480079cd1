#!/usr/bin/python
"""Ansible module: the SSH keys of EC2 hosts, from where AWS vouches for them."""

import re
import time
from pathlib import Path
from typing import Any

import boto3
from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
module: ec2_known_hosts
short_description: Writes the host keys that instances print at their first boot to a known_hosts file
description:
  - C(cloud-init) prints them to the console, which AWS hands to who may ask for it. So no key is trusted
    at first sight.
  - They are kept by instance, not by address, for C(ssh -o HostKeyAlias). Instances that are in the file
    are not asked for.
options:
  region:
    description: The region.
    type: str
    required: true
  instances:
    description: Ids of instances.
    type: list
    elements: str
    required: true
  anew:
    description: Those of C(instances) that are asked for although they are in the file, where their lines go
      once there are others.
    type: list
    elements: str
    default: []
  path:
    description: The file; made if it is not there.
    type: path
    required: true
  timeout:
    description: How many seconds to wait for an output, which EC2 has some minutes after a launch.
    type: int
    default: 600
author: Springboard
"""

EXAMPLES = r"""
- name: Learn their SSH keys
  ec2_known_hosts:
    region: us-east-1
    instances: [i-0123456789abcdef0]
    path: inventory/known_hosts
"""

RETURN = r"""
learned:
  description: The instances whose keys were added.
  type: list
  elements: str
  returned: always
silent:
  description: Those whose console has printed none, or printed them so long ago that EC2 has no more of it.
  type: list
  elements: str
  returned: always
"""

# Between these lines is a key a line, since cloud-init 0.6:
# https://cloudinit.readthedocs.io/en/latest/reference/modules.html#keys-to-console
BLOCK = re.compile(r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL)
KEY = re.compile(r"\b((?:ssh-(?:ed25519|rsa)|ecdsa-sha2-nistp\d+) [A-Za-z0-9+/]+={0,2})(?=\s|$)")
FIRST_SECONDS, MOST_SECONDS = 2, 15


def printed(console: str) -> list[str]:
    """Return the keys of the last block that is whole; none where there is none."""
    blocks = BLOCK.findall(console)
    return KEY.findall(blocks[-1]) if blocks else []


def ask(ec2: Any, instance: str) -> list[str]:
    """Return what an instance has printed, up to now: g4dn and newer types are Nitro's and know `Latest`."""
    return printed(ec2.get_console_output(InstanceId=instance, Latest=True).get("Output", ""))


def learn(ec2: Any, instances: list[str], timeout: int) -> dict[str, list[str]]:
    """Return the keys of those instances that print them in time."""
    found: dict[str, list[str]] = {}
    end, pause = time.monotonic() + timeout, FIRST_SECONDS
    while True:
        for instance in set(instances) - found.keys():
            if keys := ask(ec2, instance):
                found[instance] = keys
        if len(found) == len(set(instances)) or time.monotonic() + pause > end:
            return found
        time.sleep(pause)
        pause = min(2 * pause, MOST_SECONDS)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        {
            "region": {"type": "str", "required": True},
            "instances": {"type": "list", "elements": "str", "required": True},
            "anew": {"type": "list", "elements": "str", "default": []},
            "path": {"type": "path", "required": True},
            "timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    asked = module.params
    path = Path(asked["path"])
    try:
        text = path.read_text() if path.exists() else ""
        known = {line.split(" ")[0] for line in text.splitlines()} - set(asked["anew"])
        wanted = [one for one in asked["instances"] if one not in known]
        ec2 = boto3.client("ec2", region_name=asked["region"])
        found = learn(ec2, wanted, asked["timeout"])
        kept = [line for line in text.splitlines(keepends=True) if line.split(" ")[0] not in found]
        lines = [f"{instance} {key}\n" for instance, keys in sorted(found.items()) for key in keys]
        if lines and not module.check_mode:
            path.write_text("".join(kept + lines))
    except (BotoCoreError, ClientError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=bool(found), learned=sorted(found), silent=[one for one in wanted if one not in found]
    )


if __name__ == "__main__":
    main()
