#!/usr/bin/python
"""Ansible module: whether a bucket is there, whosever it is."""

import boto3
from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError

DOCUMENTATION = r"""
module: s3_bucket_status
short_description: What S3 answers about a bucket, of this account or of another
options:
  region:
    description: The region to ask.
    type: str
    required: true
  name:
    description: The bucket.
    type: str
    required: true
author: Springboard
"""

EXAMPLES = r"""
- name: Look for the bucket
  s3_bucket_status:
    region: us-east-1
    name: central-models
"""

RETURN = r"""
status:
  description: >-
    200 where it is there, 301 in another region, 403 where who asks may not read it, 404 where there is none.
  type: int
  returned: always
"""


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        {"region": {"type": "str", "required": True}, "name": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    try:
        s3 = boto3.client("s3", region_name=module.params["region"])
        status = s3.head_bucket(Bucket=module.params["name"])["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status not in (301, 403, 404):
            module.fail_json(msg=str(error))
    except BotoCoreError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, status=status)


if __name__ == "__main__":
    main()
