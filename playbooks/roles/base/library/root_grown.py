#!/usr/bin/python
"""Ansible module: the root partition and its file system take all of a disk that has grown."""

import re

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]

DOCUMENTATION = r"""
module: root_grown
short_description: Grows the root partition and its ext4 to the end of the disk, while they are in use
author: Springboard
"""

EXAMPLES = r"""
- name: Grow the root partition and its file system
  root_grown:
"""

RETURN = r"""
said:
  description: What growpart and resize2fs said.
  type: str
  returned: always
"""


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule({}, supports_check_mode=True)

    def ask(*command: str, codes: tuple[int, ...] = (0,)) -> str:
        code, out, error = module.run_command(list(command))
        said = f"{out}{error}".strip()
        if code not in codes:
            module.fail_json(msg=f"{' '.join(command)} ended with {code}: {said}")
        return said

    partition, kind = ask("findmnt", "-nro", "SOURCE,FSTYPE", "/").split()
    number = re.search(r"\d+$", partition)
    if kind != "ext4" or not number:
        module.exit_json(changed=False, said=f"{kind} on {partition} is left as it is")
    disk = "/dev/" + ask("lsblk", "-ndro", "PKNAME", partition)
    # growpart ends with 1 where the partition reaches the disk's end already.
    said = ask("growpart", *(["--dry-run"] if module.check_mode else []), disk, number[0], codes=(0, 1))
    changed = not said.startswith("NOCHANGE")
    if not module.check_mode:
        # Also after a partition that an interrupted run grew.
        resized = ask("resize2fs", partition)
        changed = changed or "Nothing to do" not in resized
        said = f"{said} {resized}"
    module.exit_json(changed=changed, said=said)


if __name__ == "__main__":
    main()
