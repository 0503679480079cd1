"""How the edges' certificates are known: a host's own where it is self-signed, else an authority; by name."""

import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from springboard.system.ports import free_ports
from tests.monitoring.parts import daemon, render
from tests.stands.certificates import NAME, certificate

pytestmark = pytest.mark.usefixtures("tools")


@contextmanager
def edge(chain: Path, key: Path) -> Iterator[int]:
    """Answer 200 over TLS on loopback; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(handler) -> None:  # noqa: N805
            handler.send_response(200)
            handler.end_headers()

        def log_message(handler, *_: object) -> None:  # noqa: N805
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def issued(folder: Path) -> Path:
    """Make an authority, ca.pem, and a certificate of it for NAME; return the latter."""
    certificate(folder)
    for arguments in (
        (
            "req",
            "-new",
            "-key",
            "key.pem",
            "-subj",
            "/CN=x",
            "-addext",
            f"subjectAltName=DNS:{NAME}",
            "-out",
            "csr",
        ),
        (
            "x509",
            "-req",
            "-in",
            "csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "key.pem",
            "-copy_extensions",
            "copy",
            "-out",
        ),
    ):
        command = ["openssl", *arguments, *(["given.pem"] if arguments[-1] == "-out" else [])]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "given.pem"


def rendered(folder: Path, port: int, host: str, shown: Path, **variables: Any) -> dict[str, Any]:
    """Return the prober's modules and Prometheus' jobs, both found good, for one watched host."""
    settings = {"prometheus_hosts": [host], "prometheus_edge_port": port, "_prometheus_folder": str(folder)}
    own = {"ansible_host": "127.0.0.1", "edge_certificate": str(shown)}
    render(folder, {**settings, **variables}, **{host: own})
    subprocess.run(
        ["promtool", "check", "config", folder / "prometheus.yml"], check=True, capture_output=True
    )
    jobs = yaml.safe_load((folder / "prometheus.yml").read_text())["scrape_configs"]
    return {job["job_name"]: job for job in jobs}


def probe(folder: Path, port: int, module: str) -> bool:
    """Whether the prober is content with the edge."""
    (at,) = free_ports(1)
    prober: list[str | Path] = [
        "prometheus-blackbox-exporter",
        f"--config.file={folder}/blackbox.yml",
        f"--web.listen-address=127.0.0.1:{at}",
    ]
    with daemon(folder, prober, f"http://127.0.0.1:{at}/-/healthy"):
        asked = {"module": module, "target": f"https://127.0.0.1:{port}/ping"}
        page = httpx.get(f"http://127.0.0.1:{at}/probe", params=asked).text
    return "\nprobe_success 1\n" in page


def test_a_host_that_watches_itself_needs_no_settings(tmp_path: Path) -> None:
    certificate(tmp_path)
    with edge(tmp_path / "ca.pem", tmp_path / "key.pem") as port:
        jobs = rendered(tmp_path, port, "watcher", tmp_path / "ca.pem")
        assert jobs["springboard"]["static_configs"] == [
            {"targets": ["127.0.0.1:8080"], "labels": {"host": "watcher"}}
        ]
        (target,) = jobs["probe"]["static_configs"]
        assert target["labels"]["__module"] == "ping watcher"
        assert probe(tmp_path, port, "ping watcher")
        assert not probe(tmp_path, port, "ping"), "others are not trusted by it"


def test_another_host_with_a_self_signed_certificate_needs_none_either(tmp_path: Path) -> None:
    certificate(tmp_path)
    with edge(tmp_path / "ca.pem", tmp_path / "key.pem") as port:
        jobs = rendered(tmp_path, port, "gpu1", tmp_path / "ca.pem")
        assert jobs["springboard gpu1"]["tls_config"] == {
            "ca_file": f"{tmp_path}/gpu1.pem",
            "server_name": NAME,
        }
        assert (tmp_path / "gpu1.pem").read_text() == (tmp_path / "ca.pem").read_text()
        assert probe(tmp_path, port, "ping gpu1")


@pytest.mark.parametrize("host", ["gpu1", "watcher"])
def test_a_given_certificate_is_known_by_its_name_and_its_authority(tmp_path: Path, host: str) -> None:
    given = issued(tmp_path)
    with edge(given, tmp_path / "key.pem") as port:
        jobs = rendered(tmp_path, port, host, given)
        if host == "gpu1":
            assert jobs["springboard gpu1"]["tls_config"] == {"server_name": NAME}
        assert not probe(tmp_path, port, f"ping {host}"), "no public authority signed it"
        rendered(tmp_path, port, host, given, prometheus_tls_ca=str(tmp_path / "ca.pem"))
        assert probe(tmp_path, port, f"ping {host}")


def test_a_name_that_is_set_counts_more_than_the_certificates(tmp_path: Path) -> None:
    certificate(tmp_path)
    jobs = rendered(tmp_path, 443, "gpu1", tmp_path / "ca.pem", prometheus_tls_server_name="other.test")
    assert jobs["torchserve gpu1"]["tls_config"]["server_name"] == "other.test"
