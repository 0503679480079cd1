"""A line of shell where a unit runs: as its user, in its sandbox, with its network."""

from tests.hosts.harness import Node


def as_unit(node: Node, unit: str, command: str) -> str:
    """Run a line of shell in a copy of a unit: its user, its sandbox, its network."""
    name, at, instance = unit.removesuffix(".service").partition("@")
    copy = f"/etc/systemd/system/probe{at}.service"
    probe = "[Service]\nType=oneshot\nRestart=no\nStandardOutput=truncate:/run/probe.out\n"
    probe += "ExecStartPre=\nExecStart=\nExecStart=/bin/sh /probe.sh\n"
    node.run("sh", "-c", "cat > /probe.sh", input=command)
    node.sh(f"mkdir -p {copy}.d && cp /etc/systemd/system/{name}{at}.service {copy}")
    node.run("sh", "-c", f"cat > {copy}.d/probe.conf", input=probe)
    node.sh(f"systemctl daemon-reload && systemctl start 'probe{at}{instance}.service' || true")
    return node.run("cat", "/run/probe.out")
