"""The page's files: read once, each with its type, its packed form and its tag."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_STATIC = Path(__file__).with_name("static")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".mp4": "video/mp4",
}
# In a document: where the address of its files goes, and where its modules are named, to be fetched at once
# and not one after the other as each is found to import the next.
_ASSETS, _PRELOAD = "{{assets}}", "{{preload}}"
_FOR_ALL = ("shared", "vendor")


@dataclass(frozen=True)
class File:
    """What goes out for one path; `packed` is its gzip, None where that is hardly smaller."""

    body: bytes
    packed: bytes | None
    media_type: str
    tag: str


@dataclass(frozen=True)
class Files:
    """The documents by name, and what they load from `page/{version}/`.

    `version` is the hash of every byte, so a document loads only what it was made with.
    """

    version: str
    documents: dict[str, File]
    assets: dict[str, File]


@cache
def load() -> Files:
    """Read what browsers may load: files of the types above."""
    found = {
        path.relative_to(_STATIC).as_posix(): path.read_bytes()
        for path in sorted(_STATIC.rglob("*"))
        if path.suffix in _TYPES
    }
    whole = hashlib.sha256()
    for name, content in found.items():
        whole.update(b"%s\0%d\0%s" % (name.encode(), len(content), content))
    version = whole.hexdigest()[:16]
    documents = {Path(name).stem: content for name, content in found.items() if name.endswith(".html")}
    assets = {name: content for name, content in found.items() if not name.endswith(".html")}
    return Files(
        version,
        {name: _file(".html", _completed(name, text, version, assets)) for name, text in documents.items()},
        {name: _file(Path(name).suffix, content) for name, content in assets.items()},
    )


def _completed(name: str, document: bytes, version: str, assets: dict[str, bytes]) -> bytes:
    """Return a document with the addresses of its files in it."""
    base = f"page/{version}"
    modules = [a for a in assets if a.endswith(".js") and a.partition("/")[0] in (name, *_FOR_ALL)]
    links = "\n".join(f'<link rel="modulepreload" href="{base}/{module}">' for module in modules)
    return document.decode().replace(_ASSETS, base).replace(_PRELOAD, links).encode()


def _file(suffix: str, content: bytes) -> File:
    packed = gzip.compress(content, 9, mtime=0)
    return File(
        content,
        packed if len(packed) < 0.9 * len(content) else None,
        _TYPES[suffix],
        hashlib.sha256(content).hexdigest()[:16],
    )
