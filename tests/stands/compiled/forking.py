"""A Python that has imported what Ansible's modules take, and runs each in a fork of its own.

usage: forking.py SOCKET [aws]

Starting Python and importing is most of a module's time; with `aws`, boto3 and its descriptions of services
are imported, too. `sitecustomize` hands modules over and waits for their status. Test hosts have these two
files and nothing else of this package. What is Ansible's comes with each module, here as elsewhere.
"""

import atexit
import gc
import marshal
import os
import random
import signal
import socket
import sys
import traceback
from importlib import import_module
from types import ModuleType
from typing import Any, NoReturn

_MOST_BYTES = 1 << 20
_MODULES = (
    "__future__ ast base64 collections.abc contextlib copy datetime errno fcntl fnmatch functools "
    "getpass glob grp hashlib http.client io itertools json locale platform pwd queue re runpy select "
    "selectors shlex shutil ssl stat string struct subprocess syslog tempfile threading time types "
    "urllib.request uuid zipfile zipimport"
)
# Whose descriptions are large, or asked for by many modules.
_SERVICES = "autoscaling", "cloudwatch", "ec2", "elbv2", "iam", "s3", "sns", "sqs", "sts"


def _remember_descriptions() -> None:
    import boto3.session
    from botocore import loaders

    load, found = loaders.JSONFileLoader.load_file, dict[str, object]()

    def load_file(self: loaders.JSONFileLoader, file_path: str) -> object:
        if file_path not in found:
            found[file_path] = load(self, file_path)
        return found[file_path]

    loaders.JSONFileLoader.load_file = load_file  # type: ignore[method-assign]
    session: Any = boto3.session.Session("none", "none", region_name="us-east-1")
    for service in _SERVICES:
        session.client(service)


def main(path: str, aws: str = "") -> NoReturn:
    """Run what comes, until killed."""
    kept: Any = sys.modules["sitecustomize"]  # by that name, as Python has it
    for name in _MODULES.split():
        import_module(name)
    if aws:
        _remember_descriptions()
    gc.freeze()  # a look for garbage would have each fork copy all of it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(path)
        server.listen(64)
        print("listens", flush=True)
        while True:
            asked, _ = server.accept()
            kept.take_up()
            if os.fork() == 0:
                server.close()
                _run(asked)
            asked.close()


def _run(asked: socket.socket) -> NoReturn:
    """Run a module as Python runs what comes by standard input, and say its status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    told, given, _, _ = socket.recv_fds(asked, _MOST_BYTES, 3)
    environment, folder = marshal.loads(told)
    for here, there in enumerate(given):
        os.dup2(there, here)
        os.close(there)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [""]
    random.seed()
    module = sys.modules["__main__"] = ModuleType("__main__")
    status = 0
    try:
        exec(compile(sys.stdin.buffer.read(), "<stdin>", "exec"), module.__dict__)
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - whatever it is, it ends this process
        traceback.print_exc()
        status = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    asked.send(bytes([status & 255]))
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
