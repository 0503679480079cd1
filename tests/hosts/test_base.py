"""What every host gets, whatever it serves."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.hosts.harness import Hosts, Node, Play

SETTINGS: dict[str, Any] = {
    "role": "base",
    "base_ntp_servers": ["169.254.169.123"],
    "base_journal_rate_burst": 20,
    "base_grow_root": True,  # a node's root is no partition: left as it is
    # kernel.panic cannot be set in a node; what follows it must be.
    "base_sysctls": {"kernel.panic": 10, "net.core.somaxconn": 5000},
}


JOURNAL = "/etc/systemd/journald.conf.d"  # an earlier version's file there was springboard.conf


@dataclass
class Base:
    """A host with the role applied in check mode, for real, and again."""

    node: Node
    plays: list[Play]


@pytest.fixture(scope="module")
def base(hosts: Hosts) -> Iterator[Base]:
    node = hosts.start("base")
    node.sh(f"mkdir -p {JOURNAL} && echo '[Journal]\nSystemMaxUse=9G' >{JOURNAL}/springboard.conf")
    plays = [
        hosts.play("../tests/hosts/role.yml", check=check, springboard=[node], **SETTINGS)
        for check in (True, False, False)
    ]
    for play in plays:
        assert play.ok, play.output
    yield Base(node, plays)
    node.stop()


def test_second_run_changes_nothing(base: Base) -> None:
    assert [play.count("changed") > 0 for play in base.plays] == [True, True, False], base.plays[2].output


def test_services_have_users_that_nobody_can_log_in_as(base: Base) -> None:
    for user in ("springboard", "springboard-worker"):
        _, _, number, _, _, home, shell = base.node.sh(f"getent passwd {user}").strip().split(":")
        assert int(number) < 1000
        assert (home, shell) == ("/nonexistent", "/usr/sbin/nologin")
        assert base.node.sh(f"id -nG {user}").split() == [user]


def test_services_own_none_of_the_folders(base: Base) -> None:
    folders = (
        "/opt/springboard",
        "/etc/springboard",
        "/var/lib/springboard",
        "/var/lib/springboard/instances",
    )
    for folder in folders:
        assert base.node.sh(f"stat -c '%U:%G %a' {folder}").strip() == "root:root 755"
        for user in ("springboard", "springboard-worker"):
            assert not base.node.succeeds(
                "setpriv", f"--reuid={user}", "--clear-groups", "touch", f"{folder}/x"
            )


def test_clock_asks_the_given_server(base: Base) -> None:
    assert "NTP=169.254.169.123" in base.node.sh("systemd-analyze cat-config systemd/timesyncd.conf")
    assert base.node.sh("systemctl is-enabled systemd-timesyncd").strip() == "enabled"


# A repository of packages in versions 1, installed, and 2, that claims to be Debian's security updates.
REPOSITORY = r"""
set -e
mkdir -p /srv/repo; cd /srv/repo
for name in "$@"; do
  for version in 1 2; do
    file=${name}_$version.deb
    mkdir -p $name/DEBIAN
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n' \
      $name $version >$name/DEBIAN/control
    dpkg-deb -b $name $file
  done
  dpkg -i ${name}_1.deb
  { dpkg-deb -f $file; printf 'Filename: ./%s\nSize: %s\n' $file $(stat -c %s $file)
    printf 'SHA256: %s\n\n' $(sha256sum $file | cut -d' ' -f1); } >>Packages
done
printf 'Origin: Debian\nLabel: Debian-Security\n' >Release
printf 'Codename: bookworm-security\nSuite: stable-security\n' >>Release
rm -rf /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list
apt-get update -q
"""


def test_security_updates_leave_driver_and_kernel_alone(base: Base) -> None:
    """A real run of unattended-upgrades."""
    held = ("nvidia-driver-580", "libnvidia-compute-580", "linux-image-6.1", "cuda-drivers")
    packages = ("harmless", *held)
    base.node.run("sh", "-c", REPOSITORY, "repository", *packages)
    printed = base.node.sh("unattended-upgrade -v")
    versions = {name: base.node.run("dpkg-query", "-f", "${Version}", "-W", name) for name in packages}
    assert versions == {"harmless": "2", **dict.fromkeys(held, "1")}, printed
    # And they run daily, without a reboot.
    settings = base.node.sh("apt-config dump")
    assert 'APT::Periodic::Unattended-Upgrade "1";' in settings
    assert 'Unattended-Upgrade::Automatic-Reboot "false";' in settings
    assert base.node.sh("systemctl is-enabled apt-daily-upgrade.timer").strip() == "enabled"


def test_journal_takes_only_so_much_of_one_service(base: Base) -> None:
    assert base.node.sh(f"ls {JOURNAL}").split() == ["zz-springboard.conf"]
    assert "SystemMaxUse=1G" in base.node.sh("systemd-analyze cat-config systemd/journald.conf")
    base.node.sh("systemd-run --wait --unit=noisy seq 10000; journalctl --sync")
    lines = base.node.sh("journalctl -u noisy -o cat").splitlines()
    assert 20 <= len(lines) < 1000
    assert base.node.sh("ls /var/log/journal").strip()  # it survives a reboot


def test_kernel_settings_that_may_be_set_are(base: Base) -> None:
    assert base.node.sh("cat /proc/sys/net/core/somaxconn").strip() == "5000"
    assert not base.node.succeeds("systemctl", "is-failed", "systemd-sysctl")
