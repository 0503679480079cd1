"""The file of issued credentials: access keys for SigV4, bearer tokens.

A signature can only be checked with the secret itself, so the file is readable by its owner alone; of bearer
tokens only the SHA-256 is kept.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Annotated, Concatenate, Literal, ParamSpec, TypeVar

from pydantic import AwareDatetime, Field

from springboard.system import documents, files
from springboard.system.documents import Strict

_P = ParamSpec("_P")
_T = TypeVar("_T")
# Who changes the file has it for milliseconds.
_LOCK_SECONDS = 10.0


class KeysFileError(Exception):
    """The file of keys cannot be read or written; the message says why."""


# What a key may do: have videos scored, or that and the control plane's operations.
Role = Literal["invoke", "admin"]


class AccessKey(Strict):
    """A pair that signs requests, like AWS's own."""

    name: str
    access_key_id: Annotated[str, Field(pattern=r"^[A-Z0-9]{16,32}$")]
    secret_access_key: Annotated[str, Field(min_length=32)]
    created: datetime
    ends: AwareDatetime | None = None
    """From when it is refused; one that was rotated is good until then, beside its successor."""
    role: Role = "invoke"
    """What it may do."""


class Token(Strict):
    """A bearer token, known by its hash."""

    name: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created: datetime
    ends: AwareDatetime | None = None
    """As an access key's."""
    role: Role = "invoke"
    """As an access key's."""


class Keys(Strict):
    """Every credential this server accepts."""

    access_keys: tuple[AccessKey, ...] = ()
    tokens: tuple[Token, ...] = ()

    def names(self) -> list[str]:
        """Return the names in use; one name is one access key or one token, and those that it replaces."""
        return list(dict.fromkeys(one.name for one in self.all()))

    def valid(self) -> "Keys":
        """Return those that have not ended; asked for each request, so these themselves where none has."""
        now = datetime.now(UTC)

        def lasts(one: AccessKey | Token) -> bool:
            return one.ends is None or now < one.ends

        return self if all(map(lasts, self.all())) else self._where(lasts)

    def of(self, names: Sequence[str]) -> "Keys":
        """Return those of these names."""
        return self._where(lambda one: one.name in names)

    def without(self, names: Sequence[str]) -> "Keys":
        """Return those of other names."""
        return self._where(lambda one: one.name not in names)

    def and_(self, others: "Keys") -> "Keys":
        """Return these and those."""
        return Keys(
            access_keys=(*self.access_keys, *others.access_keys), tokens=(*self.tokens, *others.tokens)
        )

    def _where(self, holds: Callable[[AccessKey | Token], bool]) -> "Keys":
        return Keys(
            access_keys=tuple(one for one in self.access_keys if holds(one)),
            tokens=tuple(one for one in self.tokens if holds(one)),
        )

    def all(self) -> list[AccessKey | Token]:
        """Return access keys, then tokens."""
        return [*self.access_keys, *self.tokens]

    def text(self) -> str:
        """Return them as their file has them; without `ends` and `role` where earlier versions need none."""
        document = {
            kind: [one.model_dump(mode="json", exclude_defaults=True) for one in them]
            for kind, them in (("access_keys", self.access_keys), ("tokens", self.tokens))
        }
        return json.dumps(document, indent=2) + "\n"

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


def _alone(change: Callable[Concatenate[Path, _P], _T]) -> Callable[Concatenate[Path, _P], _T]:
    """Have a change keep others from changing the file between its look at it and its write."""

    @wraps(change)
    def changed(path: Path, /, *args: _P.args, **more: _P.kwargs) -> _T:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with files.alone(path.with_name(f".{path.name}.lock"), _LOCK_SECONDS, mode=0o600):
                return change(path, *args, **more)
        except OSError as error:
            raise KeysFileError(f"{path}: {error}") from error

    return changed


@_alone
def create_access_key(path: Path, name: str, role: Role = "invoke") -> AccessKey:
    """Issue an access key and store it. Raises `KeysFileError`."""
    keys = _free(path, name)
    key = _access_key(name, role)
    _save(path, keys.and_(Keys(access_keys=(key,))))
    return key


@_alone
def create_token(path: Path, name: str, role: Role = "invoke") -> str:
    """Issue a bearer token, store its hash, return it: it is shown once. Raises `KeysFileError`."""
    keys = _free(path, name)
    token, stored = _token(name, role)
    _save(path, keys.and_(Keys(tokens=(stored,))))
    return token


