"""The served OpenAPI document, tried by schemathesis."""

import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.stands.environments import installed
from tests.stands.front import FrontProcess

pytestmark = pytest.mark.xdist_group("front")


def test_schemathesis_finds_no_500_and_nothing_undeclared(front: FrontProcess, tmp_path: Path) -> None:
    run = subprocess.run(
        [
            str(installed(pip=["schemathesis==4.32.5"]) / "bin/schemathesis"),
            "run",
            f"{front.url}/openapi.json",
            "--checks=not_a_server_error,status_code_conformance,content_type_conformance,"
            "response_schema_conformance,response_headers_conformance",
            "--phases=examples,coverage,fuzzing",
            "--max-examples=25",
            "--seed=1",
            "--request-timeout=30",
            "--suppress-health-check=all",
            "--no-color",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]


def test_docs_show_every_route(front: FrontProcess) -> None:
    page = httpx.get(f"{front.url}/docs").text
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert any("swagger-ui" in asset for asset in assets)
    for asset in assets:  # all of them our own: the page works without the internet
        assert httpx.get(front.url + asset).status_code == 200
    paths = httpx.get(f"{front.url}/openapi.json").json()["paths"]
    assert set(paths) == {
        "/ping",
        "/invocations",
        "/aqa",
        "/predictions/{model}",
        "/predictions/{model}/{version}",
        "/endpoints/{name}/invocations",
        "/endpoints/{name}/invocations-response-stream",
        "/endpoints/{name}/async-invocations",
        "/endpoints/{name}/jobs/{inference_id}",
        "/endpoints/{name}/uploads",
        "/endpoints/{name}/truth",
        "/endpoints/{name}",
        "/endpoints/{name}/requests/{inference_id}",
        "/metrics",
        "/metrics/torchserve",
    }
