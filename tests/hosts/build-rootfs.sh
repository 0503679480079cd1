#!/usr/bin/env bash
# Build a Debian root filesystem that boots systemd as PID 1; half a minute to a minute, 221 MB.
# Takes this machine's own apt sources, pip configuration and extra CA files; names no mirror.
# usage: build-rootfs.sh ROOT SUITE   (bookworm is Debian 12, trixie 13)
set -euo pipefail
root=$1 suite=$2
here=$(cd "$(dirname "$0")" && pwd)
# What the cloud's images bring; what the project needs beyond that, its roles install.
include=systemd,systemd-sysv,dbus,python3,python3-apt,ca-certificates,openssh-server,sudo,iproute2,curl,procps,tzdata
# shellcheck source=/dev/null
ours=$(. /etc/os-release && echo "$VERSION_CODENAME")
sed "s/\b$ours\b/$suite/g" /etc/apt/sources.list.d/debian.sources >"$root.sources"
mmdebstrap --mode=root --variant=minbase --include=$include,libnss-systemd \
  --aptopt='Acquire::Check-Valid-Until "false"' \
  --aptopt='Acquire::Languages "none"' \
  --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='force-unsafe-io' \
  "$suite" "$root" "$root.sources"
rm "$root.sources"
# Nodes reach the registries the way this machine does.
{
  echo '[global]'
  pip config list 2>/dev/null | sed -nE "s/^(global|:env:)\.([a-z-]+)='(.*)'\$/\2 = \3/p" |
    grep -E '^((extra-)?index-url|find-links|no-index|cert|trusted-host|proxy|(default-)?timeout) ' | sort -t= -k1,1 -u
  echo 'disable-pip-version-check = 1'
} >"$root/etc/pip.conf"
# Packages whose postinst writes alternatives need the folders that path-exclude removed (openjdk).
mkdir -p "$root"/usr/share/man/man{1..8}
cp -n /etc/apt/apt.conf.d/* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
rm -f "$root"/etc/apt/apt.conf.d/docker-* # of an image's own: no cloud has it, and each call of apt takes twice as long
cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/" 2>/dev/null || true
chroot "$root" update-ca-certificates >/dev/null 2>&1 || true
"$here/pip-folders.sh" | while read -r folder; do mkdir -p "$root$folder"; done
# An EC2-like login: key only (node.sh brings the key), sudo without a password.
chroot "$root" useradd -m -s /bin/bash ubuntu
echo 'ubuntu ALL=(ALL) NOPASSWD:ALL' >"$root/etc/sudoers.d/90-cloud-init-users"
chmod 440 "$root/etc/sudoers.d/90-cloud-init-users"
install -d -m700 -o 1000 -g 1000 "$root/home/ubuntu/.ssh"
printf 'UseDNS no\nPasswordAuthentication no\nPermitRootLogin no\n' >"$root/etc/ssh/sshd_config.d/10-node.conf"
# nspawn mounts the v1 controllers read-only; systemd needs these to enforce MemoryMax, TasksMax, CPUWeight.
cat >"$root/sbin/node-init" <<'INIT'
#!/bin/sh
for c in memory pids cpu cpuacct; do
  [ -d /sys/fs/cgroup/$c ] || continue
  umount /sys/fs/cgroup/$c && mount -t cgroup -o nosuid,nodev,noexec,$c cgroup /sys/fs/cgroup/$c
done
exec /lib/systemd/systemd "$@"
INIT
chmod 755 "$root/sbin/node-init"
ln -sf /dev/null "$root/etc/systemd/system/console-getty.service"
rm -f "$root/etc/resolv.conf"
: >"$root/etc/resolv.conf"
# Ansible's modules are compiled once, not once a task, and root's run in forks; node.sh brings the folder.
cp --remove-destination "$here/../stands/compiled/sitecustomize.py" "$root"/usr/lib/python3.1*/
cp "$here/../stands/compiled/forking.py" "$root/usr/lib/"
mkdir -p "$root/var/cache/compiled"
cat >"$root/usr/lib/systemd/system/modules.service" <<'UNIT'
[Unit]
Description=Ansible's modules, in forks
[Service]
ExecStart=/usr/bin/python3 /usr/lib/forking.py /run/modules
UNIT
mkdir -p "$root/usr/lib/systemd/system/multi-user.target.wants"
ln -s ../modules.service "$root/usr/lib/systemd/system/multi-user.target.wants/"
# The apt module's cache_valid_time reads this time; mmdebstrap left the lists empty.
touch -d @0 "$root/var/lib/apt/lists"
rm -f "$root/var/lib/apt/periodic/update-success-stamp"
