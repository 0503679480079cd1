"""Keeps what Python compiles of the zip files that Ansible's modules come in.

Each task brings fifty modules as source, and zipimport keeps nothing: half of a task's time. Python imports
this by its name, on test hosts and for plays on this machine. What is kept is found by its content, so
nothing old is taken for new.
"""

import gc
import os
import sys
import zipimport
from types import CodeType

FOLDER = os.environ.get("COMPILED_FOLDER", "/var/cache/compiled")
_compile = zipimport._compile_source  # type: ignore[attr-defined]  # where all its code comes from


def _kept(pathname: str, source: bytes) -> CodeType:
    import hashlib
    import marshal

    gc.disable()  # a module ends before there is garbage; looking for it was a quarter of its time
    path = f"{FOLDER}/{sys.hexversion:x}-{hashlib.sha256(source).hexdigest()}"
    try:
        with open(path, "rb") as kept:
            return marshal.load(kept)  # type: ignore[no-any-return]
    except OSError:
        code: CodeType = _compile(pathname, source)
    try:
        with open(f"{path}.{os.getpid()}", "xb") as draft:
            marshal.dump(code, draft)
        os.rename(draft.name, path)
    except OSError:
        pass  # not ours to write: compiled again next time
    return code


zipimport._compile_source = _kept  # type: ignore[attr-defined]
