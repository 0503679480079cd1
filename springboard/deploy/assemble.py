"""Makes instances: their names, settings, and their folders."""

import hashlib
import json
import lzma
import os
import shutil
import struct
import zipfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

from springboard.deploy.instances import Instance, InstanceError
from springboard.deploy.layout import Layout
from springboard.deploy.settings import Host
from springboard.endpoint.names import archive_name
from springboard.releases import copies
from springboard.releases.manifest import Manifest
from springboard.system import gpu
from springboard.system.files import sync_folder, write_atomically
from springboard.system.gpu import GpuError
from springboard.torchserve import settings

_USER = "springboard-worker"
# Who may ask TorchServe: the front, which playbooks/roles/base puts into it.
_CALLERS = "springboard-torchserve"
# A model-config has hundreds.
_CONFIG_BYTES = 1_000_000
# What reading a zip, and the documents in it, raises where it is damaged or was never one.
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, yaml.YAMLError),
    *(EOFError, KeyError, TypeError, ValueError, RuntimeError, OSError),
)


class OtherTorch(InstanceError):
    """A release was built with another torch than the host's runtime has."""


@dataclass(frozen=True)
class Runtime:
    """A worker's virtual environment, as its runtime.json tells; `java` is JAVA_HOME."""

    folder: Path
    id: str
    torch: str
    java: str

    @classmethod
    def load(cls, folder: Path) -> "Runtime":
        """Read runtime.json; it is written last, so it says too that the rest is whole."""
        try:
            said = json.loads((folder / "runtime.json").read_text())
            return cls(folder, said["id"], said["torch"], said["java"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InstanceError(
                f"{folder} is no whole worker runtime ({error}); run playbooks/configure.yml"
            ) from error

    def check(self, manifest: Manifest) -> None:
        """Refuse a release that was built with another torch; its build (+cpu, +cu130) may differ."""
        ours, theirs = (version.partition("+")[0].split(".")[:2] for version in (self.torch, manifest.torch))
        if ours != theirs:
            raise OtherTorch(
                f"release {manifest.version} was built with torch {manifest.torch}, and this host's runtime "
                f"has torch {self.torch}. Build the release anew with that torch, or set torchserve_torch to "
                "the release's and run playbooks/configure.yml"
            )


def check(host: Host, manifest: Manifest) -> None:
    """Refuse a release that cannot run on the host's runtime, with `OtherTorch`."""
    Runtime.load(host.worker.runtime).check(manifest)


def name_of(layout: Layout, host: Host, version: str) -> str:
    """Return the name of the instance that serves a release as host.yml wants it now."""
    runtime = Runtime.load(host.worker.runtime)
    unit = layout.unit.read_bytes() if layout.unit.exists() else b""
    made_of = [runtime.id, str(host.worker.runtime), workers(host), hashlib.sha256(unit).hexdigest()]
    return f"{version}_{hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:7]}{layout.mark}"


def make(layout: Layout, host: Host, version: str) -> Instance:
    """Return that instance, made where it was not there; it does not run yet."""
    instance = Instance(layout, name_of(layout, host, version))
    if instance.exists:
        return instance
    sockets, work, cache = instance.folder / "sockets", instance.folder / "work", layout.found(instance.name)
    if not settings.fits(sockets, work):
        raise InstanceError(f"{version} is too long a version: TorchServe's sockets do not fit into a path")
    release, manifest = layout.releases / version, copies.load(layout.releases / version)
    runtime = Runtime.load(host.worker.runtime)
    shutil.rmtree(instance.folder, ignore_errors=True)
    store = instance.folder / "model-store"
    # Weights are for who runs them. What is made in `sockets` gets its group, which may do no more than call.
    for folder, mode in ((store, 0o750), (work, 0o750), (cache, 0o750), (sockets, 0o2710)):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(mode)
    with suppress(LookupError):  # without that user the unit, which names it, could not start either
        shutil.chown(store, group=_USER)
        for folder in (work, cache):
            shutil.chown(folder, _USER, _USER)
        shutil.chown(sockets, _USER, _CALLERS)
        sockets.chmod(0o2710)  # chown takes such bits away
    archive = store / archive_name(version)
    _place(release / archive_name(version), archive, workers(host))
    (instance.folder / "runtime").symlink_to(runtime.folder)
    (instance.folder / "served.json").write_text(json.dumps(_told(manifest)))
    # Last: it says that the rest is whole.
    told = settings.environment(runtime.java, work, archive.name, settings.addresses(sockets))
    # What workers find out about this machine; `work` is emptied at starts.
    told["SPRINGBOARD_CACHE"] = str(cache)
    write_atomically(
        instance.folder / "torchserve.env", "".join(f"{name}={value}\n" for name, value in told.items())
    )
    sync_folder(layout.instances)
    return instance


def _told(manifest: Manifest) -> dict[str, object]:
    """Return what the front shows of a release, beside its address."""
    reference = manifest.reference.model_dump() if manifest.reference else None
    return {"sha256": manifest.archive.sha256, "reference": reference}


def workers(host: Host) -> int:
    """Return how many workers an instance gets, 0 for what its model-config says."""
    try:
        return host.worker.workers * max(gpu.count(), 1)
    except GpuError as error:
        raise InstanceError(str(error)) from error


def _place(source: Path, target: Path, workers: int) -> None:
    """Put the archive into the model store, with that many workers in its model-config.

    TorchServe lets nothing outside the archive overrule it. Where it agrees, no bytes are copied. Raises
    `InstanceError` where it is no archive that could be served.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            config_name, config = _config(archive)
            wanted = {"minWorkers": workers, "maxWorkers": workers} if workers else {}
            if not config_name or config | wanted == config:
                os.link(source, target)
                return
            _copy(archive, target, config_name, yaml.safe_dump(config | wanted))
    except _BROKEN as error:
        # bz2's is an OSError as well, but without a number; the others are the disk's.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InstanceError(
            f"{source} is no archive that TorchServe could serve: {' '.join(str(error).split())}. Build the "
            "release anew with archive.sh, and publish it under another version"
        ) from error
    target.chmod(0o644)


def _config(archive: zipfile.ZipFile) -> tuple[str, dict[str, object]]:
    """Return the name and the contents of its model-config, empty without one."""
    described = json.loads(_read(archive, "MAR-INF/MANIFEST.json"))
    if not isinstance(described, dict) or not isinstance(described.get("model"), dict):
        raise ValueError("MAR-INF/MANIFEST.json tells of no model")
    name = described["model"].get("configFile") or ""
    config = yaml.safe_load(_read(archive, name)) if name else {}
    if not isinstance(config, dict):
        raise ValueError(f"{name} is no mapping")
    return name, config


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    if (size := archive.getinfo(name).file_size) > _CONFIG_BYTES:
        raise ValueError(f"{name} has {size:,} bytes, and {_CONFIG_BYTES:,} are enough for it")
    return archive.read(name)


def _copy(archive: zipfile.ZipFile, target: Path, config_name: str, config: str) -> None:
    with zipfile.ZipFile(target, "w") as changed:
        for item in archive.infolist():
            if item.filename == config_name:
                changed.writestr(item, config)
                continue
            with archive.open(item) as data, changed.open(item, "w", force_zip64=True) as copy:
                shutil.copyfileobj(data, copy, 1 << 20)
