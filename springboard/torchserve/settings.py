"""What a TorchServe process is told by its environment; config.properties holds what is alike for all."""

import sys
from pathlib import Path

from springboard.endpoint.names import MODEL
from springboard.system.ports import free_ports

# The addresses by which it is asked, as TS_<NAME>_ADDRESS; on Linux the names of its sockets.
ADDRESSES = ("inference", "management", "metrics")
# Its workers are called by numbers from this on, each of which is a socket in TEMP.
_WORKER = 19000
# sun_path, without the zero at its end; macOS has 104 bytes.
_LONGEST = 107 if sys.platform == "linux" else 103


def fits(sockets: Path, work: Path) -> bool:
    """Whether the paths of TorchServe's sockets, and of its workers' in its TEMP, are short enough."""
    paths = [*(sockets / name for name in ADDRESSES), work / f".ts.sock.{_WORKER}"]
    return all(len(bytes(path)) <= _LONGEST for path in paths)


def addresses(sockets: Path) -> dict[str, str]:
    """Return where a TorchServe listens, by the names of `ADDRESSES`: sockets in a folder of its own.

    Who may enter the folder may do all that TorchServe does, so nobody else can. Its jar has no sockets for
    other systems than Linux; there it takes free ports of loopback.
    """
    if sys.platform == "linux":
        return {name: f"unix:{sockets / name}" for name in ADDRESSES}
    ports = free_ports(len(ADDRESSES))
    return {name: f"http://127.0.0.1:{port}" for name, port in zip(ADDRESSES, ports, strict=True)}


def environment(java_home: str, work: Path, archive: str, at: dict[str, str]) -> dict[str, str]:
    """Return the settings of one release's TorchServe that listens `at` its `addresses`.

    `archive` is a file in its model store. `work` is a folder of its own: two TorchServes on one machine must
    not share TEMP, which takes their sockets and process ids. It opens ports for gRPC whatever it is told;
    nobody uses them, and PrivateNetwork or `springboard.system.apart` keeps everybody from them.
    """
    grpc = dict(zip(("INFERENCE", "MANAGEMENT"), free_ports(2), strict=True))
    return {
        "JAVA_HOME": java_home,
        "TEMP": str(work),
        "LOG_LOCATION": str(work),
        "METRICS_LOCATION": str(work),
        "TS_LOAD_MODELS": f"{MODEL}={archive}",
        **{f"TS_{name.upper()}_ADDRESS": address for name, address in at.items()},
        **{f"TS_GRPC_{name}_PORT": str(port) for name, port in grpc.items()},
        "TS_INITIAL_WORKER_PORT": str(_WORKER),
    }


def listens(environment: dict[str, str]) -> dict[str, str]:
    """Return the addresses in such settings; KeyError where one is missing."""
    return {name: environment[f"TS_{name.upper()}_ADDRESS"] for name in ADDRESSES}
