"""Keeps what Python compiles of the zip files that Ansible's modules come in, and hands over whole modules.

Each task brings fifty modules as source, and zipimport keeps nothing: half of a task's time. Python imports
this by its name, on test hosts and for plays on this machine. What is kept is found by its content, so
nothing old is taken for new. Where there is a server of `forking` that is ours to ask, it runs what is an
Ansible module.
"""

import gc
import os
import sys
import zipimport
from types import CodeType

FOLDER = os.environ.get("COMPILED_FOLDER", "/var/cache/compiled")
SERVER = os.environ.get("MODULES_SERVER", "/run/modules")
_compile = zipimport._compile_source  # type: ignore[attr-defined]  # where all its code comes from
_known: dict[str, CodeType] = {}  # zipimport asks twice for each


def _kept(pathname: str, source: bytes) -> CodeType:
    import hashlib
    import marshal

    gc.disable()  # a module ends before there is garbage; looking for it was a quarter of its time
    name = f"{sys.hexversion:x}-{hashlib.sha256(source).hexdigest()}"
    if name in _known:
        return _known[name]
    path = f"{FOLDER}/{name}"
    try:
        with open(path, "rb") as kept:
            code: CodeType = marshal.load(kept)
    except OSError:
        code = _compile(pathname, source)
        try:
            with open(f"{path}.{os.getpid()}", "xb") as draft:
                marshal.dump(code, draft)
            os.rename(draft.name, path)
        except OSError:
            pass  # not ours to write: compiled again next time
    _known[name] = code
    return code


def take_up() -> None:
    """Read all that is kept by now, for the forks of this process."""
    import marshal

    for name in os.listdir(FOLDER):
        if name.startswith(f"{sys.hexversion:x}-") and "." not in name and name not in _known:
            with open(f"{FOLDER}/{name}", "rb") as kept:
                _known[name] = marshal.load(kept)


def _hand_over(path: str) -> None:
    """Have `forking` run the module that is our standard input, and end as it does; without one return."""
    import _socket
    import marshal
    import struct

    server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        server.connect(path)
    except OSError:
        return  # there is none, or it is not ours to ask: it runs here
    files = struct.pack("3i", 0, 1, 2)
    told = marshal.dumps((dict(os.environ), os.getcwd()))
    server.sendmsg([told], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
    status = server.recv(1)
    os._exit(status[0] if status else 1)


zipimport._compile_source = _kept  # type: ignore[attr-defined]
if len(sys.orig_argv) == 1:  # as Ansible starts Python for a module
    _hand_over(SERVER)