@_alone
def rotate(path: Path, name: str, overlap: timedelta) -> AccessKey | str:
    """Issue a successor of the same name, kind and role; what it replaces is good for `overlap` more.

    Returns the access key, or the token. Raises `KeysFileError`.
    """
    keys = _known(path, name).valid()
    ends = datetime.now(UTC) + overlap
    # Who rotates twice within an overlap does not prolong the first one's.
    ending = [one.model_copy(update={"ends": min(one.ends or ends, ends)}) for one in keys.of([name]).all()]
    kept = keys.without([name]).and_(_sorted_out(ending) if overlap else Keys())
    role: Role = ending[-1].role if ending else "invoke"
    if any(isinstance(one, Token) for one in ending):
        token, stored = _token(name, role)
        _save(path, kept.and_(Keys(tokens=(stored,))))
        return token
    key = _access_key(name, role)
    _save(path, kept.and_(Keys(access_keys=(key,))))
    return key


@_alone
def revoke(path: Path, name: str) -> None:
    """Forget the key or token of this name. Raises `KeysFileError` when there is none."""
    _save(path, _known(path, name).without([name]))


@_alone
def read_in(path: Path, given: Keys, *, exactly: bool = False) -> list[str]:
    """Have the file hold `given`, and with `exactly` nothing else; return the names that this changed.

    Raises `KeysFileError` where a name stands for something else there, which only `exactly` replaces.
    """
    keys = load(path)
    changed = [name for name in keys.and_(given).names() if _same(keys.of([name])) != _same(given.of([name]))]
    if not exactly:
        changed = [name for name in changed if name in given.names()]
        if taken := [name for name in changed if name in keys.names()]:
            raise KeysFileError(
                f"{path} has another key named {', '.join(taken)}; revoke it there, or rename one of the two"
            )
    if changed:
        kept = Keys() if exactly else keys.without(changed)
        _write(path, kept.and_(given if exactly else given.of(changed)))
    return changed


def placed(path: Path) -> Path:
    """Return the file that says, beside the keys', that playbooks place them."""
    return path.with_suffix(".placed")


def _same(keys: Keys) -> set[tuple[object, ...]]:
    """Return what makes keys these keys, which is not when they were first written down."""
    return {tuple(one.model_dump(exclude={"created"}).values()) for one in keys.all()}


def _sorted_out(them: Sequence[AccessKey | Token]) -> Keys:
    return Keys(
        access_keys=tuple(one for one in them if isinstance(one, AccessKey)),
        tokens=tuple(one for one in them if isinstance(one, Token)),
    )


def _access_key(name: str, role: Role) -> AccessKey:
    return AccessKey(
        name=name,
        access_key_id="SB" + secrets.token_hex(9).upper(),
        secret_access_key=secrets.token_urlsafe(30),
        created=datetime.now(UTC),
        role=role,
    )


def _token(name: str, role: Role) -> tuple[str, Token]:
    token = secrets.token_urlsafe(32)
    digest = hashlib.sha256(token.encode()).hexdigest()
    return token, Token(name=name, sha256=digest, created=datetime.now(UTC), role=role)


def _known(path: Path, name: str) -> Keys:
    keys = load(path)
    if name not in keys.names():
        raise KeysFileError(f"{path} has no key named {name!r}; it has {', '.join(keys.names()) or 'none'}")
    return keys


def _free(path: Path, name: str) -> Keys:
    keys = load(path)
    if name in keys.names():
        raise KeysFileError(
            f"{path} has a key named {name!r} already; revoke it first or choose another name"
        )
    return keys


def _save(path: Path, keys: Keys) -> None:
    """Write a file that is edited here; one that playbooks place would lose the edit with their next run."""
    if placed(path).exists():
        raise KeysFileError(
            f"the keys of {path} are placed by playbooks, whose next run would undo this. There: "
            "ansible-playbook playbooks/keys.yml with -e create=NAME, -e rotate=NAME or -e revoke=NAME"
        )
    _write(path, keys)


def _write(path: Path, keys: Keys) -> None:
    """Replace the file at once, so that a server reading it meanwhile sees the old or the new one."""
    files.write_atomically(path, keys.text(), mode=0o600)
