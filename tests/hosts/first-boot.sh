#!/usr/bin/env bash
# Gives a test host the habits of Ubuntu's images at their first boot, which then goes on for a while although SSH
# answers: cloud-init rewrites the package sources and holds apt, until somebody waits for it and some seconds more;
# after it the first run of unattended-upgrades holds dpkg.
set -euo pipefail
cat >/usr/bin/cloud-init <<'CLOUD_INIT'
#!/bin/sh
# Of cloud-init's commands those that are needed: status [--wait].
state=/var/lib/cloud/instance
if [ "$*" = "status --wait" ]; then
  touch "$state/asked"
  until [ -e "$state/boot-finished" ]; do printf .; sleep .2; done
elif [ "$*" != status ]; then
  echo "this stand-in knows no cloud-init $*" >&2
  exit 1
fi
[ -e "$state/boot-finished" ] && echo "status: done" || echo "status: running"
CLOUD_INIT
chmod 755 /usr/bin/cloud-init
rm -rf /var/lib/cloud/instance && mkdir -p /var/lib/cloud/instance
cat >/usr/local/sbin/first-boot <<'FIRST_BOOT'
#!/usr/bin/python3
import fcntl, shutil, time
from pathlib import Path

def hold(*paths):
    held = [open(path, "w") for path in paths]
    for file in held:
        fcntl.lockf(file, fcntl.LOCK_EX)
    return held

state, sources, kept = Path("/var/lib/cloud/instance"), Path("/etc/apt"), Path("/var/lib/cloud/sources")
dpkg = hold("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock")
lists = hold("/var/lib/apt/lists/lock")
shutil.rmtree(kept, ignore_errors=True)
shutil.copytree(sources / "sources.list.d", kept)
for path in (sources / "sources.list.d").iterdir():
    path.write_text("Types: deb\nURIs: http://mirror.of.the.image.invalid/debian\nSuites: stable\nComponents: main\n")
(state / "begun").touch()
for _ in range(3000):
    if (state / "asked").exists():
        break
    time.sleep(0.1)
time.sleep(5)
for path in kept.iterdir():
    shutil.copy2(path, sources / "sources.list.d")
(state / "boot-finished").touch()
time.sleep(2)
del lists
time.sleep(8)
FIRST_BOOT
chmod 755 /usr/local/sbin/first-boot
systemd-run --quiet --collect --unit=first-boot /usr/local/sbin/first-boot
until [ -e /var/lib/cloud/instance/begun ]; do sleep .1; done
