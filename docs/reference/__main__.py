"""Writes the reference: `python -m docs.reference`, or `make docs`. With --check says what is out of date.

The pages are committed, so that they can be read without a site, and compared by a test.
"""

import argparse
import os
import sys
from pathlib import Path

from springboard.system.checkout import ROOT

HERE = Path(__file__).parent
WRITTEN = "<!-- Written by `make docs` from the code: edit that. -->\n\n"

# No machine that writes this needs a GPU: the front then reads the tests' stand-in for NVML.
sys.path.insert(0, str(ROOT / "tests" / "stands" / "nvml"))
os.environ["SPRINGBOARD_STAND_IN_XIDS"] = os.devnull


def pages() -> dict[str, str]:
    """Return every page's text by its file's name."""
    from docs.reference import alerts, api, clients, commands, documents, errors, metrics, variables

    made = {
        "endpoint.md": documents.endpoint(),
        "host.md": documents.host(),
        "channel.md": documents.channel(),
        "model-config.md": documents.model_config(),
        "errors.md": errors.page(),
        "api.md": api.page(),
        "clients.md": clients.page(),
        "commands.md": commands.page(),
        "metrics.md": metrics.page(),
        "alerts.md": alerts.page(),
        "variables.md": variables.page(),
    }
    index = "# Reference\n\nWritten from the code, so it says what the code does.\n\n"
    for name, text in made.items():
        title, _, about = text.removeprefix("# ").partition("\n\n")
        index += f"- [{title}]({name}): {about.split('. ')[0].split(chr(10) * 2)[0].rstrip('.')}.\n"
    return {name: WRITTEN + text.rstrip() + "\n" for name, text in {"README.md": index, **made}.items()}


def main() -> int:
    """Write the pages, or compare them with what lies here; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m docs.reference")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail where a page is not as made"
    )
    check = parser.parse_args().check
    made = pages()
    present = {path.name: path.read_text(encoding="utf-8") for path in HERE.glob("*.md")}
    stale = [name for name in made.keys() | present.keys() if made.get(name) != present.get(name)]
    if check and stale:
        print(f"docs/reference is not what the code says ({', '.join(sorted(stale))}); run: make docs")
        return 1
    for name in stale:
        (HERE / name).unlink(missing_ok=True)
        if name in made:
            (HERE / name).write_text(made[name], encoding="utf-8")
    return 0


sys.exit(main())
