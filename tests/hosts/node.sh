#!/usr/bin/env bash
# Throw-away hosts: systemd as PID 1 in systemd-nspawn, each in a network namespace of its own.
#   node.sh up NAME OCTET [LAYER]   boot from ROOTFS (or a frozen LAYER over it), wait for sshd
#   node.sh sh NAME COMMAND...      run COMMAND as root inside
#   node.sh reboot NAME             reboot in order, wait for sshd
#   node.sh freeze NAME LAYER       shut down in order; what the node changed becomes the folder LAYER
#   node.sh down NAME               pull the plug, remove everything made
#   node.sh clean                   all nodes down, then the network and the folder itself
# Environment: NODE_BASE (a folder for the session), NODE_ROOTFS, NODE_KEY (public ssh key), NODE_ID (1 to 254: the
# bridge nodes<ID> with 10.213.<ID>.1/24 exists), NODE_COMPILED (a folder that all nodes write, see tests/stands/compiled).
# A node has eth0 10.213.<ID>.<OCTET> (to this machine and other nodes) and tap0 (outbound, through user-mode NAT;
# no ip_forward and no NAT rule here). To it, this machine is s3.test, whatever the network.
set -euo pipefail
base=${NODE_BASE:?} id=${NODE_ID:?}
here=$(cd "$(dirname "$0")" && pwd)
bridge=nodes$id net=10.213.$id
action=$1 name=${2:-}
dir=$base/nodes/$name space=node$id-$name

cgroups() { # the node's own cgroup in every hierarchy that is delegated to it
  while IFS=: read -r _ controller path; do
    case $controller in
      '') mount=/sys/fs/cgroup/unified; [ -d $mount ] || mount=/sys/fs/cgroup ;;
      name=systemd) mount=/sys/fs/cgroup/systemd ;;
      memory | pids | cpu | cpuacct) mount=/sys/fs/cgroup/$controller ;;
      *) continue ;;
    esac
    echo "$mount${path%/}/$space"
  done </proc/self/cgroup
}

running() { kill -0 "$(cat "$dir/nspawn.pid" 2>/dev/null)" 2>/dev/null; }
leader() { pgrep -P "$(cat "$dir/container.pid")" | head -1; }

up() {
  local octet=$1 layer=${2:-}
  mkdir -p "$dir"/{upper,work,root}
  mount -t overlay overlay -o "lowerdir=${layer:+$layer:}$NODE_ROOTFS,upperdir=$dir/upper,workdir=$dir/work" "$dir/root"
  echo "$name" >"$dir/root/etc/hostname"
  cp /etc/resolv.conf "$dir/root/etc/resolv.conf"
  printf '127.0.0.1 localhost\n%s %s\n%s s3.test\n' "$net.$octet" "$name" "$net.1" >"$dir/root/etc/hosts"
  install -m600 -o 1000 -g 1000 "$NODE_KEY" "$dir/root/home/ubuntu/.ssh/authorized_keys"
  ip netns add "$space"
  ip link add "ve$id-$octet" type veth peer name eth0 netns "$space"
  ip link set "ve$id-$octet" master "$bridge" up
  ip -n "$space" addr add "$net.$octet/24" dev eth0
  ip -n "$space" link set eth0 up
  ip -n "$space" link set lo up
  setsid slirp4netns --configure --mtu=65520 --netns-type=path "/run/netns/$space" tap0 \
    </dev/null >"$dir/slirp.log" 2>&1 &
  echo $! >"$dir/slirp.pid"
  cgroups >"$dir/cgroups"
  mkdir -p "$NODE_COMPILED"
  local binds=("--bind=$NODE_COMPILED:/var/cache/compiled")
  while read -r folder; do binds+=("--bind-ro=$folder"); done < <("$here/pip-folders.sh")
  # Own cgroups first, then the container; status 133 is the guest asking for a reboot.
  cat >"$dir/run.sh" <<RUN
#!/bin/bash
while read -r c; do mkdir -p \$c; echo \$\$ >\$c/cgroup.procs; done <$dir/cgroups
trap 'stop=1; kill -TERM \$pid' TERM
while :; do
  SYSTEMD_NSPAWN_TMPFS_TMP=0 SYSTEMD_NSPAWN_API_VFS_WRITABLE=network systemd-nspawn --quiet -D $dir/root \\
    --machine=$space --hostname=$name --register=no --keep-unit --console=pipe --link-journal=no --resolv-conf=off \\
    --timezone=off --kill-signal=SIGRTMIN+3 --capability=CAP_NET_ADMIN,CAP_BPF,CAP_PERFMON --system-call-filter=bpf \\
    --network-namespace-path=/run/netns/$space ${binds[*]} /sbin/node-init </dev/null & pid=\$!
  echo \$pid >$dir/container.pid
  wait \$pid; rc=\$?
  while kill -0 \$pid 2>/dev/null; do wait \$pid; rc=\$?; done
  [ \$rc = 133 ] && [ -z "\$stop" ] || exit \$rc
done
RUN
  chmod +x "$dir/run.sh"
  setsid "$dir/run.sh" </dev/null >"$dir/console.log" 2>&1 &
  echo $! >"$dir/nspawn.pid"
  booted "$octet" none
}

