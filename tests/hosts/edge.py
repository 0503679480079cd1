"""A host with an edge, and a real front behind it, for tests."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
from botocore.config import Config

from springboard.auth import keys
from springboard.torchserve.process import TorchServe
from tests.hosts.harness import Hosts, Node, Play
from tests.stands.front import FrontProcess, write_endpoint
from tests.stands.release import build_puppet
from tests.stands.waiting import wait_until

MAX_BODY = 1_000_000
SETTINGS: dict[str, Any] = {
    "role": "edge",
    "edge_max_body_bytes": MAX_BODY,
    "edge_upload_idle_seconds": 3,
}


class NodeFront(FrontProcess):
    """A front with the test machine's files and the node's network."""

    def __init__(self, node: Node, *arguments: str | Path) -> None:
        super().__init__(*arguments)
        space = f"node{node.hosts.number}-{node.name}"
        self._command = ["ip", "netns", "exec", space, *self._command, "--port", "8080"]


@dataclass
class Edge:
    """A host with an edge and a self-signed certificate, a front behind it, and the keys it takes."""

    hosts: Hosts
    node: Node
    front: NodeFront
    key: keys.AccessKey
    token: str
    plays: dict[str, Play] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"https://{self.node.address}"

    @property
    def pem(self) -> Path:
        """What the host serves with, to be trusted by this test's clients."""
        path = self.hosts.base / "edge.pem"
        path.write_text(self.node.sh("cat /etc/nginx/springboard/self-signed.pem"))
        return path

    def client(self) -> httpx.Client:
        trust = ssl.create_default_context(cafile=str(self.pem))
        return httpx.Client(
            base_url=self.url, verify=trust, timeout=90, headers={"Authorization": f"Bearer {self.token}"}
        )

    def boto3(self, secret: str = "") -> Any:
        return boto3.client(
            "sagemaker-runtime",
            endpoint_url=self.url,
            verify=str(self.pem),
            region_name="eu-central-1",
            aws_access_key_id=self.key.access_key_id,
            aws_secret_access_key=secret or self.key.secret_access_key,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def play(self, check: bool = False, **more: Any) -> Play:
        return self.hosts.play(
            "../tests/hosts/role.yml", check=check, springboard=[self.node], **{**SETTINGS, **more}
        )

    def log(self, request_id: str) -> dict[str, Any]:
        """The access log's line of a request, once the journal has it."""
        found: list[dict[str, Any]] = []

        def read() -> bool:
            lines = self.node.sh("journalctl -t springboard_edge -o cat").splitlines()
            logged = [json.loads(line) for line in lines if line.startswith("{")]
            found.extend(line for line in logged if line["request_id"] == request_id)
            return bool(found)

        wait_until(read, f"the log of {request_id}")
        return found[0]


@contextmanager
def running_edge(hosts: Hosts, folder: Path) -> Iterator[Edge]:
    """Configure a fresh host in check mode, for real and again, and wait until it scores."""
    key, token = (
        keys.create_access_key(folder / "keys.json", "app"),
        keys.create_token(folder / "keys.json", "ci"),
    )
    with TorchServe(build_puppet(folder / "puppet", workers=2)) as server:
        file = write_endpoint(
            folder / "endpoint.yml",
            [("stable", server, 1)],
            limits={"max_body_bytes": MAX_BODY, "upload_idle_seconds": 3},
        )
        node = hosts.start("edge")
        node.sh("apt-get update -q")  # base's work
        options: list[str | Path] = [
            "--auth",
            "sigv4",
            "--auth",
            "bearer",
            "--keys-file",
            folder / "keys.json",
        ]
        with NodeFront(node, "--endpoint-file", file, *options) as front:
            edge = Edge(hosts, node, front, key, token)
            for name, check in (("check", True), ("first", False), ("second", False)):
                edge.plays[name] = edge.play(check)
                assert edge.plays[name].ok, edge.plays[name].output
            with edge.client() as client:
                wait_until(lambda: client.get("/ping").status_code == 200, "the front to be ready")
            yield edge
        node.stop()


def served(edge: Edge) -> str:
    """The certificate that the host shows: nginx takes another one a moment after it was told of it."""
    return ssl.get_server_certificate((edge.node.address, 443)).strip()
