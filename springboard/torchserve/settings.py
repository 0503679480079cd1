"""What a TorchServe process is told by its environment; config.properties holds what is alike for all."""

from dataclasses import dataclass
from pathlib import Path

from springboard.endpoint.names import MODEL


@dataclass(frozen=True)
class Ports:
    """A TorchServe's ports on loopback. Its workers take `worker` and what follows, one each."""

    worker: int
    inference: int
    management: int
    metrics: int
    grpc_inference: int
    grpc_management: int


def url(port: int) -> str:
    """Return the address of a port on loopback: TorchServe is unmaintained and never listens elsewhere."""
    return f"http://127.0.0.1:{port}"


def environment(java_home: str, work: Path, archive: str, ports: Ports) -> dict[str, str]:
    """Return the settings of one release's TorchServe.

    `archive` is a file in its model store. `work` is a folder of its own: two TorchServes on one machine must
    share neither ports nor TEMP, which takes their sockets and process ids.
    """
    return {
        "JAVA_HOME": java_home,
        "TEMP": str(work),
        "LOG_LOCATION": str(work),
        "METRICS_LOCATION": str(work),
        "TS_LOAD_MODELS": f"{MODEL}={archive}",
        "TS_INFERENCE_ADDRESS": url(ports.inference),
        "TS_MANAGEMENT_ADDRESS": url(ports.management),
        "TS_METRICS_ADDRESS": url(ports.metrics),
        "TS_GRPC_INFERENCE_PORT": str(ports.grpc_inference),
        "TS_GRPC_MANAGEMENT_PORT": str(ports.grpc_management),
        "TS_INITIAL_WORKER_PORT": str(ports.worker),
    }
