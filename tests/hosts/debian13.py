"""A Debian 13 host from its first boot to a scored dive: `python -m tests.hosts.debian13`.

By hand, not by pytest: PyPI's torch for Python 3.13 is the CUDA build, which with its companions takes some
3 GB to fetch and 8 GB of disk. Where pip finds a CPU build (`--build cpu`) it takes that.
"""

import argparse
import json
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.hosts import harness, served, test_debian13
from tests.stands.waiting import wait_until


def main() -> None:
    """Print how long it took, what was scored, and what the release says that it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", choices=["cuda", "cpu"], default="cuda")
    build = parser.parse_args().build
    with (
        TemporaryDirectory() as folder,
        harness.session() as hosts,
        served.models(hosts, Path(folder)) as models,
    ):
        node = test_debian13.start(hosts, "debian13")
        node.metadata("host", "host-secret")
        given = {"springboard": [node], **served.settings(models), "springboard_torch_build": build}
        plays: list[tuple[str, dict[str, Any]]] = [("configure", {}), ("deploy", {"release": "1.0.0"})]
        for playbook, more in (*plays, ("configure", {})):
            play = hosts.play(f"{playbook}.yml", **given, **more)
            assert play.ok, play.output
            print(f"{playbook}: changed={play.count('changed')}", flush=True)
        token = node.run("springboard", "keys", "create", "--bearer", "tests").strip().rpartition("=")[2]
        caller = served.Caller(node, token)
        with closing(caller.client):
            wait_until(lambda: caller.knows(token), "the front to take over the key")
            print(node.sh("cat /opt/springboard/worker/current/runtime.json"), caller.score())
        print(json.loads(models.archives["1.0.0"].with_suffix(".json").read_text())["golden"])


if __name__ == "__main__":
    main()
