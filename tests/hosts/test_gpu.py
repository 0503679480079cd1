"""The role gpu, with a stand-in for nvidia-smi: these hosts have no GPU."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.hosts.harness import Hosts, Node, Play
from tests.stands.waiting import wait_until

# Stands in for NVIDIA's tools: answers from a file, makes the device files (as /dev/null) when asked to.
STAND_IN = """#!/bin/sh
case "$(basename $0) $*" in
  "nvidia-smi --query-gpu=name,driver_version,compute_cap "*) cat /etc/stand-in-gpu ;;
  "nvidia-smi -pm 1") touch /run/persistence-mode ;;
  "nvidia-modprobe -u -c=0")
    for name in nvidiactl nvidia0 nvidia-uvm; do [ -e /dev/$name ] || mknod /dev/$name c 1 3; done ;;
  *) exit 9 ;;
esac
"""


@pytest.fixture
def host(node: Callable[..., Node]) -> Node:
    return node("gpu")


def play(hosts: Hosts, host: Node, check: bool = False, **more: Any) -> Play:
    return hosts.play("../tests/hosts/role.yml", check=check, springboard=[host], role="gpu", **more)


# A repository whose one package is nvidia-modprobe, as Ubuntu and Debian have it; its program is read.
PACKAGE = r"""
set -e
mkdir -p /srv/repo/tree/DEBIAN /srv/repo/tree/usr/bin; cd /srv/repo
cat >tree/usr/bin/nvidia-modprobe; chmod 755 tree/usr/bin/nvidia-modprobe
printf 'Package: nvidia-modprobe\nVersion: 1\nArchitecture: all\n' >tree/DEBIAN/control
printf 'Maintainer: x <x@x>\nDescription: x\n' >>tree/DEBIAN/control
dpkg-deb -b tree modprobe.deb
{ dpkg-deb -f modprobe.deb; printf 'Filename: ./modprobe.deb\nSize: %s\n' $(stat -c %s modprobe.deb)
  printf 'SHA256: %s\n' $(sha256sum modprobe.deb | cut -d' ' -f1); } >Packages
rm -rf /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list
apt-get update -q
"""


def install_stand_in(host: Node, gpu: str) -> None:
    """Put a driver there, as Ubuntu's and Debian's packages do: without nvidia-modprobe."""
    host.run("tee", "/usr/bin/nvidia-smi", input=STAND_IN)
    host.run("chmod", "755", "/usr/bin/nvidia-smi")
    host.run("tee", "/etc/stand-in-gpu", input=gpu)


def words(play: Play) -> str:
    return " ".join(play.output.split())


def test_host_without_a_gpu_is_told_so(hosts: Hosts, host: Node) -> None:
    for required in (False, True):
        done = play(hosts, host, gpu_required=required)
        assert "gpu has no NVIDIA GPU" in words(done)
        assert "instance_type" in words(done)
        assert done.ok is not required
        assert done.count("changed") == 0


@pytest.mark.parametrize(
    ("gpu", "message"),
    [
        ("Tesla T4, 570.86.15, 7.5", "has NVIDIA driver 570.86.15 and torch needs 580 or newer"),
        ("Tesla V100, 580.95.05, 7.0", "compute capability 7.0 and torch needs 7.5 or newer"),
    ],
)
def test_gpu_that_torch_cannot_use_is_told_with_what_to_do(
    hosts: Hosts, host: Node, gpu: str, message: str
) -> None:
    install_stand_in(host, gpu)
    done = play(hosts, host, gpu_required=True)
    assert not done.ok
    assert message in words(done)
    assert play(hosts, host, gpu_required=False).ok  # it is told, and the CPU scores


def test_gpu_without_nvidia_modprobe_is_told_where_to_get_it(hosts: Hosts, host: Node) -> None:
    install_stand_in(host, "Tesla T4, 580.95.05, 7.5")
    done = play(hosts, host)
    assert not done.ok
    assert "has no nvidia-modprobe" in words(done)
    assert "Debian's component contrib" in words(done)


def test_gpu_whose_driver_does_not_answer_is_told_with_what_to_do(hosts: Hosts, host: Node) -> None:
    # Nodes have no PCI device of NVIDIA's to be found.
    done = play(hosts, host, gpu_required=True, __gpu_devices={"stdout": "/sys/bus/pci/devices/x/vendor"})
    assert not done.ok
    assert "whose driver does not answer" in words(done)
    assert "nvidia-driver-580-server" in words(done)


def test_gpu_is_ready_before_torchserve_also_after_a_reboot(hosts: Hosts, host: Node) -> None:
    """With the package nvidia-modprobe, which no driver package of theirs brings along."""
    install_stand_in(host, "Tesla T4, 580.95.05, 7.5\nTesla T4, 580.95.05, 7.5")
    # The roles' torchserve and front, in short.
    for unit in ("torchserve@", "springboard-front"):
        host.run("tee", f"/etc/systemd/system/{unit}.service", input="[Service]\nExecStart=sleep infinity\n")
    host.run("sh", "-c", PACKAGE, input=STAND_IN)
    plays = [play(hosts, host, check, gpu_required=True) for check in (True, False, False)]
    assert all(done.ok for done in plays), plays[1].output
    assert [done.count("changed") > 0 for done in plays] == [True, True, False], plays[2].output
    for unit in ("torchserve@x", "springboard-front"):
        assert "springboard-gpu.service" in host.sh(f"systemctl show -P After {unit}")
    host.sh("test -c /dev/nvidia-uvm && test -e /run/persistence-mode && rm /dev/nvidia*")
    host.reboot()
    wait_until(lambda: host.succeeds("test", "-c", "/dev/nvidia-uvm"), "the device files after a reboot", 300)
