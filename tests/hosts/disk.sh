#!/usr/bin/env bash
# Gives a test host a disk with a partition that is the root of what runs by `at_root`, and has the disk grow. A node may
# not resize what is mounted (CAP_SYS_RESOURCE): resize2fs says what it would do, and the file system is resized later.
set -e
[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
for number in $(seq 0 63); do [ -e "/dev/loop$number" ] || mknod "/dev/loop$number" b 7 "$number"; done
truncate -s 200M /disk.img
printf 'label: gpt\n2048,100MiB,L\n' | sfdisk -q /disk.img
loop=$(losetup -f --partscan --show /disk.img)
trap 'losetup -d "$loop"' EXIT  # once it is used no more
partx -a "$loop"
part=${loop}p1
IFS=: read -r major minor <"/sys/class/block/${part#/dev/}/dev"
mknod "$part" b "$major" "$minor"
mkfs.ext4 -q -b 4096 "$part"
mkdir /disk
mount "$part" /disk
for folder in dev etc home proc root run sys tmp usr var; do
  mkdir /disk/$folder; mount --rbind --make-rslave /$folder /disk/$folder
done
for link in bin lib lib64 sbin; do ln -s usr/$link /disk/$link; done
# Modules stay in there: who else runs them (tests/stands/compiled) has another root.
printf '#!/bin/sh\nexport MODULES_SERVER=\nexec chroot /disk /usr/bin/python3 "$@"\n' >/usr/local/bin/at_root
cat >/usr/local/sbin/resize2fs <<'SAID'
#!/bin/sh
echo "$1" >>/asked
[ "$(wc -l </asked)" = 1 ] && echo "The filesystem on $1 is now 102139 (4k) blocks long." ||
  echo "The filesystem is already 102139 (4k) blocks long.  Nothing to do!"
SAID
chmod +x /usr/local/bin/at_root /usr/local/sbin/resize2fs
truncate -s 400M /disk.img
losetup -c "$loop"
echo "$part"
