"""What an attacker on a host gets at: as a user of it, and as a worker that a video has taken over."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from tests.hosts import served
from tests.hosts.harness import Hosts, Node
from tests.hosts.sandbox import as_unit
from tests.hosts.served import Caller, Converged
from tests.stands.waiting import wait_until

INSTANCES = "/var/lib/springboard/instances"
# What else listens on hosts: prober, Prometheus, Alertmanager, Grafana, node exporter, the front, sshd, DNS.
PORTS = (9115, 9090, 9093, 3000, 9100, 8080, 22, 53)
ATTACK = """
import glob, http.client, json, os, socket, sys

def reached(family, address):
    try:
        with socket.socket(family) as knocking:
            knocking.settimeout(5)
            knocking.connect(address)
    except OSError:
        return False
    return True

def put(path):
    connection = http.client.HTTPConnection("torchserve")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(path)
    connection.request("PUT", "/models/dive/1.0.0?min_worker=0&max_worker=0")
    return connection.getresponse().status

def name(host):
    try:
        return socket.getaddrinfo(host, 80) and "found"
    except OSError:
        return ""

stable = "STABLE"
found = {"sockets": [], "ports": [], "put": [], "names": name("example.com"), "instances": []}
for path in [*(f"{stable}/sockets/{one}" for one in ("inference", "management", "metrics")),
             *glob.glob(f"{stable}/*/.ts.sock.*"),
             "/run/dbus/system_bus_socket", "/run/systemd/private", "/run/systemd/journal/socket",
             "/run/systemd/resolve/io.systemd.Resolve", "/run/nscd/socket"]:
    if reached(socket.AF_UNIX, path):
        found["sockets"].append(path)
listening = {int(line.split()[1].rpartition(":")[2], 16)
             for table in ("tcp", "tcp6") for line in open(f"/proc/net/{table}").readlines()[1:]
             if line.split()[3] == "0A"}
found["ports"] = sorted(port for port in {PORTS} | listening if reached(socket.AF_INET, ("127.0.0.1", port)))
found["metadata"] = reached(socket.AF_INET, ("169.254.169.254", 80))
for path in found["sockets"]:
    if path.startswith("/var/lib"):
        try:
            found["put"].append(put(path))
        except OSError:
            pass
try:
    found["instances"] = sorted(os.listdir("INSTANCES"))
except OSError:
    pass
print(json.dumps(found))
"""
Serving = tuple[Node, Caller, str]


@pytest.fixture(scope="module")
def host(hosts: Hosts, converged: Converged) -> Iterator[Serving]:
    """A host that serves, and what listens beside it there on other hosts; the instance's name."""
    node = hosts.start("boundary", converged.layer)
    try:
        caller = served.caller(node, converged)
        listen = "import socket, threading\n"
        listen += f"held = [socket.create_server(('127.0.0.1', port)) for port in {PORTS[:5]}]\n"
        node.run("sh", "-c", "cat > /listen.py", input=listen + "threading.Event().wait()\n")
        node.run("systemd-run", "--unit=others", "python3", "/listen.py")
        wait_until(lambda: node.succeeds("sh", "-c", "ss -ltn | grep -q :9115"), "the others to listen")
        with closing(caller.client):
            yield node, caller, node.run("ls", INSTANCES).strip()
    finally:
        node.stop()


def attack(host: Serving, run: Callable[[str], str]) -> dict[str, object]:
    """Return what the attacker got at, who runs a file with `run`."""
    node, caller, instance = host
    program = ATTACK.replace("STABLE", f"{INSTANCES}/{instance}").replace("INSTANCES", INSTANCES)
    node.run("sh", "-c", "cat > /attack.py", input=program.replace("{PORTS}", f"set({PORTS})"))
    found: dict[str, object] = json.loads(run("/attack.py").splitlines()[-1])
    assert caller.score()["model"]["version"] == "1.0.0", "it goes on serving"
    return found


def test_a_user_of_the_host_can_neither_order_torchserve_nor_score_past_the_front(host: Serving) -> None:
    node = host[0]
    found = attack(host, lambda file: node.run("runuser", "-u", "nobody", "--", "python3", file))
    # A user has the network; of TorchServe there is nothing in it.
    sockets = found["sockets"]
    assert isinstance(sockets, list)
    assert not [path for path in sockets if path.startswith(INSTANCES)]
    assert found["put"] == []
    java = node.sh("ss -ltnp").count("java")
    assert java == 0, "ports of TorchServe on the host's loopback"
    weights = "find /var/lib/springboard -type f -size +1M"
    assert ".mar" in node.sh(weights)
    assert node.sh(f"runuser -u nobody -- {weights} -readable 2>/dev/null || true") == ""


def test_a_worker_taken_over_reaches_no_other_instance_no_name_and_nobody_on_the_host(host: Serving) -> None:
    """In the sandbox of another instance, as a canary's worker would be."""
    node, _, instance = host
    other = "9.9.9_attack1"
    node.sh(
        f"cd {INSTANCES} && mkdir {other} && cp -a {instance}/torchserve.env {instance}/runtime {other} && "
        f"cp -a {instance}/sockets {other}/ && mkdir {other}/work {other}/model-store && "
        f"rm -f {other}/sockets/* && chown springboard-worker: {other}/work"
    )
    try:
        found = attack(
            host, lambda file: as_unit(node, f"torchserve@{other}.service", f"exec python3 {file}")
        )
    finally:
        node.sh(f"rm -r {INSTANCES}/{other}")
    assert found == {
        "sockets": [],
        "ports": [],
        "put": [],
        "names": "",
        "metadata": False,
        "instances": [other],
    }


def test_an_instance_whose_worker_took_its_workers_away_comes_back(host: Serving) -> None:
    """What is left to a worker is its own TorchServe, whose child it is."""
    node, caller, instance = host
    put = "curl -sf -X PUT --unix-socket sockets/management"
    command = f"cd {INSTANCES}/{instance} && {put} 'http://t/models/dive/1.0.0?min_worker=0&max_worker=0&synchronous=true'"
    as_unit(node, f"torchserve@{instance}.service", command)
    wait_until(lambda: not caller.serves(), "the front to miss the workers", 60)
    node.run("springboard", "tidy")
    caller.wait_serving()
    assert caller.score()["model"]["version"] == "1.0.0"
