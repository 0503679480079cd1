"""Runs a program without a network: `python -m springboard.system.apart COMMAND...`.

What PrivateNetwork is on a host, for a laptop: a network namespace of its own, in a user namespace, since
nobody is root there. In it is nothing but an own loopback, so neither does the program reach anything, nor
anybody its ports. Where the system does not let us (macOS, most containers, Ubuntu's AppArmor), the program
runs as it is.
"""

import ctypes
import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

COMMAND = [sys.executable, "-m", "springboard.system.apart"]
# linux/sched.h, linux/sockios.h and linux/if.h.
_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def leave() -> str:
    """Leave the network for an own loopback; return why that is not possible, or nothing."""
    if sys.platform != "linux":
        return f"{sys.platform} has no network namespaces"
    if Path("/proc/driver/nvidia").exists() and not Path("/dev/nvidia-uvm").exists():
        # CUDA's first user has it made by a program with rights that there are none of in a namespace.
        return "/dev/nvidia-uvm is not there yet"
    user, group = os.geteuid(), os.getegid()
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        return f"unshare: {os.strerror(ctypes.get_errno())}"
    # Who one is stays the same; without this one would be nobody.
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
    return ""


def _tried() -> str:
    """Return what keeps a child from leaving: half way out there would be no way back for us."""
    reading, writing = os.pipe()
    if not (child := os.fork()):
        try:
            why = leave()
        except OSError as error:
            why = str(error)
        os.write(writing, why.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as said:
        return said.read()


def main() -> None:
    """Become the program."""
    if why := _tried() or leave():
        print(f"TorchServe keeps the network ({why})", file=sys.stderr, flush=True)  # noqa: T201 - into its log
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - that is what this is for


if __name__ == "__main__":
    main()
