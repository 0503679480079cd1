#!/usr/bin/python
"""Ansible module: a text in Secrets Manager, beside what others set of its secret."""

from typing import Any

import boto3
from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
module: kept_secret
short_description: Keeps a text in Secrets Manager, or gives it up
description:
  - Whatever others set of the secret stays - its resource policy, KMS key, replicas, rotation, tags. The
    module of community.aws takes a policy away that it was not told of.
  - A secret of another deployment is neither written nor deleted.
options:
  region:
    description: The region.
    type: str
    required: true
  name:
    description: The secret's name.
    type: str
    required: true
  deployment:
    description: Whose it is, as the tag C(springboard:deployment).
    type: str
    required: true
  state:
    description: C(absent) has it deleted, for good in 30 days.
    type: str
    choices: [present, absent]
    default: present
  value:
    description: The text.
    type: str
  before:
    description: The text that O(value) was made from, where it was. It is written only in place of that.
    type: str
  tags:
    description: Tags beside that of the deployment.
    type: dict
    default: {}
author: Springboard
"""

EXAMPLES = r"""
- name: Keep the keys
  kept_secret:
    region: us-east-1
    name: springboard-keys
    deployment: springboard
    value: "{}"
"""

RETURN = r"""
there:
  description: Whether there was such a secret before, with this deployment's tag.
  type: bool
  returned: always
"""

TAG = "springboard:deployment"


# The stage of what is written and not yet current; a version without any might be removed.
STAGE = "springboard-written"


class RefusedError(Exception):
    """The secret is not ours, or another's by now; the text says what to do."""


def find(client: Any, name: str, deployment: str, region: str, leaving: bool) -> dict[str, str] | None:
    """Return the secret's tags; None where there is none, or none but one that goes, for who is `leaving`."""
    try:
        found = client.describe_secret(SecretId=name)
    except client.exceptions.ResourceNotFoundException:
        return None
    tags = {one["Key"]: one["Value"] for one in found.get("Tags", [])}
    if tags.get(TAG, deployment) != deployment:
        raise RefusedError(
            f"the secret {name} is that of the deployment {tags[TAG]}; set springboard_keys_secret to "
            "another name"
        )
    if found.get("DeletedDate") and leaving:
        return None
    if found.get("DeletedDate"):
        raise RefusedError(
            f"the secret {name} is about to be deleted; bring it back with: aws secretsmanager "
            f"restore-secret --secret-id {name} --region {region}"
        )
    return tags


def write(client: Any, name: str, value: str, tags: dict[str, str]) -> None:
    """Make the secret."""
    listed = [{"Key": key, "Value": tags[key]} for key in sorted(tags)]
    client.create_secret(
        Name=name, SecretString=value, Tags=listed, Description="Keys of the callers of Springboard"
    )


def replace(client: Any, name: str, value: str, version: str) -> None:
    """Have the secret be `value`, unless another version than `version` is current by now."""
    ours = client.put_secret_value(SecretId=name, SecretString=value, VersionStages=[STAGE])["VersionId"]
    try:
        client.update_secret_version_stage(
            SecretId=name, VersionStage="AWSCURRENT", RemoveFromVersionId=version, MoveToVersionId=ours
        )
    except client.exceptions.InvalidParameterException as error:
        # boto3 asks again where an answer is lost, and is refused then as well.
        if client.get_secret_value(SecretId=name)["VersionId"] != ours:
            raise changed_meanwhile(name) from error


def changed_meanwhile(name: str) -> RefusedError:
    """Return what somebody is told who was slower."""
    return RefusedError(
        f"somebody else changed the secret {name} since it was read: theirs stays, and nothing was "
        "changed here. Run this again"
    )


def update(
    client: Any, name: str, value: str, missing: dict[str, str], check: bool, before: str | None = None
) -> bool:
    """Bring a secret that is there to `value`; return whether anything had to be changed.

    Raises `RefusedError` where it is no longer `before`.
    """
    found = client.get_secret_value(SecretId=name)
    if before is not None and found.get("SecretString") != before:
        raise changed_meanwhile(name)
    same = found.get("SecretString") == value
    if not same and not check:
        replace(client, name, value, found["VersionId"])
    if missing and not check:
        listed = [{"Key": key, "Value": missing[key]} for key in sorted(missing)]
        client.tag_resource(SecretId=name, Tags=listed)
    return bool(missing) or not same


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        {
            "region": {"type": "str", "required": True},
            "name": {"type": "str", "required": True},
            "deployment": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "value": {"type": "str", "no_log": True},
            "before": {"type": "str", "no_log": True},
            "tags": {"type": "dict", "default": {}},
        },
        required_if=[("state", "present", ["value"])],
        supports_check_mode=True,
    )
    asked, check = module.params, module.check_mode
    name, changed = asked["name"], True
    tags = asked["tags"] | {TAG: asked["deployment"]}
    try:
        client = boto3.client("secretsmanager", region_name=asked["region"])
        found = find(client, name, asked["deployment"], asked["region"], asked["state"] == "absent")
        if asked["state"] == "absent":
            changed = found is not None and TAG in found
            if changed and not check:
                client.delete_secret(SecretId=name, RecoveryWindowInDays=30)
        elif found is not None:
            missing = {key: value for key, value in tags.items() if found.get(key) != value}
            changed = update(client, name, asked["value"], missing, check, asked["before"])
        elif not check:
            write(client, name, asked["value"], tags)
    except (BotoCoreError, ClientError, RefusedError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, there=found is not None and TAG in found)


if __name__ == "__main__":
    main()
