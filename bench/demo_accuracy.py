"""The demo model's figures on held-out rendered dives, through the REST API of a running server.

python -m bench.demo_accuracy                     archives demo/weights and serves it for the time being
python -m bench.demo_accuracy --url URL           asks a server that already runs
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from demo.client import ask_about
from demo.dataset import render_dataset
from demo.figures import figures
from demo.labels import read_labels
from springboard.system.checkout import ROOT
from springboard.torchserve import transport
from springboard.torchserve.process import TorchServe


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """Serve demo/weights from an archive in the folder and yield where it is asked."""
    command = ["./archive.sh", "--weights", "demo/weights", "--version", "0.0.1", "--out", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)
    with TorchServe(folder / "dive-0.0.1.mar") as torchserve:
        yield torchserve.predictions_url


def main() -> None:
    """Render the clips, ask about each, print the figures as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--url", help="where videos are posted, for example http://127.0.0.1:8090/invocations"
    )
    parser.add_argument("--dives", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--others", type=int, default=150, help="default: %(default)s")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, transport.client(timeout=60) as client:
        folder = Path(name)
        render_dataset(folder, train=(0, 0), held_out=(given.dives, given.others))
        labels = tqdm(read_labels(folder), desc="ask", unit="clip")
        if given.url:
            measured = figures(ask_about(client, given.url, labels))
        else:
            with _served(folder) as url:
                measured = figures(ask_about(client, url, labels))
    print(json.dumps({name: round(value, 4) for name, value in measured.items()}, indent=2))


if __name__ == "__main__":
    main()
