#!/usr/bin/env bash
# The Containerfile's image, by buildah, on a host's root filesystem as its base: no registry is asked.
#   image.sh build FOLDER ROOTFS   build it into the folder
#   image.sh config FOLDER         print what an engine reads of it, as JSON
#   image.sh run FOLDER MODEL NAME UID GID VARIABLE=VALUE... -- COMMAND...
#                                  become what an engine starts: PID 1, the root read-only, no network but its own
# Each needs a mount namespace of its own (unshare --mount): with it go the mounts.
set -euo pipefail
action=$1 folder=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=overlay
mkdir -p "$folder/run"
mount -t tmpfs tmpfs "$folder/run" # which mounts there are; none is left of who was before
buildah() { command buildah --root="$folder/storage" --runroot="$folder/run" "$@"; }

case $action in
  build)
    base=$(buildah from scratch)
    root=$(buildah mount "$base")
    cp -a "$1/." "$root/"
    # Each file is compiled when it is first needed: this image starts once.
    printf '[install]\nno-compile = yes\n' >>"$root/etc/pip.conf"
    buildah umount "$base" >/dev/null
    buildah commit -q --rm "$base" springboard-base
    binds=()
    while read -r one; do binds+=("--volume=$one:$one:ro"); done < <("$here/pip-folders.sh")
    buildah bud -q --network=host --pull-never --layers=false "${binds[@]}" \
      --build-arg=BASE=localhost/springboard-base -t springboard "$here/../.."
    umount "$folder/run" ;;
  config) buildah inspect --type=image localhost/springboard ;;
  run)
    model=$1 name=$2 uid=$3 gid=$4
    shift 4
    variables=()
    while [ "$1" != -- ]; do variables+=("--setenv=$1"); shift; done
    shift
    root=$(buildah mount "$(buildah from --pull-never localhost/springboard)")
    # nspawn alone has a socket to be notified at, and for root.
    exec systemd-nspawn --quiet -D "$root" --read-only --machine="$name" --register=no --keep-unit --console=pipe \
      --link-journal=no --resolv-conf=off --timezone=off --private-network \
      --bind-ro="$model:/opt/ml/model" "${variables[@]}" --chdir=/tmp \
      env --unset=NOTIFY_SOCKET setpriv --reuid="$uid" --regid="$gid" --clear-groups --no-new-privs -- "$@" ;;
esac
