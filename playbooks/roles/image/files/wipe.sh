#!/bin/sh
# Takes from a host what is its own, so that its disk can be that of many hosts: callers' keys, what it serves, what it
# has stored, and who it is. The programs, the settings and the releases stay. Run as root, as the last thing done there:
# nobody can log in any more, and its next boot is another host's first.
set -eu
there() { for one; do if [ -e "$one" ]; then printf '%s\n' "$one"; fi; done; }

# What would write some of it anew. What runs at boot stays enabled.
systemctl stop 'springboard-*.timer' 'springboard-*.path' 'springboard-*.socket' 'springboard-*.service' \
  'torchserve@*.service' 'rsyslog.service' 'syslog.socket' 'systemd-random-seed.service' || true
# One that nobody calls tries no releases for a fleet; a fleet's hosts turn it on again.
if [ -e /etc/systemd/system/springboard-agent.service ]; then systemctl disable springboard-agent.service; fi
left=$(systemctl list-units --plain --no-legend --state=active,activating,deactivating 'springboard-*' 'torchserve@*')
if [ -n "$left" ]; then
  printf 'still at work: %s\n' "$left" >&2
  exit 1
fi

# Keys and documents: all but what Ansible writes for every host alike, which may have been in memory up to here. A
# front that has nothing to serve says so.
cp -p /etc/springboard/host.yml /run/springboard-host.yml
if mountpoint --quiet /etc/springboard; then umount /etc/springboard; fi
find /etc/springboard -mindepth 1 -delete
mv /run/springboard-host.yml /etc/springboard/host.yml
(umask 077 && echo '{}' >/etc/springboard/keys.json)
echo 'variants: []' >/etc/springboard/endpoint.yml
# What it serves and has served, its jobs, its captures, the truths: all but copies of releases.
find /etc/systemd/system -name 'torchserve@?*.service' -type l -delete
rm -rf /etc/systemd/system/torchserve@?*.service.d
find /var/lib/springboard -mindepth 1 -maxdepth 1 ! -name releases ! -name patched -exec rm -rf {} +
mkdir -m 755 /var/lib/springboard/instances
there /var/lib/springboard-* | while read -r folder; do find "$folder" -mindepth 1 -delete; done
rm -f /var/lib/prometheus/node-exporter/springboard_*.prom
# Certificates, credentials, and what people typed and left.
rm -rf /etc/nginx/springboard /etc/letsencrypt /root/.aws /home/*/.aws /root/.ansible /var/crash/* /var/lib/systemd/coredump/*
rm -f /root/.*history /home/*/.*history /root/.lesshst /home/*/.lesshst /root/.viminfo /home/*/.viminfo
find /tmp /var/tmp -xdev -mindepth 1 ! -path '/tmp/systemd-private-*' ! -path '/var/tmp/systemd-private-*' -delete

# Who it is. An empty id is a new one at the next boot; with none, or cloud-init's "uninitialized", systemd would besides
# enable every unit that its presets name: https://www.freedesktop.org/software/systemd/man/latest/machine-id.html
if command -v cloud-init >/dev/null; then cloud-init clean --logs; fi
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id /var/lib/systemd/random-seed /var/lib/systemd/credential.secret /var/lib/dhcp/*.leases
# From here on the journal is in memory, and so is what is told as it shuts down.
journalctl --relinquish-var
rm -rf /var/log/journal/*
find /var/log -type f \( -name '*.gz' -o -name '*.[0-9]' \) -delete
find /var/log -type f -exec truncate --size=0 {} +
rm -f /etc/ssh/ssh_host_*
there /root/.ssh /home/*/.ssh | while read -r folder; do find "$folder" -mindepth 1 -delete; done
sync
