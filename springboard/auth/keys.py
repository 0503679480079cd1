"""The file of issued credentials: access keys for SigV4, bearer tokens.

A signature can only be checked with the secret itself, so the file is readable by its owner alone; of bearer
tokens only the SHA-256 is kept.
"""

import hashlib
import json
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from springboard.system import documents, files
from springboard.system.documents import Strict


class KeysFileError(Exception):
    """The file of keys cannot be read or written; the message says why."""


class AccessKey(Strict):
    """A pair that signs requests, like AWS's own."""

    name: str
    access_key_id: Annotated[str, Field(pattern=r"^[A-Z0-9]{16,32}$")]
    secret_access_key: Annotated[str, Field(min_length=32)]
    created: datetime


class Token(Strict):
    """A bearer token, known by its hash."""

    name: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created: datetime


class Keys(Strict):
    """Every credential this server accepts."""

    access_keys: tuple[AccessKey, ...] = ()
    tokens: tuple[Token, ...] = ()

    def names(self) -> list[str]:
        """Return the names in use; one name is one access key or one token."""
        return [key.name for key in self.access_keys] + [token.name for token in self.tokens]

    def named(self) -> list[str]:
        """Return the names, an access key's with its id, which is no secret."""
        return [f"{key.name} ({key.access_key_id})" for key in self.access_keys] + [
            token.name for token in self.tokens
        ]


def load(path: Path) -> Keys:
    """Read the file; one that is not there holds no keys. Raises `KeysFileError`.

    As with ssh's keys, a file of our own that others may read or write is refused; one that somebody else
    owns is lent to us, by systemd or as a secret of a container, and its mode is theirs.
    """
    try:
        status = path.stat()
        if status.st_uid == os.geteuid() and status.st_mode & 0o077:
            raise KeysFileError(f"{path} can be read or written by others; run: chmod 600 {path}")
    except FileNotFoundError:
        pass
    except OSError as error:
        raise KeysFileError(f"{path}: {error}") from error
    return documents.load(path, Keys, KeysFileError, as_json=True, missing=Keys())


def create_access_key(path: Path, name: str) -> AccessKey:
    """Issue an access key and store it. Raises `KeysFileError`."""
    keys = _free(path, name)
    key = AccessKey(
        name=name,
        access_key_id="SB" + secrets.token_hex(9).upper(),
        secret_access_key=secrets.token_urlsafe(30),
        created=datetime.now(UTC),
    )
    _save(path, keys.model_copy(update={"access_keys": (*keys.access_keys, key)}))
    return key


def create_token(path: Path, name: str) -> str:
    """Issue a bearer token, store its hash, return it: it is shown once. Raises `KeysFileError`."""
    keys = _free(path, name)
    token = secrets.token_urlsafe(32)
    stored = Token(name=name, sha256=hashlib.sha256(token.encode()).hexdigest(), created=datetime.now(UTC))
    _save(path, keys.model_copy(update={"tokens": (*keys.tokens, stored)}))
    return token


def revoke(path: Path, name: str) -> None:
    """Forget the key or token of this name. Raises `KeysFileError` when there is none."""
    keys = load(path)
    if name not in keys.names():
        raise KeysFileError(f"{path} has no key named {name!r}; it has {', '.join(keys.names()) or 'none'}")
    _save(
        path,
        Keys(
            access_keys=tuple(key for key in keys.access_keys if key.name != name),
            tokens=tuple(token for token in keys.tokens if token.name != name),
        ),
    )


def _free(path: Path, name: str) -> Keys:
    keys = load(path)
    if name in keys.names():
        raise KeysFileError(
            f"{path} has a key named {name!r} already; revoke it first or choose another name"
        )
    return keys


def _save(path: Path, keys: Keys) -> None:
    """Replace the file at once, so that a server reading it meanwhile sees the old or the new one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomically(path, json.dumps(keys.model_dump(mode="json"), indent=2) + "\n", mode=0o600)
    except OSError as error:
        raise KeysFileError(f"{path}: {error}") from error
