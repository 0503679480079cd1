"""Signatures of manifests, by OpenSSH's keys: `ssh-keygen -Y sign` makes them, `-Y verify` checks them.

A manifest holds the checksums of all else, so who has signed it vouches for the code in its archive.
"""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from springboard.releases.manifest import ReleaseError

# What is signed is nothing else than a release; ssh-keygen puts it into the signature.
_NAMESPACE = "springboard-release"
_WHO = "publisher"
_SECONDS = 30


def sign(manifest: bytes, key: Path) -> bytes:
    """Return a manifest's signature by the private key in a file, or by that of a public one in an agent."""
    return _keygen(["sign", "-f", str(key)], manifest, f"{key} cannot sign").stdout


def verify(manifest: bytes, signature: bytes | None, signers: Sequence[str], url: str) -> None:
    """Raise `ReleaseError`, which names `url`, unless one of these public keys signed the manifest."""
    if signature is None:
        raise ReleaseError(
            f"{url} is not signed, and this host takes only releases that are (release_signers). Whoever "
            "published it signs it by publishing the same again with --sign KEY"
        )
    with tempfile.TemporaryDirectory(prefix="springboard-") as folder:
        allowed, signed = Path(folder) / "allowed", Path(folder) / "signature"
        allowed.write_text("".join(f'{_WHO} namespaces="{_NAMESPACE}" {key.strip()}\n' for key in signers))
        signed.write_bytes(signature)
        _keygen(
            ["verify", "-f", str(allowed), "-I", _WHO, "-s", str(signed)],
            manifest,
            f"the signature of {url} is by none of release_signers, or not of this manifest",
        )


def _keygen(arguments: list[str], text: bytes, fault: str) -> "subprocess.CompletedProcess[bytes]":
    command = ["ssh-keygen", "-Y", arguments[0], "-n", _NAMESPACE, *arguments[1:]]
    try:
        done = subprocess.run(command, input=text, capture_output=True, timeout=_SECONDS, check=False)
    except FileNotFoundError as error:
        raise ReleaseError("ssh-keygen is missing; install openssh-client") from error
    except subprocess.TimeoutExpired as error:
        raise ReleaseError(f"{fault}: ssh-keygen did not end within {_SECONDS} s") from error
    if done.returncode:
        said = " ".join((done.stderr + done.stdout).decode(errors="replace").split())
        raise ReleaseError(f"{fault}: {said or f'ssh-keygen ended with {done.returncode}'}")
    return done