booted() { # wait for sshd of another PID 1 than that one
  for _ in $(seq 3000); do
    [ "$(leader || true)" = "$2" ] || ! (exec 3<>"/dev/tcp/$net.$1/22") 2>/dev/null || return 0
    running || break
    sleep .1
  done
  echo "node $name did not boot:" >&2
  tail -20 "$dir/console.log" >&2
  exit 1
}

# Nothing asks inside meanwhile: a shutdown stops all that runs there, nsenter stops with its child, and what nobody
# wakes keeps the node from ending.
reboot() {
  local before octet
  before=$(leader)
  octet=$(ip -n "$space" -4 -o addr show eth0 | sed -E 's/.*inet [0-9.]*\.([0-9]+)\/.*/\1/')
  (inside systemctl reboot)
  booted "$octet" "$before"
}

inside() {
  local pid
  pid=$(leader)
  exec nsenter -t "$pid" -m -u -i -p -n -C --root="/proc/$pid/root" --wd="/proc/$pid/root" \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"
}

remove() { # what is left of a node that no longer runs
  [ ! -e "$dir/slirp.pid" ] || kill "$(cat "$dir/slirp.pid")" 2>/dev/null || true
  for pid in $(ip netns pids "$space" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null || true; done
  ip netns del "$space" 2>/dev/null || true # takes its end of the veth pair along, and so the pair
  umount "$dir/root" 2>/dev/null || umount -l "$dir/root" 2>/dev/null || true
  if [ -e "$dir/cgroups" ]; then
    while read -r cgroup; do
      [ ! -d "$cgroup" ] || find "$cgroup" -depth -type d -exec rmdir {} \; 2>/dev/null || true
    done <"$dir/cgroups"
  fi
  rm -rf "$dir"
}

down() {
  if running; then
    kill -TERM "$(cat "$dir/nspawn.pid")" 2>/dev/null || true # so that it does not take this for a reboot
    kill -KILL "$(leader)" 2>/dev/null || true
    for _ in $(seq 300); do running || break; sleep .1; done
    ! running || kill -KILL "$(cat "$dir/container.pid")" "$(cat "$dir/nspawn.pid")" 2>/dev/null || true
  fi
  remove
}

freeze() {
  kill -TERM "$(cat "$dir/nspawn.pid")"
  for _ in $(seq 1800); do running || break; sleep .1; done
  ! running || { echo "node $name does not shut down" >&2; exit 1; }
  umount "$dir/root"
  mv "$dir/upper" "$1"
  remove
}

case $action in
  up) up "$3" "${4:-}" ;;
  sh) shift 2; inside "$@" ;;
  reboot) reboot ;;
  freeze) freeze "$3" ;;
  down) down ;;
  clean)
    for dir in "$base"/nodes/*/; do
      dir=${dir%/} name=$(basename "$dir") space=node$id-$name
      [ ! -d "$dir" ] || down
    done
    ip link del "$bridge" 2>/dev/null || true
    rm -rf "$base" ;;
  *) sed -n '2,10s/^# //p' "$0"; exit 2 ;;
esac
