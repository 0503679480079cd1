"""tasks/host_ready.yml: which machines are waited for. What plays ssh here runs its command on this one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from springboard.system.checkout import ROOT

# In the words of OpenSSH 9.2. Those that connect find the count of tries beside the program.
CHANGED = """
echo '@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @' >&2
echo 'Host key verification failed.' >&2
exit 255
"""
LATE = """
echo x >> "$0.tries"
if [ "$(wc -l < "$0.tries")" -lt 3 ]; then
  echo 'ssh: connect to host 192.0.2.1 port 22: Connection refused' >&2
  exit 255
fi
for last; do :; done
exec sh -c "$last"
"""


def play(folder: Path, ssh: str, **host: str) -> subprocess.CompletedProcess[str]:
    """Wait for two hosts as configure.yml does, and say what they are."""
    program = folder / "ssh"
    program.write_text(f"#!/bin/sh\n{ssh}")
    program.chmod(0o755)
    own = {"ansible_python_interpreter": sys.executable, "ansible_remote_tmp": str(folder / "remote"), **host}
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"hosts": {"one": own, "two": own}}}))
    ready = {"ansible.builtin.import_tasks": str(ROOT / "playbooks/tasks/host_ready.yml")}
    told = {"ansible.builtin.debug": {"msg": "{{ inventory_hostname }} runs {{ ansible_facts.system }}"}}
    one = {"hosts": "all", "gather_facts": False, "any_errors_fatal": True, "tasks": [ready, told]}
    (folder / "play.yml").write_text(yaml.safe_dump([one]))
    return subprocess.run(
        [Path(sys.executable).with_name("ansible-playbook"), "-i", "hosts.yml", "play.yml"],
        cwd=folder,
        env=os.environ | {"ANSIBLE_SSH_EXECUTABLE": str(program), "ANSIBLE_SSH_PIPELINING": "true"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ({"ec2_instance_id": "i-1"}, "give -e new_ssh_key=one"),
        ({}, "ssh-keygen -R 192.0.2.1"),
    ],
)
def test_a_host_with_another_key_is_not_waited_for(tmp_path: Path, host: dict[str, str], said: str) -> None:
    done = play(tmp_path, CHANGED, ansible_host="192.0.2.1", **host)
    text = " ".join(done.stdout.split())
    assert done.returncode == 2, text
    assert "one (192.0.2.1) shows another SSH key than is known of it" in text
    assert said in text
    assert "host_ready | Wait" not in text


def test_a_host_that_is_not_up_yet_is(tmp_path: Path) -> None:
    done = play(tmp_path, LATE, ansible_host="192.0.2.1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "one runs Linux" in done.stdout
    assert "two runs Linux" in done.stdout
