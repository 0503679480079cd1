"""What an archive is made of, before it is made: the same contents give the same key."""

import hashlib
from pathlib import Path

from springboard.system.checkout import ROOT
from springboard.system.files import sha256


def key_of(weights: Path, *more: str) -> str:
    """Return what tells an archive from others: names and contents of all that goes into it, and `more`.

    `weights` is a file or a folder. Raises OSError.
    """
    files = sorted(path for path in weights.iterdir() if path.is_file()) if weights.is_dir() else [weights]
    code = [path for path in sorted((ROOT / "model_handler").rglob("*")) if path.is_file()]
    parts = [(path.name, path) for path in files]
    parts += [
        (str(path.relative_to(ROOT)), path) for path in [*code, ROOT / "archive.sh"] if path.suffix != ".pyc"
    ]
    made_of = "".join(f"{name!r} {sha256(path)}\n" for name, path in parts)
    return hashlib.sha256("".join([made_of, *more]).encode()).hexdigest()[:16]
