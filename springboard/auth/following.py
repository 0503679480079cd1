"""Callers' keys that are kept in one place for all hosts, a secret of AWS Secrets Manager, and followed."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from springboard.auth import keys
from springboard.auth.keys import Keys, KeysFileError
from springboard.system import documents, files, textfile

FOLLOWED = "springboard_keys_followed_timestamp_seconds"
ABOUT = {FOLLOWED: "When the host last had callers' keys as their secret says, in Unix time."}
_FILE, _TELL_SECONDS = "springboard_keys.prom", 30
_CONFIG = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})


class StoreAway(Exception):
    """The secret cannot be had; the message says why and what to do."""


class Secret:
    """A secret with what `springboard keys export` prints; region and credentials are boto3's business."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._client: Any = None

    def read(self) -> Keys:
        """Return its keys; raise `StoreAway`, or `KeysFileError` for a secret that holds something else."""
        try:
            if self._client is None:
                make: Any = boto3.client  # its types have an overload for each service's own name
                # boto3 itself reads AWS_DEFAULT_REGION alone.
                region = os.environ.get("AWS_REGION") or None
                self._client = make("secretsmanager", region_name=region, config=_CONFIG)
            text = self._client.get_secret_value(SecretId=self.name).get("SecretString", "")
        except (BotoCoreError, ClientError, ValueError) as error:
            self._client = None  # one that found no credentials as it was made looks for none again
            raise StoreAway(
                f"the secret {self.name} cannot be had: {error}. Look at AWS_REGION, and whether "
                "secretsmanager:GetSecretValue is allowed"
            ) from error
        return documents.parse(text.encode(), Keys, f"the secret {self.name}", KeysFileError, as_json=True)


def take(path: Path, given: Keys) -> list[str]:
    """Have the file hold `given` and nothing else; return the names that this changed.

    The first time raises `KeysFileError` where a key that was made here would be lost by it.
    """
    marker = keys.placed(path)
    if marker.exists():
        return keys.read_in(path, given, exactly=True)
    if lost := [name for name in keys.load(path).names() if name not in given.names()]:
        raise KeysFileError(
            f"{path} has keys that the secret lacks: {', '.join(lost)}. Take them over (playbooks/keys.yml "
            "-e take=HOST), or revoke them here: springboard keys revoke NAME"
        )
    changed = keys.read_in(path, given, exactly=True)
    try:
        marker.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomically(marker, "Followed by `springboard keys follow`.\n")
    except OSError as error:
        raise KeysFileError(f"{marker}: {error}") from error
    return changed


class Follower:
    """Keeps a file of keys as a secret and a second file have them; without, what it learnt last stays."""

    def __init__(self, secret: Secret, path: Path, beside: Path | None, say: Callable[[str], None]) -> None:
        """`beside` holds keys of this host alone; `say` hears what changes, and once what is wrong."""
        self._secret, self._path, self._beside, self._say = secret, path, beside, say
        self._wrong = ""
        self._since: float | None = None

    @property
    def knows(self) -> bool:
        """Whether the file has what the secret had at some time."""
        return keys.placed(self._path).exists()

    @property
    def status(self) -> str:
        """Say in a line how it stands."""
        if not self._wrong:
            return f"follows the secret {self._secret.name}"
        since = "" if self._since is None else f" for {time.time() - self._since:.0f} s"
        return f"does not follow{since}, the keys known last stay: {self._wrong}"

    def look(self) -> bool:
        """Look once; return whether all is as the secret says."""
        try:
            given = self._secret.read()
            if self._beside:
                given = given.and_(keys.load(self._beside))
            changed = take(self._path, given)
        except (StoreAway, KeysFileError) as error:
            if str(error) != self._wrong:
                self._wrong, self._since = str(error), self._since or time.time()
                self._say(f"the keys known last stay: {error}")
            return False
        if self._wrong:
            self._say(f"the secret {self._secret.name} is followed again")
        self._wrong, self._since = "", None
        if changed:
            self._say(f"changed: {', '.join(changed)}")
        return True


def tell(folder: Path) -> None:
    """Write down that the secret is followed now, where somebody reads it; not at each look."""
    path = folder / _FILE
    if not path.exists() or time.time() - path.stat().st_mtime > _TELL_SECONDS:
        textfile.write(path, {FOLLOWED: time.time()}, ABOUT)
