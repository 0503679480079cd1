"""What systemd hands to a service and hears from it (sd_listen_fds(3), sd_notify(3)), without its library."""

import logging
import os
import socket

log = logging.getLogger("springboard.systemd")

_FIRST_FD = 3
_TELL_SECONDS = 1.0


def take_socket() -> socket.socket | None:
    """Return the listening TCP socket that systemd opened for this process, None when there is none.

    systemd keeps it open while we restart, so that no connection is refused: our successor takes the backlog.
    Raises ValueError when what was handed over is something else.
    """
    if os.environ.pop("LISTEN_PID", "") != str(os.getpid()):
        return None
    count = os.environ.pop("LISTEN_FDS", "0")
    if count != "1":
        raise ValueError(f"systemd handed over {count} sockets; the .socket unit must have one ListenStream=")
    try:
        taken = socket.socket(fileno=_FIRST_FD)
    except OSError as error:
        raise ValueError(
            f"LISTEN_FDS is set, and what was handed over is no socket: {error.strerror}"
        ) from error
    if taken.family not in (socket.AF_INET, socket.AF_INET6) or taken.type != socket.SOCK_STREAM:
        raise ValueError("systemd handed over something else than a TCP socket; give ListenStream= a port")
    taken.set_inheritable(False)
    taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return taken


def notify(state: str) -> None:
    """Tell systemd, where a unit of `Type=notify` runs us: `READY=1`, `STOPPING=1`.

    Where it cannot be told that is logged: callers are served all the same.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_TELL_SECONDS)  # a full socket that nobody reads blocks for ever
            # A name that begins with @ is in Linux's abstract namespace.
            sender.connect("\0" + address[1:] if address.startswith("@") else address)
            sender.sendall(state.encode())
    except OSError as error:
        log.warning(
            "cannot tell systemd %s: NOTIFY_SOCKET is %r: %s; unset it outside of a unit of Type=notify",
            state,
            address,
            error.strerror or error,
        )
