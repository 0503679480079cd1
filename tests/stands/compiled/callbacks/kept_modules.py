"""Ansible's callback that keeps the archives which modules are sent in: see `__init__`.

Each run of ansible-playbook packs every module that it uses anew, half a second of parsing each.
"""

import gc
import os
from pathlib import Path

from ansible import constants
from ansible.plugins.callback import CallbackBase

# The project's own modules, which are ansible.legacy's, change from test to test.
OF_OTHERS = ("ansible.modules.", "ansible_collections.")


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible has no types
    """Lends kept archives to the run, and takes its new ones at the end."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kept_modules"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        gc.disable()  # for a run's few minutes; each process of a task would copy what it looks through
        self._kept = Path(os.environ["KEPT_MODULES"])
        self._kept.mkdir(parents=True, exist_ok=True)
        # Where `ansible.executor.module_common` looks first; the folder ends with the run.
        self._used = Path(constants.DEFAULT_LOCAL_TMP) / "ansiballz_cache"
        self._used.mkdir()
        for archive in self._kept.iterdir():
            (self._used / archive.name).symlink_to(archive)

    def v2_playbook_on_stats(self, stats: object) -> None:
        for archive in self._used.iterdir():
            if archive.name.startswith(OF_OTHERS) and archive.suffix != ".lock" and not archive.is_symlink():
                draft = self._kept.with_name(f"{archive.name}.{os.getpid()}")
                draft.write_bytes(archive.read_bytes())
                draft.rename(self._kept / archive.name)
