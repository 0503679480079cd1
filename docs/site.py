"""Puts the pages, and what they show or link to, into build/pages for the site: `make docs-site`.

They keep their places in the tree, so their relative links hold on a forge and in the site.
"""

import shutil

from springboard.system.checkout import ROOT

SHOWN = (
    "*.md",
    "LICENSE",
    "docs/*.md",
    "docs/*.png",
    "docs/*.svg",
    "docs/reference/*.md",
    "monitoring/runbooks/*.md",
    "monitoring/*.png",
    "demo/*.png",
    "demo/weights/*.md",
)


def main() -> None:
    """Copy what is shown, anew."""
    pages = ROOT / "build" / "pages"
    shutil.rmtree(pages, ignore_errors=True)
    for pattern in SHOWN:
        for file in ROOT.glob(pattern):
            target = pages / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)


if __name__ == "__main__":
    main()
