#!/usr/bin/python
"""Ansible module: how an engine logs in to ECR, and whether a tag is there already."""

import base64
from typing import Any

import boto3
from ansible.module_utils.basic import AnsibleModule
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
module: ecr_access_info
short_description: How an engine logs in to ECR, and whether an image is there
description:
  - Changes nothing. Credentials and endpoints are found as boto3 finds them.
options:
  region:
    description: The registry's region.
    type: str
    required: true
  repository:
    description: The repository; it need not be there.
    type: str
    required: true
  tag:
    description: The image's tag.
    type: str
    required: true
author: Springboard
"""

EXAMPLES = r"""
- name: Ask for access
  ecr_access_info:
    region: us-east-1
    repository: springboard
    tag: 1.0.0
  no_log: true
"""

RETURN = r"""
registry:
  description: The registry's name, as images are called by.
  type: str
  returned: always
user:
  description: The user's name to log in with.
  type: str
  returned: always
password:
  description: The password, for 12 hours; only after C(no_log).
  type: str
  returned: always
exists:
  description: Whether the repository has an image of that tag.
  type: bool
  returned: always
"""


def exists(ecr: Any, repository: str, tag: str) -> bool:
    """Tell whether a repository is there and has the tag."""
    try:
        ecr.describe_images(repositoryName=repository, imageIds=[{"imageTag": tag}])
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("RepositoryNotFoundException", "ImageNotFoundException"):
            raise
        return False
    return True


def access(ecr: Any) -> dict[str, str]:
    """Return registry, user and password of whoever asks."""
    (given,) = ecr.get_authorization_token()["authorizationData"]
    user, _, password = base64.b64decode(given["authorizationToken"]).decode().partition(":")
    return {
        "registry": given["proxyEndpoint"].removeprefix("https://"),
        "user": user,
        "password": password,
    }


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        {name: {"type": "str", "required": True} for name in ("region", "repository", "tag")},
        supports_check_mode=True,
    )
    repository, tag = module.params["repository"], module.params["tag"]
    try:
        ecr = boto3.client("ecr", region_name=module.params["region"])
        found = access(ecr) | {"exists": exists(ecr, repository, tag)}
    except (BotoCoreError, ClientError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()
